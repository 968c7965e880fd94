"""SQL of intents: scalings between their patch's announcement and their action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

_LOCK_JUDGED = text(
    "SELECT FROM workloads WHERE id = ANY(CAST(:ids AS int[])) "
    "AND spec ->> 'mode' = 'Approval' ORDER BY id FOR SHARE"
)
Keys = Sequence[tuple[int, int]]
"""Decision and attempt of each."""


def lock_results(connection: Connection) -> None:
    """Let no other leader announce a scaling or store a result until this transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('harmony_actions'))"))


def store_intents(
    connection: Connection, rows: Sequence[Mapping[str, Any]]
) -> set[tuple[int, int]]:
    """Store intents in one statement; not those that another leader has announced or settled.

    Nor those of decisions that a person has rejected by now: a rejection that was answered with
    yes must not be followed by its scaling. Whoever judges holds the workload's row meanwhile.

    Args:
        connection: An open transaction.
        rows: decision_id, attempt, origin_at, workload_id, from_replicas, to_replicas, targets,
            created_at.

    Returns:
        Decision and attempt of those that are new.
    """
    if not rows:
        return set()
    lock_results(connection)
    connection.execute(_LOCK_JUDGED, {"ids": [row["workload_id"] for row in rows]})
    statement = text(
        "INSERT INTO intents (decision_id, attempt, origin_at, workload_id, from_replicas, "
        "to_replicas, targets, created_at) SELECT decision_id, attempt, origin_at, workload_id, "
        "from_replicas, to_replicas, targets, created_at "
        "FROM jsonb_to_recordset(:rows) AS r(decision_id bigint, attempt smallint, "
        "origin_at timestamptz, workload_id int, from_replicas int, to_replicas int, "
        "targets jsonb, created_at timestamptz) WHERE NOT EXISTS (SELECT FROM actions a "
        "  WHERE a.decision_id = r.decision_id AND a.origin_at = r.origin_at "
        "  AND a.attempt >= r.attempt) AND NOT EXISTS (SELECT FROM approvals p "
        "  WHERE p.decision_id = r.decision_id AND p.verdict = 'rejected') "
        "ON CONFLICT (decision_id, attempt) DO NOTHING RETURNING decision_id, attempt"
    ).bindparams(bindparam("rows", type_=JSONB))
    return {(row[0], row[1]) for row in connection.execute(statement, {"rows": list(rows)})}


def move_intent(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Change the counts of an intent; False: it is gone, so another leader has settled it.

    Args:
        connection: An open transaction.
        row: decision_id, attempt, from_replicas, to_replicas, targets.
    """
    statement = text(
        "UPDATE intents SET from_replicas = :from_replicas, to_replicas = :to_replicas, "
        "targets = :targets WHERE decision_id = :decision_id AND attempt = :attempt"
    ).bindparams(bindparam("targets", type_=JSONB))
    names = ("decision_id", "attempt", "from_replicas", "to_replicas", "targets")
    return connection.execute(statement, {name: row[name] for name in names}).rowcount > 0


def load_intents(connection: Connection) -> Sequence[RowMapping]:
    """Intents of which it is not known what became of them, oldest first."""
    statement = text(
        "SELECT * FROM intents WHERE workload_id IN (SELECT id FROM workloads) "
        "ORDER BY created_at, decision_id, attempt"
    )
    return connection.execute(statement).mappings().all()


def load_announced(connection: Connection, decision_ids: Sequence[int]) -> set[tuple[int, int]]:
    """Decision and attempt of each open intent of some decisions."""
    statement = text(
        "SELECT decision_id, attempt FROM intents WHERE decision_id = ANY(CAST(:ids AS bigint[]))"
    )
    rows = connection.execute(statement, {"ids": list(decision_ids)})
    return {(row[0], row[1]) for row in rows}


def delete_intents(connection: Connection, keys: Keys) -> None:
    """Delete intents, in the transaction that stores what became of them."""
    if not keys:
        return
    statement = text(
        "DELETE FROM intents USING "
        "unnest(CAST(:ids AS bigint[]), CAST(:attempts AS int[])) AS k(id, attempt) "
        "WHERE intents.decision_id = k.id AND intents.attempt = k.attempt"
    )
    ids, attempts = [key[0] for key in keys], [key[1] for key in keys]
    connection.execute(statement, {"ids": ids, "attempts": attempts})


def load_changes(
    connection: Connection, ids: Sequence[int], since: datetime, now: datetime
) -> Sequence[RowMapping]:
    """Scalings after `since` with what was made of each part, and what was asked of it.

    An intent counts as applied just now: its patch may still be on its way. `is_sure` is false of
    it, and of what became unknown.
    """
    statement = text(
        "SELECT c.*, d.variants FROM ("
        "  SELECT workload_id, decision_id, origin_at, from_replicas, to_replicas, applied_at, "
        "  result = 'applied' AS is_sure, parts "
        "  FROM actions WHERE workload_id = ANY(:ids) "
        "  AND origin_at >= CAST(:since AS timestamptz) - interval '1 day' "
        "  AND result IN ('applied', 'unknown') AND applied_at > :since "
        "  AND from_replicas IS NOT NULL AND to_replicas IS NOT NULL "
        "  UNION ALL SELECT workload_id, decision_id, origin_at, from_replicas, to_replicas, "
        "  CAST(:now AS timestamptz), false, targets FROM intents WHERE workload_id = ANY(:ids)"
        ") c LEFT JOIN decisions d ON d.id = c.decision_id AND d.origin_at = c.origin_at "
        "ORDER BY c.workload_id, c.applied_at"
    )
    given = {"ids": list(ids), "since": since, "now": now}
    return connection.execute(statement, given).mappings().all()
