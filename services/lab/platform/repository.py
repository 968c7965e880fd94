"""SQL of the command line: the fleet at a glance."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text

_STATUS = text("""
SELECT w.namespace || '/' || w.name AS workload,
       w.spec->>'mode' AS mode,
       s.spec_replicas AS current, s.ready_replicas AS ready,
       d.desired_replicas AS desired, d.reason, d.rung,
       (w.spec->'sla'->>'epsilon')::float AS promised,
       round(o.violation_ratio::numeric, 4)::float AS measured,
       d.origin_at
FROM workloads w
LEFT JOIN LATERAL (
  SELECT * FROM replica_states r WHERE r.workload_id = w.id ORDER BY observed_at DESC LIMIT 1
) s ON true
LEFT JOIN LATERAL (
  SELECT * FROM decisions c WHERE c.workload_id = w.id ORDER BY origin_at DESC LIMIT 1
) d ON true
LEFT JOIN LATERAL (
  SELECT avg(violation_ratio) AS violation_ratio FROM outcomes u
  WHERE u.workload_id = w.id AND u.step_at > d.origin_at - interval '1 day'
) o ON true
WHERE w.is_active ORDER BY workload
""")


def load_status(engine: Engine) -> list[dict[str, Any]]:
    """One row per active workload: replicas, promise, measured violations, rung, reason."""
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(_STATUS)]
