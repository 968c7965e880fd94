"""SQL of showback: sums of stored costs, by what names a team."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.admin.rest.lists_repository import Conditions
from services.admin.rest.steps_repository import LONGEST, STEP_GAPS, STEP_LENGTH
from services.admin.rest.times import Window

_TEAM = {"namespace": "w.namespace", "label": "w.spec -> 'labels' ->> :team_label"}

_STEPS = f"""
SELECT step_at, gpu_hours, cost_usd,
       {STEP_LENGTH} AS length
FROM (
    SELECT step_at, gpu_hours::numeric, cost_usd::numeric,
           {STEP_GAPS}
    FROM outcomes WHERE workload_id = w.id
    -- so many around the window that it does not matter where it ends
    AND step_at >= :from_at - 3 * CAST(:longest AS interval)
    AND step_at < :to_at + 3 * CAST(:longest AS interval)
    WINDOW own AS (ORDER BY step_at)
) apart WHERE step_at >= :from_at - CAST(:longest AS interval) AND step_at < :to_at
"""  # noqa: S608  # our own SQL

# decimals: their sum does not depend on the order in which they are added
_COSTS = """
SELECT {team} AS team, count(*) AS n_workloads, sum(o.gpu_hours) AS gpu_hours,
       sum(o.cost_usd) AS cost_usd,
       round(sum(u.unmeasured_s) / 3600, 6) AS unmeasured_hours
FROM workloads w
CROSS JOIN LATERAL (
    SELECT greatest(:from_at, date_bin(step, w.created_at + step - interval '1 us', epoch))
               AS from_at,
           least(:to_at, date_bin(step, until, epoch)) AS to_at, step, epoch
    FROM (SELECT w.step_s * interval '1 second' AS step, to_timestamp(0) AS epoch,
                 CASE WHEN w.is_active THEN :now ELSE w.updated_at END AS until) s
) life
CROSS JOIN LATERAL (
    SELECT tstzmultirange(tstzrange(life.from_at, greatest(life.from_at, life.to_at)))
           - coalesce(range_agg(tstzrange(date_bin(step, left_at, epoch),
                                          date_bin(step, back_at + step - interval '1 us', epoch))),
                      tstzmultirange()) AS times
    FROM workload_absences
    WHERE workload_id = w.id AND left_at < life.to_at AND back_at > life.from_at
) there
CROSS JOIN LATERAL (
    SELECT sum(gpu_hours) FILTER (WHERE is_own AND cost_usd IS NOT NULL) AS gpu_hours,
           sum(cost_usd) FILTER (WHERE is_own) AS cost_usd,
           count(cost_usd) FILTER (WHERE is_own) AS n_known,
           coalesce(range_agg(tstzrange(step_at, step_at + length))
                    FILTER (WHERE cost_usd IS NOT NULL), tstzmultirange()) AS known
    FROM (SELECT *, step_at >= :from_at AS is_own FROM ({steps}) s) s
) o
CROSS JOIN LATERAL (
    SELECT coalesce(extract(epoch FROM sum(upper(r) - lower(r))), 0) AS unmeasured_s
    FROM unnest(there.times - o.known) r
) u
WHERE {where} AND (w.is_active OR o.n_known > 0 OR u.unmeasured_s > 0) AND w.created_at < :to_at
GROUP BY team ORDER BY team NULLS LAST
"""


def load_costs(
    connection: Connection,
    label: str | None,
    filters: Mapping[str, Any],
    window: Window,
    now: datetime,
) -> list[RowMapping]:
    """GPU-hours and dollars of each team, and workload-hours whose cost is not known.

    Sums of windows that follow each other are those of all of them together: what a step cost
    belongs to the window in which it begins, and its time to each window by what lies in it. The
    hours of a workload are those of its steps from when it came until it left, or that are over,
    without those in which it was away.

    Args:
        connection: An open transaction.
        label: Name of the label whose values are the teams; None: namespaces are. Workloads
            without it are one row whose `team` is NULL.
        filters: Which workloads, as `Conditions.of_workloads` takes them.
        window: Its end is exclusive.
        now: Aware. Steps that are not over by then are no hours of unknown cost.
    """
    where = Conditions()
    where.of_workloads(filters)
    team = _TEAM["namespace" if label is None else "label"]
    statement = text(_COSTS.format(team=team, where=where.sql, steps=_STEPS))
    values = where.values | {
        "from_at": window.from_at,
        "to_at": window.to_at,
        "now": now,
        "longest": LONGEST,
    }
    if label is not None:
        values["team_label"] = label
    return list(connection.execute(statement, values).mappings())
