"""Use cases around keys and the audit log; every write is audited in its own transaction."""

from __future__ import annotations

from typing import Any

from services.admin import repository, schemas
from services.admin.service import AdminDeps, decode_cursor, encode_cursor
from services.kernel import security
from services.kernel.db import credentials
from services.kernel.security import AuditEntry, Principal

_PUBLIC = ("id", "name", "prefix", "role", "created_at", "expires_at", "revoked_at")


def create_key(
    deps: AdminDeps, request: schemas.KeyRequest, principal: Principal
) -> schemas.KeyCreated:
    """Make a key; its token is in the answer and nowhere else.

    Raises:
        InvalidInput: It would have expired already.
    """
    now = deps.wall.now()
    with deps.engine.begin() as connection:
        made = security.create_key(connection, request.name, request.role, now, request.expires_at)
        after = {"name": request.name, "role": request.role.value}
        if request.expires_at:
            after["expires_at"] = request.expires_at.isoformat()
        entry = AuditEntry(now, principal.actor, "key.create", f"key/{made.prefix}", after=after)
        security.append_audit(connection, entry)
        row = credentials.load_key(connection, made.prefix)
    public = {name: row[name] for name in _PUBLIC} if row else {}
    return schemas.KeyCreated.model_validate(public | {"token": made.token})


def revoke_key(deps: AdminDeps, key_id: int, principal: Principal) -> None:
    """Revoke a key; its sessions end at once, other processes forget it within a minute.

    Raises:
        NotFound: There is no such key in force.
    """
    now = deps.wall.now()
    with deps.engine.begin() as connection:
        gone = security.revoke_key(connection, key_id, now)
        entry = AuditEntry(
            now,
            principal.actor,
            "key.revoke",
            f"key/{gone.prefix}",
            before={"name": gone.name, "role": gone.role.value},
        )
        security.append_audit(connection, entry)
    deps.verifier.forget(key_id)


def list_keys(deps: AdminDeps) -> list[schemas.KeyView]:
    """All keys, newest first, revoked ones too."""
    with deps.engine.connect() as connection:
        rows = credentials.load_keys(connection)
    return [schemas.KeyView.model_validate({n: row[n] for n in _PUBLIC}) for row in rows]


def log_in(deps: AdminDeps, token: str) -> tuple[str, Principal]:
    """Open a console session with an API key; returns the session's token.

    Raises:
        Unauthorized: The key is not valid.
    """
    now = deps.wall.now()
    principal = deps.verifier.verify(token, now)
    with deps.engine.begin() as connection:
        entry = AuditEntry(now, principal.actor, "session.open", f"key/{principal.prefix}")
        security.append_audit(connection, entry)
    return deps.sessions.open(principal.prefix), principal


def list_audit(deps: AdminDeps, limit: int, cursor: str | None) -> schemas.Page[schemas.AuditView]:
    """Audit entries, newest first."""
    before: Any = decode_cursor(cursor, (int,))[0] if cursor else None
    with deps.engine.connect() as connection:
        rows = repository.load_audit(connection, before, limit + 1)
    following = encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None
    items = [schemas.AuditView.model_validate(dict(row)) for row in rows[:limit]]
    return schemas.Page[schemas.AuditView](items=items, next_cursor=following)


def check_audit(deps: AdminDeps) -> schemas.AuditCheck:
    """Recompute the audit chain."""
    with deps.engine.connect() as connection:
        report = security.verify_audit(connection)
    return schemas.AuditCheck(
        is_intact=report.is_intact,
        n_entries=report.n_entries,
        first_broken_id=report.first_broken_id,
    )
