"""SQL of showback: sums of stored costs, by what names a team."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.admin.rest.lists_repository import Conditions
from services.admin.rest.times import Window

_TEAM = {"namespace": "w.namespace", "label": "w.spec -> 'labels' ->> :team_label"}

# decimals: their sum does not depend on the order in which they are added
_COSTS = """
SELECT {team} AS team, count(*) AS n_workloads, sum(o.gpu_hours) AS gpu_hours,
       sum(o.cost_usd) AS cost_usd,
       round(sum(greatest(0, floor(extract(epoch FROM
           CASE WHEN w.is_active THEN :to_at ELSE least(:to_at, w.updated_at) END
           - greatest(:from_at, w.created_at)) / w.step_s) - o.n_known) * w.step_s) / 3600, 6)
           AS unmeasured_hours
FROM workloads w CROSS JOIN LATERAL (
    SELECT sum(gpu_hours::numeric) FILTER (WHERE cost_usd IS NOT NULL) AS gpu_hours,
           sum(cost_usd::numeric) AS cost_usd, count(cost_usd) AS n_known
    FROM outcomes
    WHERE workload_id = w.id AND step_at >= :from_at AND step_at <= :to_at
) o
WHERE {where} AND (w.is_active OR o.n_known > 0) AND w.created_at <= :to_at
GROUP BY team ORDER BY team NULLS LAST
"""


def load_costs(
    connection: Connection, label: str | None, filters: Mapping[str, Any], window: Window
) -> list[RowMapping]:
    """GPU-hours and dollars of each team, and workload-hours whose cost is not known.

    Args:
        connection: An open transaction.
        label: Name of the label whose values are the teams; None: namespaces are. Workloads
            without it are one row whose `team` is NULL.
        filters: Which workloads, as `Conditions.of_workloads` takes them.
        window: Steps that begin in it.
    """
    where = Conditions()
    where.of_workloads(filters)
    team = _TEAM["namespace" if label is None else "label"]
    statement = text(_COSTS.format(team=team, where=where.sql))
    values = where.values | {"from_at": window.from_at, "to_at": window.to_at}
    if label is not None:
        values["team_label"] = label
    return list(connection.execute(statement, values).mappings())
