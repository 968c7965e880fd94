"""SQL of cells; the connection sees the rows of one cluster."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.admin.rest.times import AHEAD
from services.kernel.db.parts import PARTS, asked_in, count_in
from services.kernel.domain import WorkloadSpec

_DECIDED = """
SELECT count(*) AS n_workloads,
       count(*) FILTER (WHERE d.valid_until IS NULL OR d.valid_until <= :now) AS n_stale,
       max(d.decided_at) AS decided_at, min(d.decided_at) AS oldest_decided_at
FROM workloads w LEFT JOIN LATERAL (
    SELECT decided_at, valid_until FROM decisions
    WHERE workload_id = w.id AND origin_at <= :until
    ORDER BY origin_at DESC, id DESC LIMIT 1
) d ON true
WHERE w.is_active
"""
_USED = f"""
SELECT k.gpu_type, count(DISTINCT w.id) AS n_workloads,
       bool_or({asked_in("r", "k.part")} IS NULL) AS is_unmeasured,
       sum(k.gpus * {asked_in("r", "k.part")})::bigint AS used_gpus
FROM workloads w CROSS JOIN LATERAL (
    SELECT COALESCE(w.spec ->> 'gpu_type', :gpu_type) AS gpu_type,
           COALESCE({count_in("w.spec", "gpus_per_replica")}, :gpus) AS gpus, NULL AS part
    WHERE jsonb_array_length({PARTS}) = 0
    UNION ALL
    SELECT COALESCE(v ->> 'gpu_type', :gpu_type),
           COALESCE({count_in("v", "gpus_per_replica")}, :gpus), v ->> 'name'
    FROM jsonb_array_elements({PARTS}) v WHERE v ->> 'name' IS NOT NULL
) k
LEFT JOIN LATERAL (
    SELECT spec_replicas, variants FROM replica_states
    WHERE workload_id = w.id AND observed_at <= :until
    ORDER BY observed_at DESC LIMIT 1
) r ON true
WHERE w.is_active GROUP BY k.gpu_type ORDER BY k.gpu_type
"""  # noqa: S608  # fixed fragments with bound values


def load_decided(connection: Connection, now: datetime) -> RowMapping:
    """How many workloads there are, and how fresh their decisions are."""
    return connection.execute(text(_DECIDED), {"now": now, "until": now + AHEAD}).mappings().one()


def load_parts(connection: Connection, cluster_id: int) -> dict[str, int]:
    """Parts of totals over the cells, by GPU type."""
    statement = text("SELECT gpu_type, gpus FROM cell_budgets WHERE cluster_id = :id")
    return {row[0]: int(row[1]) for row in connection.execute(statement, {"id": cluster_id})}


def load_totals(connection: Connection) -> list[RowMapping]:
    """What this database has of each total, and the price that its dearest cell told last."""
    statement = text(
        "SELECT t.gpu_type, t.gpus, max(p.price_usd_per_gpu_hour) AS price_usd_per_gpu_hour, "
        # a price was found at each exchange: one that is not stored was beyond every number
        "COALESCE(bool_or(p.price_usd_per_gpu_hour IS NULL) FILTER (WHERE p.gpu_type IS NOT NULL), "
        "false) AS is_short, max(p.exchanged_at) AS exchanged_at "
        "FROM cell_totals t LEFT JOIN cell_budgets p ON p.gpu_type = t.gpu_type "
        "GROUP BY t.gpu_type, t.gpus ORDER BY t.gpu_type"
    )
    return list(connection.execute(statement).mappings())


def load_ledgers(connection: Connection) -> list[RowMapping]:
    """What was given to other databases, and taken from them."""
    statement = text(
        "SELECT gpu_type, peer, given_gpus, taken_gpus FROM peer_gpus ORDER BY gpu_type, peer"
    )
    return list(connection.execute(statement).mappings())


def load_used(connection: Connection, now: datetime) -> list[RowMapping]:
    """GPUs that the targets ask for, by type."""
    fields = WorkloadSpec.model_fields
    values: dict[str, Any] = {
        "gpu_type": fields["gpu_type"].default,
        "gpus": fields["gpus_per_replica"].default,
    }
    values |= {"until": now + AHEAD}
    return list(connection.execute(text(_USED), values).mappings())
