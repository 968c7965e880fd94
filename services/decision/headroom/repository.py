"""SQL of headroom: what services may need, how they moved together, and what is advised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.kernel.db import schema_running
from services.kernel.db.parts import PARTS
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.domain import WorkloadSpec

NEED_COLUMNS = (
    "workload_id", "part", "gpu_type", "gpus_per_replica", "usd_per_gpu_hour", "current_replicas",
    "held_replicas", "max_replicas", "step_s", "peaks", "risk_at_use", "decided_at",
)  # fmt: skip
ADVICE_COLUMNS = (
    "cluster_id", "gpu_type", "risk", "need_gpus", "gpus", "chunk_gpus", "free_gpus",
    "risk_before", "risk_after", "usd_per_hour", "is_capped", "n_workloads", "n_unknown",
    "beyond_ratio", "dependence", "n_dependence_steps", "dependence_at", "advised_at",
)  # fmt: skip
_KEPT_FOR = timedelta(days=1)
_IS_ADVISED = "s.ceiling IS NOT NULL AND s.headroom_mode IS DISTINCT FROM 'off'"


def store_needs(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store what decided workloads may need, in place of what they said before."""
    target = CopyTarget(schema_running.gpu_needs, NEED_COLUMNS, "update", ("workload_id", "part"))
    return copy_rows(connection, target, rows)


def load_due(connection: Connection, before: datetime, oldest: datetime) -> Sequence[RowMapping]:
    """Provisioned types whose headroom was not advised since `before`, with what was learned.

    Args:
        connection: An open transaction.
        before: Advice of before then is due.
        oldest: A supply that was not confirmed since then is not known.
    """
    statement = text(
        "SELECT s.cluster_id, k.name AS cluster, s.gpu_type, s.ceiling, s.node_gpus, s.asked_gpus, "  # noqa: S608 - our condition
        "s.startup_median_s, s.startup_sigma, s.n_startups, s.gpus_per_node, s.headroom_risk, "
        "h.chunk_gpus AS last_chunk_gpus, h.dependence, "
        "h.n_dependence_steps, h.dependence_at "
        "FROM gpu_supply s JOIN clusters k ON k.id = s.cluster_id "
        "LEFT JOIN gpu_headroom h ON h.cluster_id = s.cluster_id AND h.gpu_type = s.gpu_type "
        f"WHERE {_IS_ADVISED} AND s.observed_at >= :oldest "
        "AND (h.advised_at IS NULL OR h.advised_at <= :before OR h.advised_at > :latest) "
        "ORDER BY s.cluster_id, s.gpu_type"
    )
    # advice of a time that is still to come is of a clock that was set back
    given = {"before": before, "oldest": oldest, "latest": before + _KEPT_FOR}
    return connection.execute(statement, given).mappings().all()


def load_needs(
    connection: Connection, cluster_id: int, gpu_type: str, n_steps: int, now: datetime
) -> Sequence[RowMapping]:
    """What the active workloads of a type may need, as far as they said it lately.

    With what each pays for risk, as a logarithm of replica-steps; NULL: nobody knows yet.

    Args:
        connection: An open transaction.
        cluster_id: Whose workloads.
        gpu_type: The type.
        n_steps: What a workload said holds for so many steps of its own.
        now: Aware.
    """
    statement = text(
        f"SELECT {', '.join(f'n.{name}' for name in NEED_COLUMNS)}, "  # noqa: S608 - our columns
        "CAST(r.state ->> 'log_multiplier' AS double precision) AS log_risk_price "
        "FROM gpu_needs n JOIN workloads w ON w.id = n.workload_id "
        "LEFT JOIN risk_states r ON r.workload_id = n.workload_id WHERE w.is_active "
        "AND w.cluster_id = :cluster_id AND n.gpu_type = :gpu_type "
        "AND n.decided_at >= CAST(:now AS timestamptz) - n.step_s * :n_steps * interval '1 s' "
        "ORDER BY n.workload_id, n.part"
    )
    given = {"cluster_id": cluster_id, "gpu_type": gpu_type, "n_steps": n_steps, "now": now}
    return connection.execute(statement, given).mappings().all()


