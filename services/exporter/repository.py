"""SQL of the exporter: the newest of everything, of each active workload of every cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, RowMapping, text

_LATEST_STEPS = 4
"""Steps after which what repeats with each of them counts as unknown, and is not shown."""
_SCORES_DAYS = 7
_ROWS_AT_ONCE = 1000
_TIMEOUT = "30s"

_AHEAD = "interval '30 seconds'"
"""What is of a later time is of a clock that was ahead: it counts when that time is there."""


def _recent(at: str) -> str:
    """Condition on a column of time."""
    oldest = f"g.now - make_interval(secs => {_LATEST_STEPS} * w.step_s)"
    return f"{at} > {oldest} AND {at} <= g.now + {_AHEAD}"


_SETTLED = "('applied', 'unchanged', 'delegated')"
_FIGURES = f"""
SELECT k.name AS cluster, w.namespace, w.name, w.step_s,
  COALESCE(w.spec -> 'paused', 'false') AS is_paused, w.spec ->> 'paused_until' AS until,
  jsonb_typeof(w.spec #> '{{sla,objective}}') = 'object' AS has_objective,
  extract(epoch FROM g.now - c.last_sample_at)::float8 AS sample_age_s,
  f.rung, f.quantile_levels, f.next_step, d.desired_replicas, d.risk_target, d.risk_estimated,
  a.to_replicas, s.spec_replicas, COALESCE(t.is_trusted, true) AS is_trusted, r.state AS risk_state,
  h.state -> 'levels' AS levels, h.state -> 'below_ratio' AS below_ratio,
  h.state -> 'n_seen' AS n_seen,
  h.state #> '{{hedge,weight,tail}}' AS tail_weight, o.pinball, o.skill_vs_last_value,
  v.state -> 'severities' AS severities
FROM workloads w
JOIN clusters k ON k.id = w.cluster_id
CROSS JOIN (SELECT CAST(:now AS timestamptz) AS now) g
LEFT JOIN ingest_cursors c ON c.workload_id = w.id
LEFT JOIN trust_verdicts t ON t.workload_id = w.id
LEFT JOIN risk_states r ON r.workload_id = w.id AND {_recent("r.updated_at")}
LEFT JOIN LATERAL (SELECT model_version, rung, quantile_levels, ARRAY(SELECT quantiles[q][1]
    FROM generate_subscripts(quantiles, 1) AS q ORDER BY q) AS next_step
  FROM forecasts WHERE workload_id = w.id AND {_recent("origin_at")}
  ORDER BY origin_at DESC, id DESC LIMIT 1) f ON true
LEFT JOIN LATERAL (SELECT desired_replicas, risk_target, risk_estimated FROM decisions
  WHERE workload_id = w.id AND {_recent("origin_at")}
  ORDER BY origin_at DESC, id DESC LIMIT 1) d ON true
LEFT JOIN LATERAL (SELECT to_replicas FROM actions
  WHERE workload_id = w.id AND {_recent("origin_at")} AND result IN {_SETTLED}
  ORDER BY origin_at DESC, id DESC LIMIT 1) a ON true
LEFT JOIN LATERAL (SELECT spec_replicas FROM replica_states
  WHERE workload_id = w.id AND {_recent("observed_at")}
  ORDER BY observed_at DESC LIMIT 1) s ON true
LEFT JOIN calibration_states h ON h.workload_id = w.id AND h.model_version = f.model_version
LEFT JOIN drift_states v ON v.workload_id = w.id AND v.model_version = f.model_version
LEFT JOIN LATERAL (SELECT pinball, skill_vs_last_value FROM forecast_scores
  WHERE workload_id = w.id AND model_version = f.model_version AND n_steps > 0
    AND origin_at > CAST(:now AS timestamptz) - interval '{_SCORES_DAYS} days'
  ORDER BY origin_at DESC LIMIT 1) o ON true
WHERE w.is_active AND w.shard % :n_parts = :part
"""  # noqa: S608  # fixed fragments with bound values


class FleetPart(NamedTuple):
    """Every `n_parts`-th shard from `part` on, which counts from 0."""

    part: int = 0
    n_parts: int = 1


def read_figures(
    connection: Connection, part: FleetPart, now: datetime
) -> Iterator[Sequence[RowMapping]]:
    """Rows of the active workloads, some at a time, so that none waits for all.

    Args:
        connection: An open transaction, of this alone.
        part: The shards asked for.
        now: Aware.
    """
    connection.execute(text(f"SET LOCAL statement_timeout = '{_TIMEOUT}'"))
    streamed = connection.execution_options(stream_results=True, max_row_buffer=_ROWS_AT_ONCE)
    result = streamed.execute(text(_FIGURES), {"now": now, **part._asdict()}).mappings()
    yield from result.partitions(_ROWS_AT_ONCE)


def read_operators(connection: Connection) -> dict[str, float]:
    """When the operator of each cluster with active workloads was seen last, in Unix time.

    A cluster that never had one is left out: its workloads were made over REST.
    """
    statement = text(
        "SELECT k.name, extract(epoch FROM k.operator_seen_at)::float8 FROM clusters k "
        "WHERE k.operator_seen_at IS NOT NULL AND EXISTS "
        "(SELECT FROM workloads w WHERE w.cluster_id = k.id AND w.is_active) ORDER BY k.name"
    )
    return {name: float(at) for name, at in connection.execute(statement)}
