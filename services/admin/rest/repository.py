"""SQL of writes that may be sent twice: the answers stored under an `Idempotency-Key`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

KEPT = timedelta(days=1)


def claim_key(connection: Connection, actor: str, key: str, now: datetime) -> RowMapping | None:
    """The answer stored under a key; None: this transaction may write it, and no other until then.

    Answers older than a day are dropped on the way.
    """
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7014))"),
        {"name": f"{actor}\n{key}"},
    )
    connection.execute(
        text(
            "DELETE FROM idempotency_keys WHERE created_at < :before AND ((actor, key) IN ("
            "SELECT actor, key FROM idempotency_keys WHERE created_at < :before LIMIT 100 "
            "FOR UPDATE SKIP LOCKED) OR (actor = :actor AND key = :key))"
        ),
        {"before": now - KEPT, "actor": actor, "key": key},
    )
    statement = text(
        "SELECT request_hash, status, headers, body FROM idempotency_keys "
        "WHERE actor = :actor AND key = :key"
    )
    return connection.execute(statement, {"actor": actor, "key": key}).mappings().first()


def store_answer(connection: Connection, values: dict[str, Any]) -> None:
    """Store an answer: actor, key, request_hash, status, headers, body, created_at."""
    statement = text(
        "INSERT INTO idempotency_keys (actor, key, request_hash, status, headers, body, created_at)"
        " VALUES (:actor, :key, :request_hash, :status, :headers, :body, :created_at)"
    ).bindparams(
        bindparam("headers", type_=JSONB), bindparam("body", type_=JSONB(none_as_null=True))
    )
    connection.execute(statement, values)


def notify(connection: Connection, channel: str) -> None:
    """Wake the listeners of `channel` when the transaction commits."""
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channel})


def load_workload_id(connection: Connection, namespace: str, name: str) -> RowMapping | None:
    """Id, step and spec of one workload."""
    statement = text(
        "SELECT id, step_s, spec::text AS spec_text FROM workloads "
        "WHERE namespace = :namespace AND name = :name"
    )
    return connection.execute(statement, {"namespace": namespace, "name": name}).mappings().first()