def count_services(connection: Connection, cluster_id: int, gpu_type: str) -> int:
    """Active workloads of GPUAutoscalers that may run on a GPU type."""
    statement = text(
        "SELECT count(*) FROM workloads w WHERE w.is_active AND w.cluster_id = :cluster_id "  # noqa: S608 - our fragment
        f"AND w.managed_by = 'kubernetes' AND CASE WHEN jsonb_array_length({PARTS}) = 0 "
        "THEN COALESCE(w.spec ->> 'gpu_type', :default) = :gpu_type "
        f"ELSE EXISTS (SELECT FROM jsonb_array_elements({PARTS}) v "
        "WHERE v ->> 'gpu_type' = :gpu_type) END"
    )
    default = WorkloadSpec.model_fields["gpu_type"].default
    given = {"cluster_id": cluster_id, "gpu_type": gpu_type, "default": default}
    return int(connection.execute(statement, given).scalar_one())


def load_forecast_outcomes(
    connection: Connection, ids: Sequence[int], first: datetime, last: datetime
) -> Sequence[RowMapping]:
    """Demands of finished steps, each with the quantiles that were forecast of it.

    Of each step it is the forecast behind the decision that was in force.
    """
    statement = text(
        "SELECT o.workload_id, o.step_at, o.demand, f.quantile_levels, ARRAY("
        "  SELECT f.quantiles[q][h.step] FROM generate_subscripts(f.quantiles, 1) AS q ORDER BY q"
        ") AS quantiles FROM outcomes o "
        "JOIN decisions d ON d.id = o.decision_id AND d.origin_at <= :last "
        "  AND d.origin_at >= CAST(:first AS timestamptz) - interval '1 day' "
        "JOIN forecasts f ON f.id = d.forecast_id AND f.origin_at = d.origin_at "
        "CROSS JOIN LATERAL (SELECT round(extract(epoch FROM o.step_at - f.origin_at) / f.step_s)"
        "::int AS step) h WHERE o.workload_id = ANY(:ids) AND o.step_at >= :first "
        "AND o.step_at <= :last AND o.demand IS NOT NULL AND h.step BETWEEN 1 AND f.n_horizon "
        "ORDER BY o.workload_id, o.step_at"
    )
    given = {"ids": list(ids), "first": first, "last": last}
    return connection.execute(statement, given).mappings().all()


def store_advice(connection: Connection, row: Mapping[str, Any]) -> None:
    """Store what is advised for a type: a value for each of `ADVICE_COLUMNS`."""
    changed = ", ".join(f"{name} = EXCLUDED.{name}" for name in ADVICE_COLUMNS[2:])
    statement = text(
        f"INSERT INTO gpu_headroom ({', '.join(ADVICE_COLUMNS)}) "  # noqa: S608 - our columns
        f"VALUES ({', '.join(f':{name}' for name in ADVICE_COLUMNS)}) "
        f"ON CONFLICT (cluster_id, gpu_type) DO UPDATE SET {changed}"
    )
    connection.execute(statement, dict(row))


def drop_advice(connection: Connection, now: datetime) -> None:
    """Drop what is advised where it no longer is, and needs of workloads that are long gone."""
    connection.execute(
        text(
            "DELETE FROM gpu_headroom h WHERE NOT EXISTS (SELECT FROM gpu_supply s WHERE "  # noqa: S608 - our condition
            f"s.cluster_id = h.cluster_id AND s.gpu_type = h.gpu_type AND {_IS_ADVISED})"
        )
    )
    connection.execute(
        text("DELETE FROM gpu_needs WHERE decided_at < :oldest"), {"oldest": now - _KEPT_FOR}
    )
