"""SQL of the event stream: positions in `api_events`, and the rows that the events are about.

Rows are read in the order of (transaction id, id), and only those of transactions below the oldest
one that is still running: whatever commits later has a greater transaction id or was running, so
nothing is ever inserted before a position that has been read. Ids alone would not do: they are
drawn before their transactions commit, and a smaller one may appear after a greater one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT

CHANNEL = "harmony_events"


class Position(NamedTuple):
    """A position in the order of events."""

    xact: int
    id: int


_DECISIONS = """
SELECT d.id, d.origin_at, d.workload_id, w.namespace, w.name, c.name AS cluster,
       d.forecast_id, d.policy_version,
       d.decided_at, d.valid_until, d.current_replicas, d.raw_replicas, d.desired_replicas,
       d.direction, d.reason, d.binding_constraint, d.rung, d.risk_target, d.risk_estimated,
       d.cost_delta_usd_per_h, a.result AS action_result, a.reason AS action_reason, a.applied_at
FROM decisions d JOIN workloads w ON w.id = d.workload_id
JOIN clusters c ON c.id = w.cluster_id
LEFT JOIN LATERAL (
    SELECT result, reason, applied_at FROM actions
    WHERE workload_id = d.workload_id AND decision_id = d.id AND origin_at = d.origin_at
    ORDER BY attempt DESC LIMIT 1
) a ON true
WHERE d.id = ANY(:ids)
"""
_ACTIONS = """
SELECT a.*, w.namespace, w.name, c.name AS cluster
FROM actions a JOIN workloads w ON w.id = a.workload_id JOIN clusters c ON c.id = w.cluster_id
WHERE a.id = ANY(:ids)
"""
_OPERATIONS = """
SELECT o.id, kind, params, status, progress, message, is_cancel_requested, n_attempts, created_by,
       o.created_at, started_at, heartbeat_at, finished_at, c.name AS cluster
FROM operations o JOIN clusters c ON c.id = o.cluster_id WHERE o.id = ANY(:ids)
"""
_BY_KIND = {"decision": _DECISIONS, "action": _ACTIONS, "operation": _OPERATIONS}


def load_events(connection: Connection, after: Position, limit: int) -> list[RowMapping]:
    """Events after a position, in order, as far as nothing can still come before them."""
    statement = text(
        "SELECT xact, id, kind, refs FROM api_events WHERE (xact, id) > (:xact, :id) "
        "AND xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint "
        "ORDER BY xact, id LIMIT :limit"
    )
    values = {"xact": after.xact, "id": after.id, "limit": limit}
    return list(connection.execute(statement, values).mappings().all())


def load_end(connection: Connection) -> Position:
    """The position that the next event will come after."""
    statement = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1")
    return Position(int(connection.execute(statement).scalar_one()), 2**63 - 1)


def load_oldest(connection: Connection) -> Position | None:
    """The position of the oldest event that is kept."""
    statement = text("SELECT xact, id FROM api_events ORDER BY xact, id LIMIT 1")
    row = connection.execute(statement).first()
    return None if row is None else Position(int(row[0]), int(row[1]))


def load_subjects(connection: Connection, kind: str, ids: Sequence[int]) -> dict[int, RowMapping]:
    """The rows that events of a kind are about, by id."""
    statement = text(_BY_KIND[kind]).bindparams(bindparam("ids", type_=ARRAY(BIGINT)))
    rows = connection.execute(statement, {"ids": list(ids)}).mappings()
    return {int(row["id"]): row for row in rows}


def listen(connection: Connection) -> None:
    """Listen for events on this connection, which must be in autocommit."""
    connection.execute(text(f"LISTEN {CHANNEL}"))


def wait(connection: Connection, timeout_s: float) -> None:
    """Return when events have arrived, or after `timeout_s`."""
    driver: Any = connection.connection.driver_connection
    for _ in driver.notifies(timeout=timeout_s, stop_after=1):
        return
