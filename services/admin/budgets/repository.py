"""SQL of the GPU budgets: what is allowed, used, and given up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from services.admin.rest.times import AHEAD
from services.kernel.db.parts import PARTS, asked_in, count_in
from services.kernel.domain import WorkloadSpec

# A type without a row of its own goes by the row `*`, where there is one. A workload with variants
# or pools is a member of each of their budgets, once for each of them, one made over REST of none.
_MEMBERS = f"""
SELECT w.id, w.namespace, w.name, w.spec -> 'sla' AS sla, b.gpu_type AS budget,
       COALESCE(k.gpus, :gpus_per_replica) AS gpus, k.part,
       COALESCE(k.gpu_type, :default_type) AS gpu_type
FROM workloads w CROSS JOIN LATERAL (
    SELECT w.spec ->> 'gpu_type' AS gpu_type, {count_in("w.spec", "gpus_per_replica")} AS gpus,
           NULL AS part
    WHERE jsonb_array_length({PARTS}) = 0
    UNION ALL
    SELECT v ->> 'gpu_type', {count_in("v", "gpus_per_replica")}, v ->> 'name'
    FROM jsonb_array_elements({PARTS}) v WHERE v ->> 'name' IS NOT NULL
) k JOIN gpu_budgets b ON b.gpu_type = COALESCE((
    SELECT gpu_type FROM gpu_budgets WHERE gpu_type = COALESCE(k.gpu_type, :default_type)
), '*')
WHERE w.is_active AND w.managed_by = 'kubernetes'
  AND (CAST(:gpu_type AS text) IS NULL OR b.gpu_type = :gpu_type)
"""  # noqa: S608  # fixed fragments with bound values

_NEWEST = """
LATERAL (SELECT id, origin_at, decided_at, valid_until, reason, binding_constraint,
                desired_replicas
         FROM decisions WHERE workload_id = m.id AND origin_at <= :until
         ORDER BY origin_at DESC, id DESC LIMIT 1)
"""

_USAGE = f"""
SELECT m.budget, count(DISTINCT m.id) AS n_workloads,
       count(DISTINCT m.id) FILTER (WHERE {asked_in("r", "m.part")} IS NULL) AS n_unmeasured,
       sum(m.gpus * {asked_in("r", "m.part")})::bigint AS used_gpus
FROM ({_MEMBERS}) m
LEFT JOIN LATERAL (
    SELECT spec_replicas, variants FROM replica_states
    WHERE workload_id = m.id AND observed_at <= :until
    ORDER BY observed_at DESC LIMIT 1
) r ON true
GROUP BY m.budget
"""  # noqa: S608  # fixed fragments with bound values

# The decision of a workload with parts is explained by the budget of one of their types.
_PRICES = f"""
SELECT p.budget, p.decided_at,
       CASE WHEN p.is_of_it THEN d.explanation -> 'gpu_budget' END AS gpu_budget
