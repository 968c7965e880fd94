"""SQL of SLA classes: what the workloads that carry them promise and keep."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.admin.rest.lists_repository import Conditions
from services.kernel.domain.promise import LEAST_CHANCE

# Of a row that somebody changed by hand any may be anything. Each workload counts with the time of
# its steps at the length that they have now: that of each, by what follows it, takes seven times as
# long to find.
_CLASSES = """
SELECT c.name, COALESCE(max(c.priority) FILTER (WHERE c.is_active), max(c.priority)) AS priority,
       count(*) FILTER (WHERE c.is_active) AS n_workloads,
       COALESCE(min(c.epsilon) FILTER (WHERE c.is_active), min(c.epsilon)) AS epsilon_min,
       COALESCE(max(c.epsilon) FILTER (WHERE c.is_active), max(c.epsilon)) AS epsilon_max,
       COALESCE(array_agg(DISTINCT c.kind) FILTER (WHERE c.is_active),
                array_agg(DISTINCT c.kind)) AS kinds,
       sum(o.violation * o.n_steps * c.step_s) / nullif(sum(o.n_steps * c.step_s), 0)
           AS violation_ratio,
       sum(o.measured * o.n_measured * c.step_s) / nullif(sum(o.n_measured * c.step_s)
           FILTER (WHERE o.measured IS NOT NULL), 0) AS measured_ratio,
       sum(o.believed * o.n_believed * c.step_s) / nullif(sum(o.n_believed * c.step_s), 0)
           AS believed_ratio,
       COALESCE(sum(o.n_steps), 0)::bigint AS n_steps,
       COALESCE(sum(o.n_measured), 0)::bigint AS n_measured_steps,
       count(*) FILTER (WHERE o.n_measured > 0) AS n_measured,
       count(*) FILTER (WHERE o.violation > p.step_promise) AS n_over_promise,
       sum(o.gpu_hours) AS gpu_hours, sum(o.cost_usd) AS cost_usd
FROM (
    SELECT w.id, w.is_active, w.step_s,
           COALESCE(w.spec #>> '{{sla,sla_class}}', :default_name) AS name,
           COALESCE(CASE jsonb_typeof(w.spec #> '{{sla,priority}}') WHEN 'number'
                    THEN least((w.spec #>> '{{sla,priority}}')::float8, 1e9)::int END, CASE
               COALESCE(w.spec #>> '{{sla,sla_class}}', :default_name) {priorities}
               ELSE :default_priority END) AS priority,
           COALESCE(CASE jsonb_typeof(w.spec #> '{{sla,epsilon}}') WHEN 'number'
                    THEN (w.spec #>> '{{sla,epsilon}}')::float8 END, :default_epsilon) AS epsilon,
           COALESCE(CASE jsonb_typeof(w.spec #> '{{sla,window_s}}') WHEN 'number'
                    THEN (w.spec #>> '{{sla,window_s}}')::float8 END, :default_window_s)
               AS window_s,
           COALESCE(w.spec #>> '{{sla,kind}}', :default_kind) AS kind
    FROM workloads w WHERE (w.is_active OR w.updated_at >= :since) AND {where}
) c CROSS JOIN LATERAL (
    SELECT CASE WHEN c.kind = 'AnyInWindow' THEN
        greatest(least(c.epsilon, :least_chance), 1 - power(greatest(1 - c.epsilon, 0),
            1 / greatest(1, c.window_s / nullif(c.step_s, 0))))
        ELSE c.epsilon END AS step_promise
) p LEFT JOIN LATERAL (
    SELECT s.*, CASE WHEN s.n_measured > 0 THEN s.measured ELSE s.believed END AS violation,
           CASE WHEN s.n_measured = 0 THEN s.n_believed
                WHEN s.measured IS NULL THEN 0 ELSE s.n_measured END AS n_steps
    FROM (
        SELECT CASE WHEN c.kind = 'DemandFraction' THEN
                   sum(measured_violation_ratio * sli_requests) FILTER (WHERE is_final)
                   / nullif(sum(sli_requests) FILTER (
                       WHERE is_final AND measured_violation_ratio IS NOT NULL), 0)
               ELSE avg(measured_violation_ratio) FILTER (WHERE is_final) END AS measured,
               count(measured_violation_ratio) FILTER (WHERE is_final AND c.is_active)
                   AS n_measured,
               avg(violation_ratio) FILTER (WHERE c.is_active) AS believed,
               count(violation_ratio) FILTER (WHERE c.is_active) AS n_believed,
               sum(gpu_hours) AS gpu_hours, sum(cost_usd) AS cost_usd
        FROM outcomes WHERE workload_id = c.id AND step_at >= :since
    ) s
) o ON true
WHERE {after} GROUP BY c.name HAVING bool_or(c.is_active) OR sum(o.cost_usd) > 0
ORDER BY c.name LIMIT :limit
"""


def load_classes(
    connection: Connection,
    filters: Mapping[str, Any],
    since: datetime,
    limit: int,
) -> list[RowMapping]:
    """SLA classes in use, by name, with what was measured, believed and spent since `since`.

    What workloads cost that left since then is in the sums, if nothing else of them is; a class
    that only such ones carry is still there, with what these promised.

    Args:
        connection: An open transaction.
        filters: `defaults` (name, priority, epsilon, kind, window_s), `priorities` by name,
            `name`, `namespaces`, `label`, `after`.
        since: Start of what is measured and believed.
        limit: At most this many.
    """
    inner, outer = Conditions(), Conditions()
    inner.of_workloads(filters)
    outer.equal("c.name", filters.get("name"))
    outer.after("c.name > :a0", filters.get("after"))
    names = list(filters["priorities"])
    cases = " ".join(f"WHEN :class_{i} THEN :priority_{i}" for i in range(len(names)))
    values: dict[str, Any] = {f"default_{k}": v for k, v in filters["defaults"].items()}
    for i, name in enumerate(names):
        values |= {f"class_{i}": name, f"priority_{i}": filters["priorities"][name]}
    statement = _CLASSES.format(priorities=cases, where=inner.sql, after=outer.sql)
    values |= inner.values | outer.values
    values |= {"since": since, "limit": limit, "least_chance": LEAST_CHANCE}
    return list(connection.execute(text(statement), values).mappings().all())
