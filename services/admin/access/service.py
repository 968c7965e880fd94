"""Use cases around keys and the audit log; every write is audited in its own transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, RowMapping

from services.admin.access import repository, schemas
from services.admin.deps import AdminDeps
from services.admin.identity import authentication
from services.admin.identity.authority import NOT_ALLOWED, covers
from services.admin.rest.cursors import decode_cursor, page_of, position
from services.admin.rest.schemas import Page
from services.kernel.clock import Clock
from services.kernel.db import credentials
from services.kernel.db.clusters import EVERY, KnownCluster, find_cluster, load_clusters
from services.kernel.errors import Forbidden, InvalidInput, NotFound
from services.kernel.security import keys as security
from services.kernel.security.audit import ACTIONS, Anchor
from services.kernel.security.keys import AuditEntry, KeyVerifier, Principal, Role

_PUBLIC = tuple(schemas.KeyView.model_fields)
_AUDITED = ("name", "role", "namespaces", "cluster", "expires_at", "revoked_at", "replaced_by")


class KeyDeps(Protocol):
    """Dependencies of keys and audit; `AdminDeps` has them all."""

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


def describe(principal: Principal) -> schemas.WhoAmI:
    """Owner of a credential, and the roles it gives."""
    grants = [
        schemas.GrantView(
            namespace=grant.namespace, role=grant.role, cluster=grant.cluster or EVERY
        )
        for grant in principal.grants
    ]
    return schemas.WhoAmI(
        name=principal.name,
        actor=principal.actor,
        grants=grants,
        expires_at=principal.expires_at,
    )


def create_key(
    deps: KeyDeps, request: schemas.KeyRequest, principal: Principal
) -> schemas.KeyCreated:
    """Make a key; its token is in the answer and nowhere else.

    Raises:
        InvalidInput: It would have expired already.
        Forbidden: It would allow more than its maker may.
    """
    now = deps.wall.now()
    with deps.engine.begin() as connection:
        cluster = _cluster_of(connection, request.cluster, principal)
        there = None if cluster is None else cluster.name
        if not covers(principal.within(there), Role.ADMIN, request.namespaces):
            raise Forbidden(NOT_ALLOWED)
        made = security.create_key(
            connection,
            request.name,
            request.role,
            now,
            request.expires_at,
            request.namespaces,
            None if cluster is None else cluster.id,
        )
        row = _load(connection, made.key_id)
        after = _audited(row)
        entry = AuditEntry(now, principal.actor, "key.create", f"key/{made.prefix}", after=after)
        security.append_audit(connection, entry)
    return _created(row, made.token)


def _cluster_of(
    connection: Connection, named: str | None, principal: Principal
) -> KnownCluster | None:
    """The cluster that a key is asked for; None: every one.

    Raises:
        Forbidden: Its maker may do nothing there.
        InvalidInput: There is no such cluster, or none is named and there are several.
    """
    known = load_clusters(connection)
    allowed = principal.clusters
    if named == EVERY:
        return None
    if named is None:
        own = [each for each in known if allowed is None or each.name in allowed]
        if len(own) == 1:
            return own[0]
        names = ", ".join(each.name for each in own)
        raise InvalidInput(f"cluster must be one of {names}, or {EVERY} for each", "/cluster")
    if allowed is not None and named not in allowed:
        raise Forbidden(NOT_ALLOWED)
    try:
        return find_cluster(known, named)
    except NotFound as error:
        raise InvalidInput(error.message, "/cluster") from error


def rotate_key(
    deps: KeyDeps, key_id: int, grace_s: float, principal: Principal
) -> schemas.KeyCreated:
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


def list_keys(
    deps: KeyDeps, principal: Principal, cluster: str | None = None
) -> list[schemas.KeyView]:
    """The keys that `principal` administers, newest first, revoked ones too.

    Of a cluster they are those that hold there, so those of every cluster, too.
    """
    within = _administers(principal, None)
    if cluster is not None:
        there = _administers(principal, cluster)
        within = there | {None: within[None]} if None in within else there
    with deps.engine.connect() as connection:
        rows = credentials.load_keys(connection, within)
    return [_key_view(row) for row in rows]


def page_keys(
    deps: AdminDeps, principal: Principal, limit: int, cursor: str | None
) -> Page[schemas.KeyView]:
    """A page of the keys that `principal` administers, newest first, revoked ones too."""
    after = decode_cursor(cursor, (int,))[0] if cursor else None
    with deps.reading() as connection:
        within = _administers(principal, deps.cell.name)
        rows = credentials.load_keys(connection, within, after, limit + 1)
    return page_of(Page[schemas.KeyView], rows, limit, ("id",), _key_view)


def _administers(principal: Principal, cluster: str | None) -> dict[str | None, list[str] | None]:
    """Namespaces (None: any) whose keys `principal` administers, by cluster (None: in each)."""
    found: dict[str | None, list[str] | None] = {}
    places = {grant.cluster for grant in principal.grants if grant.role.includes(Role.ADMIN)}
    for place in places if cluster is None else {cluster}:
        names = principal.within(place).namespaces(Role.ADMIN)
        found[place] = None if names is None else sorted(names)
    return found


def log_in(deps: AdminDeps, token: str, address: str) -> tuple[str, Principal]:
    """Open a console session with an API key; returns the session's token.

    Raises:
        Unauthorized: The key is not valid.
        Unavailable: There is nowhere to keep a session.
    """
    now = deps.wall.now()
    principal = authentication.log_in(deps, token, address)
    with deps.engine.begin() as connection:
        entry = AuditEntry(now, principal.actor, "session.open", f"key/{principal.prefix}")
        security.append_audit(connection, entry)
        # within: what cannot be opened is not noted as open
        return deps.sessions.open(principal.prefix), principal


def list_audit(
    deps: AdminDeps, limit: int, cursor: str | None, filters: Mapping[str, Any] | None = None
) -> Page[schemas.AuditView]:
    """Audit entries, newest first; filters as of `repository.load_audit`.

    Raises:
        InvalidInput: There is no such action: an empty page would read as if nobody had done it.
    """
    wanted = {**(filters or {}), **position(cursor or None, (int,))}
    action = wanted.get("action")
    with deps.engine.connect() as connection:
        if action and action not in ACTIONS and not repository.has_action(connection, action):
            raise InvalidInput(f"action={action!r} must be one of {', '.join(sorted(ACTIONS))}")
        rows = repository.load_audit(connection, wanted, limit + 1)
    view = schemas.AuditView.model_validate
    return page_of(Page[schemas.AuditView], rows, limit, ("id",), lambda row: view(dict(row)))


def check_audit(deps: KeyDeps, anchor: str | None = None) -> schemas.AuditCheck:
    """Recompute the audit chain.

    Raises:
        InvalidInput: The anchor is not one that a check gave.
    """
    wanted = None if anchor is None else Anchor.parse(anchor)
    with deps.engine.connect() as connection:
        report = security.verify_audit(connection, wanted)
    return schemas.AuditCheck(
        is_intact=report.is_intact,
        n_entries=report.n_entries,
        first_broken_id=report.first_broken_id,
        head=None if report.head is None else str(report.head),
        is_anchored=report.is_anchored,
    )


def _administered(connection: Connection, key_id: int, principal: Principal) -> RowMapping:
    """The key, locked; to an admin of other namespaces it does not exist."""
    row = credentials.lock_key(connection, key_id)
    there = None if row is None else principal.within(row["cluster"])
    if row is None or there is None or not covers(there, Role.ADMIN, row["namespaces"]):
        raise NotFound(f"key {key_id} does not exist")
    return row


def _load(connection: Connection, key_id: int) -> RowMapping:
    row = credentials.lock_key(connection, key_id)
    assert row is not None, "written in this transaction"
    return row


def _public(row: RowMapping) -> dict[str, Any]:
    return {name: row[name] for name in _PUBLIC} | {"cluster": row["cluster"] or EVERY}


def _key_view(row: RowMapping) -> schemas.KeyView:
    return schemas.KeyView.model_validate(_public(row))


def _created(row: RowMapping, token: str) -> schemas.KeyCreated:
    return schemas.KeyCreated.model_validate(_public(row) | {"token": token})


def _audited(row: RowMapping) -> dict[str, Any]:
    """Fields of a key that the audit log holds; times as text."""
    found = {name: row[name] for name in _AUDITED if row[name] is not None}
    return {
        name: value.isoformat() if name.endswith("_at") else value for name, value in found.items()
    }