FROM (
    SELECT DISTINCT ON (m.budget) m.budget, d.id, d.origin_at, d.decided_at, o.is_of_it
    FROM ({_MEMBERS}) m JOIN {_NEWEST} d ON d.valid_until > :now CROSS JOIN LATERAL (
        SELECT m.part IS NULL OR EXISTS (
            SELECT FROM decisions e WHERE e.id = d.id AND e.origin_at = d.origin_at
            AND e.explanation #>> '{{gpu_budget,gpu_type}}' = m.gpu_type
        ) AS is_of_it
    ) o
    ORDER BY m.budget, o.is_of_it DESC, d.decided_at DESC, d.id DESC
) p JOIN decisions d ON d.id = p.id AND d.origin_at = p.origin_at
"""  # noqa: S608  # fixed fragments with bound values

_CUT = f"""
SELECT * FROM (
    SELECT DISTINCT ON (m.budget, m.id)
           m.budget, m.namespace, m.name, m.sla, m.gpus AS gpus_per_replica,
           n.id AS decision_id, n.decided_at, n.reason, n.desired_replicas AS granted_replicas,
           (d.explanation #>> '{{guard_trace,-1,before}}')::int AS wanted_replicas,
           (d.explanation #>> '{{fleet,shadow_price_usd_per_gpu_hour}}')::double precision
               AS price_usd_per_gpu_hour
    FROM ({_MEMBERS}) m
    JOIN {_NEWEST} n ON n.valid_until > :now AND n.binding_constraint = 'gpu_budget'
    JOIN decisions d ON d.id = n.id AND d.origin_at = n.origin_at
    WHERE m.part IS NULL OR d.explanation #>> '{{gpu_budget,gpu_type}}' = m.budget
    ORDER BY m.budget, m.id, m.part
) decided WHERE wanted_replicas > granted_replicas
"""  # noqa: S608  # fixed fragments with bound values

_N_CUT = f"SELECT budget, count(*) AS n_cut FROM ({_CUT}) c GROUP BY budget"  # noqa: S608

_GIVEN_UP = f"""
SELECT * FROM (
    SELECT c.*, (wanted_replicas - granted_replicas) * gpus_per_replica AS gpus,
           count(*) OVER (PARTITION BY budget) AS n_cut,
           row_number() OVER (
               PARTITION BY budget
               ORDER BY (wanted_replicas - granted_replicas) * gpus_per_replica DESC,
                        namespace, name
           ) AS place
    FROM ({_CUT}) c
    WHERE CAST(:namespaces AS text[]) IS NULL OR namespace = ANY(:namespaces)
) ranked WHERE place <= :limit ORDER BY budget, place
"""  # noqa: S608  # fixed fragments with bound values


def load_budgets(connection: Connection, gpu_type: str | None = None) -> list[RowMapping]:
    """Budgets as the operator read them, of one type when given; parts of totals over the cells."""
    statement = text(
        "SELECT b.gpu_type, b.gpus, b.source, b.reason, b.observed_at, "
        "t.gpu_type IS NOT NULL AS is_of_total, p.gpus AS cell_gpus FROM gpu_budgets b "
        "LEFT JOIN cell_totals t ON t.gpu_type = b.gpu_type LEFT JOIN cell_budgets p "
        "ON p.gpu_type = t.gpu_type AND p.cluster_id = current_cluster() "
        "WHERE CAST(:gpu_type AS text) IS NULL OR b.gpu_type = :gpu_type ORDER BY b.gpu_type"
    )
    return list(connection.execute(statement, {"gpu_type": gpu_type}).mappings().all())


def load_supplies(connection: Connection) -> dict[str, RowMapping]:
    """Where the GPUs of each type come from."""
    statement = text(
        "SELECT gpu_type, ceiling, reason, message, node_gpus, asked_gpus, startup_median_s, "
        "n_startups, refused_at, retry_at, refusal FROM gpu_supply"
    )
    return {row["gpu_type"]: row for row in connection.execute(statement).mappings()}


def load_headroom(connection: Connection) -> dict[str, RowMapping]:
    """What is advised to be held ready of each type whose supply is provisioned."""
    statement = text(
        "SELECT gpu_type, gpus, free_gpus, chunk_gpus, need_gpus, is_capped, usd_per_hour, risk, "
        "risk_before, risk_after, dependence, n_dependence_steps, n_workloads, n_unknown, "
        "beyond_ratio, advised_at FROM gpu_headroom"
    )
    return {row["gpu_type"]: row for row in connection.execute(statement).mappings()}


def load_usage(
    connection: Connection, now: datetime, gpu_type: str | None = None
) -> dict[str, RowMapping]:
    """Workloads and the GPUs that their targets ask for, by budget; NULL: none is measured."""
    return _by_budget(connection, _USAGE, _values(gpu_type, now))


def load_prices(
    connection: Connection, now: datetime, gpu_type: str | None = None
) -> dict[str, RowMapping]:
    """Prices of budgets, by the newest valid decision under each; NULL: it knew of no budget."""
    return _by_budget(connection, _PRICES, _values(gpu_type, now) | {"now": now})


def load_n_cut(
    connection: Connection, now: datetime, gpu_type: str | None = None
) -> dict[str, RowMapping]:
    """Workloads whose newest valid decision each budget cut, whoever may see them."""
    return _by_budget(connection, _N_CUT, _values(gpu_type, now) | {"now": now})


def load_given_up(
    connection: Connection,
    now: datetime,
    limit: int,
    gpu_type: str | None = None,
    namespaces: frozenset[str] | None = None,
) -> list[RowMapping]:
    """Newest valid decisions that a budget cut, most GPUs first.

    Args:
        connection: An open transaction.
        now: Decisions that have expired by then do not count.
        limit: At most this many of each budget; `n_cut` counts all of `namespaces`.
        gpu_type: Of one budget only.
        namespaces: Of workloads in these only; None: all.
    """
    named = None if namespaces is None else sorted(namespaces)
    values = _values(gpu_type, now) | {"now": now, "limit": limit, "namespaces": named}
    statement = text(_GIVEN_UP).bindparams(bindparam("namespaces", type_=ARRAY(TEXT)))
    return list(connection.execute(statement, values).mappings().all())


def _values(gpu_type: str | None, now: datetime) -> dict[str, Any]:
    fields = WorkloadSpec.model_fields
    return {
        "gpu_type": gpu_type,
        "until": now + AHEAD,
        "default_type": fields["gpu_type"].default,
        "gpus_per_replica": fields["gpus_per_replica"].default,
    }


def _by_budget(connection: Connection, query: str, values: dict[str, Any]) -> dict[str, RowMapping]:
    return {row["budget"]: row for row in connection.execute(text(query), values).mappings()}
