"""SQL of how long the requests of a workload take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

LATENCY = "latency_p95_ms"
"""Indicator of the 95th percentile of the time that a request takes, in milliseconds."""
_SINCE = timedelta(hours=1)
_LEAST_STEPS = 10
_SLOW_STEPS = 0.2
"""Share of requests in slow steps. Of the requests of a step 5 % take at least its 95th percentile,
so 5 % of 20 %, one in a hundred, take at least the least of the slow steps' percentiles."""


def load_request_times(
    connection: Connection, ids: Sequence[int], now: datetime
) -> dict[int, float]:
    """Seconds that at least 1 % of the requests of the last hour took, by workload.

    A lower bound of the 99th percentile. Steps weigh by the demand. A workload is absent that has
    no indicator `latency_p95_ms`, or fewer than ten steps of it.

    Args:
        connection: An open transaction.
        ids: Workloads.
        now: Aware.
    """
    statement = text(
        "SELECT workload_id, max(latency_ms) / 1000 AS request_s FROM ("
        "  SELECT workload_id, latency_ms, count(*) OVER own AS n_steps, "
        "  sum(demand) OVER (own ORDER BY latency_ms DESC) AS slower, "
        "  sum(demand) OVER own AS total "
        "  FROM (SELECT w.id AS workload_id, i.step_at, "
        "    max(i.value::float8) FILTER (WHERE i.indicator = :latency) AS latency_ms, "
        "    max(i.value::float8) FILTER (WHERE i.indicator = w.spec ->> 'demand') AS demand "
        "    FROM workloads w CROSS JOIN LATERAL (SELECT step_at, indicator, value FROM indicators "
        "      WHERE workload_id = w.id AND indicator IN (:latency, w.spec ->> 'demand') "
        "      AND step_at >= :since AND step_at < :now "
        "      AND is_observed AND value > 0 AND value < 'infinity') i "
        "    WHERE w.id = ANY(CAST(:ids AS int[])) "
        "    AND w.spec -> 'indicators' @> CAST(:has AS jsonb) "
        "    GROUP BY w.id, i.step_at) steps "
        "  WHERE latency_ms IS NOT NULL AND demand IS NOT NULL "
        "  WINDOW own AS (PARTITION BY workload_id)) ranked "
        "WHERE n_steps >= :least AND slower >= :share * total GROUP BY workload_id"
    )
    given = {
        "ids": list(ids),
        "latency": LATENCY,
        "has": f'[{{"name": "{LATENCY}"}}]',
        "since": now - _SINCE,
        "now": now,
        "least": _LEAST_STEPS,
        "share": _SLOW_STEPS,
    }
    rows = connection.execute(statement, given)
    return {int(row.workload_id): float(row.request_s) for row in rows}
