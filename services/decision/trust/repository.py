"""SQL of the trust gate: what models asked for, what then happened, and the verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows


def lock_shard(connection: Connection, shard: int) -> None:
    """One look at a shard at a time, until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('harmony_trust'), :shard)"), {"shard": shard}
    )


def load_due_shards(connection: Connection, before: datetime) -> list[int]:
    """Shards with an active workload whose verdict is from `before` or earlier, or missing."""
    statement = text(
        "SELECT DISTINCT w.shard FROM workloads w "
        "LEFT JOIN trust_verdicts t ON t.workload_id = w.id "
        "WHERE w.is_active AND (t.decided_at IS NULL OR t.decided_at <= :before) ORDER BY w.shard"
    )
    return [int(row[0]) for row in connection.execute(statement, {"before": before})]


def load_verdicts(connection: Connection, ids: Sequence[int]) -> Sequence[RowMapping]:
    """Verdicts in force."""
    statement = text("SELECT * FROM trust_verdicts WHERE workload_id = ANY(:ids)")
    return connection.execute(statement, {"ids": list(ids)}).mappings().all()


def load_model_counts(
    connection: Connection, ids: Sequence[int], since: datetime, policy_version: str
) -> Sequence[RowMapping]:
    """Unguarded counts that forecasts asked for: arrays of origins, ends (epoch seconds), counts.

    A decision has an estimated risk where the forecast answered; where its model was not trusted,
    the explanation holds what it asked for; else NULL. What was held because spot nodes may be
    interrupted is left out: no other policy holds it, and what is judged knows no interruption.
    Explanations are large: only those are read, and those of workloads that had replicas there. Of
    two decisions at one origin the newer comes last.
    """
    statement = text(
        "WITH on_spot AS (SELECT DISTINCT workload_id FROM replica_states "
        "WHERE workload_id = ANY(:ids) AND observed_at >= :since AND spot_replicas > 0) "
        "SELECT workload_id, "
        "array_agg(extract(epoch FROM origin_at)::double precision ORDER BY origin_at, id) "
        "AS origins_s, "
        "array_agg(extract(epoch FROM valid_until)::double precision ORDER BY origin_at, id) "
        "AS until_s, array_agg(CASE WHEN risk_estimated IS NULL "
        "THEN (explanation ->> 'model_replicas')::int "
        "  - coalesce((explanation ->> 'model_held')::int, 0) "
        "WHEN workload_id IN (SELECT workload_id FROM on_spot) "
        "THEN raw_replicas - coalesce((explanation #>> '{spot,held}')::int, 0) "
        "ELSE raw_replicas END ORDER BY origin_at, id) AS replicas "
        "FROM decisions WHERE workload_id = ANY(:ids) AND origin_at >= :since "
        "AND policy_version = :policy_version GROUP BY workload_id"
    )
    given = {"ids": list(ids), "since": since, "policy_version": policy_version}
    return connection.execute(statement, given).mappings().all()


def load_measured_demand(
    connection: Connection, ids: Sequence[int], since: datetime
) -> Sequence[RowMapping]:
    """Demand of finished steps: arrays of step starts (epoch seconds) and values, NULL: unknown."""
    statement = text(
        "SELECT workload_id, "
        "array_agg(extract(epoch FROM step_at)::double precision ORDER BY step_at) AS steps_s, "
        "array_agg(demand ORDER BY step_at) AS demand "
        "FROM outcomes WHERE workload_id = ANY(:ids) AND step_at >= :since GROUP BY workload_id"
    )
    return connection.execute(statement, {"ids": list(ids), "since": since}).mappings().all()


def store_verdicts(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store verdicts; each replaces its workload's last."""
    columns = ("workload_id", "is_trusted", "reason", "scores", "n_looks", "state", "decided_at")
    target = CopyTarget(schema.trust_verdicts, columns, "update", ("workload_id",))
    return copy_rows(connection, target, rows)
