"""SQL of API keys and of the audit chain, used by `services.kernel.security.keys` only."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    and_,
    exists,
    false,
    insert,
    or_,
    select,
    text,
    true,
    update,
)

from services.kernel.db.schema_access import api_keys, audit
from services.kernel.db.schema_clusters import clusters

_AUDIT_LOCK = 7013
_CLUSTER = select(clusters.c.name).where(clusters.c.id == api_keys.c.cluster_id).scalar_subquery()
_KEY = (*api_keys.c, _CLUSTER.label("cluster"))


def load_key(connection: Connection, prefix: str) -> RowMapping | None:
    """The key with this prefix, revoked or not."""
    statement = select(*_KEY).where(api_keys.c.prefix == prefix)
    return connection.execute(statement).mappings().first()


def load_keys(
    connection: Connection,
    within: Mapping[str | None, list[str] | None] | None = None,
    after: int | None = None,
    limit: int | None = None,
) -> list[RowMapping]:
    """Keys, newest first; the hash is for the verifier only.

    Args:
        connection: An open transaction.
        within: Only keys of nothing but these namespaces (None: of any) of a cluster, by its name
            (None: of every cluster, and of all at once); None: all keys.
        after: Only keys older than the one with this id; None: from the newest.
        limit: At most this many; None: all.
    """
    statement = select(*_KEY).order_by(api_keys.c.id.desc()).limit(limit)
    if within is not None:
        scopes = [
            and_(
                true(),
                *([] if cluster is None else [_CLUSTER.in_([cluster])]),
                *([] if names is None else [api_keys.c.namespaces.contained_by(names)]),
            )
            for cluster, names in within.items()
        ]
        statement = statement.where(or_(false(), *scopes))
    if after is not None:
        statement = statement.where(api_keys.c.id < after)
    return list(connection.execute(statement).mappings().all())


def insert_key(connection: Connection, values: dict[str, Any]) -> int:
    """Store a key and return its id."""
    statement = insert(api_keys).values(values).returning(api_keys.c.id)
    return int(connection.execute(statement).scalar_one())


def set_key_revoked(connection: Connection, key_id: int, at: datetime) -> RowMapping | None:
    """Mark a key revoked; None where there is no such key that is still in force."""
    statement = (
        update(api_keys)
        .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=at)
        .returning(*_KEY)
    )
    return connection.execute(statement).mappings().first()


def lock_key(connection: Connection, key_id: int) -> RowMapping | None:
    """The key, kept from other transactions until this one ends."""
    statement = select(*_KEY).where(api_keys.c.id == key_id).with_for_update(of=api_keys)
    return connection.execute(statement).mappings().first()


def set_key_replaced(connection: Connection, key_id: int, by: int, until: datetime) -> None:
    """Note which key took a key's place, and until when the old one is still accepted."""
    statement = update(api_keys).where(api_keys.c.id == key_id)
    connection.execute(statement.values(replaced_by=by, expires_at=until))


def has_key_in_force(connection: Connection, role: str, at: datetime) -> bool:
    """Check whether a key of this role for the whole fleet could log in at `at`."""
    statement = select(api_keys.c.id).where(
        api_keys.c.role == role,
        api_keys.c.namespaces.is_(None),
        # one of a single cluster could not administer the rest
        api_keys.c.cluster_id.is_(None) | ~exists().where(clusters.c.id != api_keys.c.cluster_id),
        api_keys.c.revoked_at.is_(None),
        api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > at),
    )
    return connection.execute(statement.limit(1)).first() is not None


def lock_audit_tail(connection: Connection) -> RowMapping | None:
    """The newest audit entry; no other transaction can append until this one ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _AUDIT_LOCK})
    statement = select(audit.c.id, audit.c.hash).order_by(audit.c.id.desc()).limit(1)
    return connection.execute(statement).mappings().first()


def load_audit_head(connection: Connection) -> int:
    """Id of the newest audit entry; 0: there is none."""
    statement = select(audit.c.id).order_by(audit.c.id.desc()).limit(1)
    return int(connection.execute(statement).scalar() or 0)


def insert_audit(connection: Connection, values: dict[str, Any]) -> int:
    """Store an audit entry and return its id."""
    statement = insert(audit).values(values).returning(audit.c.id)
    return int(connection.execute(statement).scalar_one())


def iterate_audit(connection: Connection) -> Generator[RowMapping, None, None]:
    """All audit entries, oldest first, without loading them at once."""
    statement = select(audit).order_by(audit.c.id).execution_options(yield_per=1000)
    with connection.execute(statement) as result:
        yield from result.mappings()
