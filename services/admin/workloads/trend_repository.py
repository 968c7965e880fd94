"""SQL of what workloads used hour by hour, and what they would have cost at their largest size."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER

from services.admin.rest.steps_repository import LONGEST, STEP_GAPS, STEP_LENGTH

# `size`: GPUs, each hour at the price that its own outcomes had. Variants and pools of several
# prices have no such price, and are compared by what they cost together. Where there came other
# GPUs, a new count of sizes begins.
# The first and the last hour are parts of hours: what is held there is of the time that is known,
# and what was held for a small part of an hour is no size for all day.
_TREND = f"""
WITH hours AS (
    SELECT workload_id, is_new, is_mixed, date_trunc('hour', step_at, 'UTC') AS hour,
           min(step_at) AS first_at, max(step_at + length) AS end_at,
           extract(epoch FROM sum(length))::float8 AS known_s,
           sum(gpu_hours) AS gpu_hours, sum(cost_usd) AS cost_usd
    FROM (
        SELECT o.*, {STEP_LENGTH} AS length,
               COALESCE(o.step_at >= w.gpus_since, false) AS is_new,
               COALESCE(w.spec->'variants', '[]') || COALESCE(w.spec->'pools', '[]') <> '[]'
                   AS is_mixed
        FROM (
            SELECT workload_id, step_at, gpu_hours, cost_usd,
                   {STEP_GAPS}
            FROM outcomes WHERE workload_id = ANY(:ids) AND step_at >= :since
            WINDOW own AS (PARTITION BY workload_id ORDER BY step_at)
        ) o JOIN workloads w ON w.id = o.workload_id
    ) steps WHERE cost_usd IS NOT NULL GROUP BY workload_id, is_new, is_mixed, hour
), sized AS (
    SELECT *, CASE WHEN is_mixed THEN cost_usd ELSE gpu_hours END / known_s AS size_per_s,
           CASE WHEN is_mixed THEN 1 WHEN gpu_hours > 0 THEN cost_usd / gpu_hours END AS price,
           max(known_s) OVER (PARTITION BY workload_id, is_new) AS longest_s
    FROM hours
), placed AS (
    SELECT *, count(price) OVER (PARTITION BY workload_id, is_new ORDER BY hour) AS n_prices
    FROM sized
), held AS (
    -- an hour without GPUs tells no price: it has that of the hour before it, or else after it
    SELECT *, max(size_per_s) FILTER (WHERE known_s * 2 >= longest_s)
               OVER (PARTITION BY workload_id, is_new) * known_s
           * COALESCE(max(price) OVER (PARTITION BY workload_id, is_new, n_prices),
                      max(price) FILTER (WHERE n_prices = 1)
                          OVER (PARTITION BY workload_id, is_new), 0) AS held_usd
    FROM placed
)
SELECT hour, sum(gpu_hours) AS gpu_hours, sum(cost_usd) AS cost_usd,
       sum(greatest(held_usd, cost_usd)) AS held_usd,
       sum(gpu_hours) / least(1, extract(epoch FROM max(end_at) - min(first_at)) / 3600) AS gpus
FROM held GROUP BY hour ORDER BY hour
"""  # noqa: S608  # our own SQL


def load_trend(
    connection: Connection, workload_ids: Sequence[int], since: datetime
) -> list[RowMapping]:
    """GPU-hours and cost by hour, and the cost had each workload kept its largest hour's size.

    Each hour counts at the prices, and each step with the length, that it had.

    Args:
        connection: An open transaction.
        workload_ids: Workloads that are summed up.
        since: Start, inclusive. Steps of unknown cost are in no sum.
    """
    statement = text(_TREND).bindparams(bindparam("ids", type_=ARRAY(INTEGER)))
    given = {"ids": list(workload_ids), "since": since, "longest": LONGEST}
    return list(connection.execute(statement, given).mappings())
