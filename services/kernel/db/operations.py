"""SQL of `operations`: long work that is asked for through the API and done by a worker.

The row is the truth; the job carries its id. A worker claims the row before it works, so a job
that is delivered twice is done once, and one whose worker died is claimed anew once its heartbeat
is old.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

SILENT_AFTER = timedelta(seconds=120)
"""Without a heartbeat for so long, a worker is taken for dead."""
EVENTS_KEPT = timedelta(days=1)
MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Claimed:
    """An operation that this worker is to carry out."""

    id: int
    kind: str
    params: dict[str, Any]
    n_attempts: int


@dataclass(frozen=True, slots=True)
class OperationEnd:
    """End of an operation: its last status and message, and the result of one that succeeded."""

    status: str
    message: str
    result: dict[str, Any] | None = None


def insert_operation(
    connection: Connection, kind: str, params: dict[str, Any], actor: str, at: datetime
) -> int:
    """Store a queued operation and return its id."""
    statement = text(
        "INSERT INTO operations (kind, params, created_by, created_at) "
        "VALUES (:kind, :params, :actor, :at) RETURNING id"
    ).bindparams(bindparam("params", type_=JSONB))
    values = {"kind": kind, "params": params, "actor": actor, "at": at}
    return int(connection.execute(statement, values).scalar_one())


def whose_turn(connection: Connection, operation_id: int) -> int:
    """The operation to do with a job that names one: which of its kind is next.

    The namespaces whose operations wait take turns: whose last one began longest ago is next, with
    its oldest. So a tenant that asks for many holds up one that asks for one by a single operation.
    As many jobs were sent as wait, so each is done by one of them. Another worker's is left to it.
    """
    namespace = "split_part({}.params -> 'workloads' ->> 0, '/', 1)".format
    statement = text(
        "SELECT o.id FROM operations o WHERE o.status = 'queued' "  # noqa: S608
        "AND o.kind = (SELECT kind FROM operations WHERE id = :id) "
        "ORDER BY (SELECT max(p.started_at) FROM operations p WHERE p.kind = o.kind "
        f"AND {namespace('p')} IS NOT DISTINCT FROM {namespace('o')}) NULLS FIRST, o.id "
        "LIMIT 1 FOR UPDATE OF o SKIP LOCKED"
    )
    found = connection.execute(statement, {"id": operation_id}).scalar()
    return operation_id if found is None else int(found)


def claim_operation(connection: Connection, operation_id: int, now: datetime) -> Claimed | None:
    """Take an operation that is queued, or whose worker is silent; None: there is nothing to do.

    One whose workers died `MAX_ATTEMPTS` times, or that was to be cancelled, ends here.
    """
    values = {"id": operation_id, "now": now, "silent": now - SILENT_AFTER, "most": MAX_ATTEMPTS}
    is_free = "id = :id AND (status = 'queued' OR (status = 'running' AND heartbeat_at < :silent))"
    connection.execute(
        text(
            "UPDATE operations SET status = CASE WHEN is_cancel_requested THEN 'cancelled' "  # noqa: S608
            "ELSE 'failed' END, finished_at = :now, message = CASE WHEN is_cancel_requested "
            "THEN 'cancelled before it began' ELSE "
            "'given up: its worker died ' || n_attempts || ' times' END "
            f"WHERE {is_free} AND (is_cancel_requested OR n_attempts >= :most)"
        ),
        values,
    )
    row = connection.execute(
        text(
            "UPDATE operations SET status = 'running', n_attempts = n_attempts + 1, "  # noqa: S608
            "started_at = COALESCE(started_at, :now), heartbeat_at = :now, progress = 0, "
            f"message = 'begun' WHERE {is_free} RETURNING id, kind, params, n_attempts"
        ),
        values,
    ).first()
    return None if row is None else Claimed(row.id, row.kind, row.params, row.n_attempts)


def report_operation(
    connection: Connection, claimed: Claimed, progress: float, message: str, now: datetime
) -> bool:
    """Note how far it is; false: stop, it is to be cancelled or another worker has taken it."""
    row = connection.execute(
        text(
            "UPDATE operations SET progress = :progress, message = :message, heartbeat_at = :now "
            "WHERE id = :id AND status = 'running' AND n_attempts = :attempt "
            "RETURNING is_cancel_requested"
        ),
        {
            "id": claimed.id,
            "attempt": claimed.n_attempts,
            "progress": min(max(progress, 0.0), 1.0),
            "message": message[:500],
            "now": now,
        },
    ).first()
    return row is not None and not row.is_cancel_requested


def beat_operation(connection: Connection, claimed: Claimed, now: datetime) -> bool:
    """Note that its worker lives; false: it has ended, or another worker has taken it."""
    statement = text(
        "UPDATE operations SET heartbeat_at = :now "
        "WHERE id = :id AND status = 'running' AND n_attempts = :attempt"
    )
    values = {"id": claimed.id, "attempt": claimed.n_attempts, "now": now}
    return connection.execute(statement, values).rowcount == 1


def finish_operation(
    connection: Connection, claimed: Claimed, end: OperationEnd, now: datetime
) -> bool:
    """Store the end of an operation; false: another worker has taken it meanwhile."""
    statement = text(
        "UPDATE operations SET status = :status, message = :message, result = :result, "
        "progress = CASE WHEN :status = 'succeeded' THEN 1 ELSE progress END, "
        "heartbeat_at = :now, finished_at = :now "
        "WHERE id = :id AND status = 'running' AND n_attempts = :attempt"
    ).bindparams(bindparam("result", type_=JSONB(none_as_null=True)))
    values = {
        "id": claimed.id,
        "attempt": claimed.n_attempts,
        "status": end.status,
        "message": end.message[:2000],
        "result": end.result,
        "now": now,
    }
    return connection.execute(statement, values).rowcount == 1


def load_lost(connection: Connection, kinds: Collection[str], now: datetime) -> list[RowMapping]:
    """Operations of some kinds whose job was lost: queued for long, or running and silent."""
    statement = text(
        "SELECT id, kind FROM operations WHERE kind = ANY(:kinds) "
        "AND ((status = 'queued' AND created_at < :silent) "
        "OR (status = 'running' AND heartbeat_at < :silent)) ORDER BY id"
    )
    given = {"kinds": list(kinds), "silent": now - SILENT_AFTER}
    return list(connection.execute(statement, given).mappings())


def drop_old_events(connection: Connection) -> None:
    """Drop what the event stream keeps no longer; who else does the same is not waited for."""
    connection.execute(
        text(
            "DELETE FROM api_events WHERE id IN (SELECT id FROM api_events "
            "WHERE created_at < clock_timestamp() - CAST(:kept AS interval) "
            "ORDER BY created_at LIMIT 10000 FOR UPDATE SKIP LOCKED)"
        ),
        {"kept": EVENTS_KEPT},
    )
