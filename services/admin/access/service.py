"""Use cases around keys and the audit log; every write is audited in its own transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, RowMapping

from services.admin.access import schemas as schemas_auth
from services.admin.decisions import repository, schemas
from services.admin.decisions.service import AdminDeps, decode_cursor, encode_cursor
from services.admin.identity import authentication
from services.admin.identity.authority import NOT_ALLOWED, covers
from services.kernel.clock import Clock
from services.kernel.db import credentials
from services.kernel.errors import Forbidden, NotFound
from services.kernel.security import keys as security
from services.kernel.security.audit import Anchor
from services.kernel.security.keys import FLEET, AuditEntry, KeyVerifier, Principal, Role

_PUBLIC = tuple(schemas_auth.KeyView.model_fields)
_AUDITED = ("name", "role", "namespaces", "expires_at", "revoked_at", "replaced_by")


class KeyDeps(Protocol):
    """What the use cases of keys and audit need; `AdminDeps` has it."""

    @property
    def engine(self) -> Engine:
        """Database."""
        ...

    @property
    def wall(self) -> Clock:
        """Time of keys and audit."""
        ...

    @property
    def verifier(self) -> KeyVerifier:
        """Forgets what no longer holds."""
        ...


def describe(principal: Principal) -> schemas_auth.WhoAmI:
    """Who a credential belongs to, and what it allows."""
    grants = [
        schemas_auth.GrantView(namespace=grant.namespace, role=grant.role)
        for grant in principal.grants
    ]
    return schemas_auth.WhoAmI(
        name=principal.name,
        actor=principal.actor,
        grants=grants,
        expires_at=principal.expires_at,
    )


def create_key(
    deps: KeyDeps, request: schemas_auth.KeyRequest, principal: Principal
) -> schemas_auth.KeyCreated:
    """Make a key; its token is in the answer and nowhere else.

    Raises:
        InvalidInput: It would have expired already.
        Forbidden: It would allow more than its maker may.
    """
    if not covers(principal, Role.ADMIN, request.namespaces):
        raise Forbidden(NOT_ALLOWED)
    now = deps.wall.now()
    with deps.engine.begin() as connection:
        made = security.create_key(
            connection, request.name, request.role, now, request.expires_at, request.namespaces
        )
        row = _load(connection, made.key_id)
        after = _audited(row)
        entry = AuditEntry(now, principal.actor, "key.create", f"key/{made.prefix}", after=after)
        security.append_audit(connection, entry)
    return _created(row, made.token)


def rotate_key(
    deps: KeyDeps, key_id: int, grace_s: float, principal: Principal
) -> schemas_auth.KeyCreated:
    """Make a key that takes another's place; other processes learn of it within a minute.

    Raises:
        NotFound: There is no such key in force.
        Conflict: It was replaced already.
    """
    now = deps.wall.now()
    with deps.engine.begin() as connection:
        old = _administered(connection, key_id, principal)
        made = security.rotate_key(connection, key_id, now, grace_s)
        row = _load(connection, made.key_id)
        changes = {"before": _audited(old), "after": _audited(_load(connection, key_id))}
        name = f"key/{old['prefix']}"
        security.append_audit(
            connection, AuditEntry(now, principal.actor, "key.rotate", name, **changes)
        )
        entry = AuditEntry(
            now, principal.actor, "key.create", f"key/{made.prefix}", after=_audited(row)
        )
        security.append_audit(connection, entry)
    deps.verifier.forget(key_id)
    return _created(row, made.token)


def revoke_key(deps: KeyDeps, key_id: int, principal: Principal) -> None:
    """Revoke a key; its sessions end at once, other processes forget it within a minute.

    Raises:
        NotFound: There is no such key in force.
    """
    now = deps.wall.now()
    with deps.engine.begin() as connection:
        old = _administered(connection, key_id, principal)
        security.revoke_key(connection, key_id, now)
        changes = {"before": _audited(old), "after": _audited(_load(connection, key_id))}
        name = f"key/{old['prefix']}"
        entry = AuditEntry(now, principal.actor, "key.revoke", name, **changes)
        security.append_audit(connection, entry)
    deps.verifier.forget(key_id)


def list_keys(deps: KeyDeps, principal: Principal) -> list[schemas_auth.KeyView]:
    """The keys that `principal` administers, newest first, revoked ones too."""
    with deps.engine.connect() as connection:
        rows = credentials.load_keys(connection, _administers(principal))
    return [schemas_auth.KeyView.model_validate(_public(row)) for row in rows]


def page_keys(
    deps: AdminDeps, principal: Principal, limit: int, cursor: str | None
) -> schemas.Page[schemas_auth.KeyView]:
    """A page of the keys that `principal` administers, newest first, revoked ones too."""
    after = decode_cursor(cursor, (int,))[0] if cursor else None
    with deps.reading() as connection:
        rows = credentials.load_keys(connection, _administers(principal), after, limit + 1)
    following = encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None
    items = [schemas_auth.KeyView.model_validate(_public(row)) for row in rows[:limit]]
    return schemas.Page[schemas_auth.KeyView](items=items, next_cursor=following)


def _administers(principal: Principal) -> list[str] | None:
    """Namespaces whose keys `principal` administers; None: all keys."""
    if principal.may(Role.ADMIN, FLEET):
        return None
    return [grant.namespace for grant in principal.grants if grant.role.includes(Role.ADMIN)]


def log_in(deps: AdminDeps, token: str, address: str) -> tuple[str, Principal]:
    """Open a console session with an API key; returns the session's token.

    Raises:
        Unauthorized: The key is not valid.
    """
    now = deps.wall.now()
    principal = authentication.log_in(deps, token, address)
    with deps.engine.begin() as connection:
        entry = AuditEntry(now, principal.actor, "session.open", f"key/{principal.prefix}")
        security.append_audit(connection, entry)
    return deps.sessions.open(principal.prefix), principal


def list_audit(
    deps: AdminDeps, limit: int, cursor: str | None, filters: Mapping[str, Any] | None = None
) -> schemas.Page[schemas_auth.AuditView]:
    """Audit entries, newest first; filters as of `repository.load_audit`."""
    after = {"after": decode_cursor(cursor, (int,))} if cursor else {}
    with deps.engine.connect() as connection:
        rows = repository.load_audit(connection, {**(filters or {}), **after}, limit + 1)
    following = encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None
    items = [schemas_auth.AuditView.model_validate(dict(row)) for row in rows[:limit]]
    return schemas.Page[schemas_auth.AuditView](items=items, next_cursor=following)


def check_audit(deps: KeyDeps, anchor: str | None = None) -> schemas_auth.AuditCheck:
    """Recompute the audit chain.

    Raises:
        InvalidInput: The anchor is not one that a check gave.
    """
    wanted = None if anchor is None else Anchor.parse(anchor)
    with deps.engine.connect() as connection:
        report = security.verify_audit(connection, wanted)
    return schemas_auth.AuditCheck(
        is_intact=report.is_intact,
        n_entries=report.n_entries,
        first_broken_id=report.first_broken_id,
        head=None if report.head is None else str(report.head),
        is_anchored=report.is_anchored,
    )


def _administered(connection: Connection, key_id: int, principal: Principal) -> RowMapping:
    """The key, locked; to an admin of other namespaces it does not exist."""
    row = credentials.lock_key(connection, key_id)
    if row is None or not covers(principal, Role.ADMIN, row["namespaces"]):
        raise NotFound(f"key {key_id} does not exist")
    return row


def _load(connection: Connection, key_id: int) -> RowMapping:
    row = credentials.lock_key(connection, key_id)
    assert row is not None, "written in this transaction"
    return row


def _public(row: RowMapping) -> dict[str, Any]:
    return {name: row[name] for name in _PUBLIC}


def _created(row: RowMapping, token: str) -> schemas_auth.KeyCreated:
    return schemas_auth.KeyCreated.model_validate(_public(row) | {"token": token})


def _audited(row: RowMapping) -> dict[str, Any]:
    """What the log says of a key; times as text."""
    found = {name: row[name] for name in _AUDITED if row[name] is not None}
    return {
        name: value.isoformat() if name.endswith("_at") else value for name, value in found.items()
    }
