"""Decisions: what was decided, why, and what became of it."""

# ruff: noqa: S608 - text for Grafana; what it puts in is escaped by Grafana
from __future__ import annotations

from deploy.grafana.source.parts import (
    GREEN,
    ORANGE,
    RED,
    STACKED,
    Json,
    Panel,
    Prom,
    Row,
    Sql,
    dashboard,
)
from deploy.grafana.source.shared import (
    CHOSEN_WORKLOADS,
    CLUSTER_OF,
    CLUSTERS,
    NAMESPACES,
    SCALINGS,
    WORKLOADS,
    at_points,
)

_DECISIONS = (
    "FROM decisions d JOIN workloads w ON w.id = d.workload_id "
    f"WHERE {CHOSEN_WORKLOADS} AND $__timeFilter(d.origin_at)"
)
_AT_POINTS = at_points(
    "d",
    "d.workload_id, d.origin_at, d.id, d.direction, d.raw_replicas, d.desired_replicas, "
    "d.current_replicas, d.risk_target, d.risk_estimated",
    _DECISIONS,
)
_NEWEST = f"""FROM (SELECT DISTINCT ON (d.workload_id, d.time) d.* {_AT_POINTS}
  ORDER BY d.workload_id, d.time, d.origin_at DESC, d.id DESC) d"""
"""The newest decision of each workload at each point."""
_ACTIONS = (
    "FROM actions a JOIN workloads w ON w.id = a.workload_id "
    f"WHERE {CHOSEN_WORKLOADS} AND $__timeFilter(a.origin_at)"
)
_APPLIED = (
    "FROM actions a JOIN decisions d ON d.id = a.decision_id AND d.origin_at = a.origin_at "
    "JOIN workloads w ON w.id = a.workload_id "
    f"WHERE {CHOSEN_WORKLOADS} AND $__timeFilter(a.origin_at) AND a.result = 'applied'"
)

HEAD = [
    Panel(
        "stat",
        "Decisions",
        "One per workload and step",
        [Sql(f"SELECT count(*) AS decisions {_DECISIONS}", "table")],
        width=4,
        height=4,
    ),
    Panel(
        "stat",
        "Changed the count",
        "Share of decisions whose count differs from the one in force",
        [
            Sql(
                f"""SELECT avg((d.desired_replicas <> d.current_replicas)::int) AS changed
                {_DECISIONS}""",
                "table",
            )
        ],
        width=5,
        height=4,
        unit="percentunit",
        decimals=1,
    ),
    Panel(
        "stat",
        "Held by a guard",
        "Share of decisions where a guard kept another count than the one wanted",
        [
            Sql(
                f"""SELECT avg((d.desired_replicas <> d.raw_replicas)::int) AS held
                {_DECISIONS}""",
                "table",
            )
        ],
        width=5,
        height=4,
        unit="percentunit",
        decimals=1,
    ),
    Panel(
        "stat",
        "From decision to patch, 99 %",
        "Time from a decision to the patch of the scale target, where one was made",
        [
            Sql(
                f"""SELECT percentile_cont(0.99) WITHIN GROUP (
                  ORDER BY extract(epoch FROM a.applied_at - d.decided_at)) AS delay_s
                {_APPLIED}""",
                "table",
            )
        ],
        width=5,
        height=4,
        unit="s",
        decimals=2,
        steps=[(None, GREEN), (10, ORANGE), (60, RED)],
    ),
    Panel(
        "stat",
        "Change of cost",
        "Sum of what the changes that were applied in the range cost more per hour; negative: "
        "saved",
        [
            Sql(
                f"""SELECT coalesce(sum(d.cost_delta_usd_per_h), 0) AS usd_per_h {_DECISIONS}
                AND EXISTS (SELECT 1 FROM actions a WHERE a.workload_id = d.workload_id
                  AND a.decision_id = d.id AND a.origin_at = d.origin_at
                  AND a.result = 'applied')""",
                "table",
            )
        ],
        width=5,
        height=4,
        unit="currencyUSD",
    ),
]

WHY = [
    Panel(
        "timeseries",
        "Decisions by direction",
        "Up, down, or held, per step; where steps differ, per longest step",
        [
            Sql(
                f"""SELECT d.time, d.direction AS metric, count(*) AS value
                {_AT_POINTS} GROUP BY 1, 2 ORDER BY 1"""
            )
        ],
        custom=STACKED,
    ),
    Panel(
        "barchart",
        "By reason",
        "The one word that says why the count is what it is",
        [
            Sql(
                f"""SELECT d.reason, count(*) AS decisions {_DECISIONS}
                GROUP BY 1 ORDER BY 2 DESC""",
                "table",
            )
        ],
        width=6,
        options={"xField": "reason"},
    ),
    Panel(
        "barchart",
        "By what became of them",
        "Result of the action; one per decision",
        [
            Sql(
                f"SELECT a.result, count(*) AS actions {_ACTIONS} GROUP BY 1 ORDER BY 2 DESC",
                "table",
            )
        ],
        width=6,
        options={"xField": "result"},
    ),
    Panel(
        "timeseries",
        "Wanted, decided, in force",
        "Replicas of the chosen workloads together: before the guards, after them, and before the "
        "decision",
        [
            Sql(
                f"""SELECT d.time, sum(d.raw_replicas) AS wanted,
                  sum(d.desired_replicas) AS decided, sum(d.current_replicas) AS in_force
                {_NEWEST} GROUP BY 1 ORDER BY 1"""
            )
        ],
        custom={"lineInterpolation": "stepAfter"},
    ),
    Panel(
        "timeseries",
        "Risk: promised and estimated",
        "Mean over the chosen workloads of what a decision may risk and what it estimates",
        [
            Sql(
                f"""SELECT d.time, avg(d.risk_target) AS promised,
                  avg(d.risk_estimated) AS estimated {_NEWEST} GROUP BY 1 ORDER BY 1"""
            )
        ],
        unit="percentunit",
        decimals=2,
    ),
    Panel(
        "table",
        "What binds",
        "Limits that decided a count: bounds, rates, budgets, stabilisation; (none) where nothing "
        "did",
        [
            Sql(
                f"""SELECT coalesce(d.binding_constraint, '(none)') AS binding_constraint,
                  count(*) AS decisions, avg(d.raw_replicas - d.desired_replicas) AS mean_cut
                {_DECISIONS} GROUP BY 1 ORDER BY 2 DESC""",
                "table",
            )
        ],
        width=8,
    ),
    Panel(
        "table",
        "Newest decisions",
        "Explain one with `harmony explain ID` or in the console",
        [
            Sql(
                f"""SELECT d.decided_at AS time, {CLUSTER_OF} AS cluster, w.namespace,
                  w.name AS workload, d.id::text AS id,
                  d.current_replicas AS before, d.desired_replicas AS after, d.reason,
                  d.binding_constraint, d.rung, d.risk_estimated AS estimated,
                  d.cost_delta_usd_per_h AS cost_per_h, a.result, a.reason AS result_reason
                FROM decisions d JOIN workloads w ON w.id = d.workload_id
                LEFT JOIN LATERAL (SELECT result, reason FROM actions
                  WHERE workload_id = d.workload_id AND decision_id = d.id
                    AND origin_at = d.origin_at ORDER BY attempt DESC LIMIT 1) a ON true
                WHERE {CHOSEN_WORKLOADS} AND $__timeFilter(d.origin_at)
                ORDER BY d.origin_at DESC, w.namespace, w.name LIMIT 200""",
                "table",
            )
        ],
        width=16,
        overrides=[
            ("estimated", "unit", "percentunit"),
            ("cost_per_h", "unit", "currencyUSD"),
        ],
    ),
]

EXPORTED = [
    Row("As exported to Prometheus, all namespaces"),
    Panel(
        "timeseries",
        "Decisions per minute",
        "By direction; one per workload and step",
        [Prom("sum by (direction) (rate(harmony_decision_total[5m])) * 60", "{{direction}}")],
        width=8,
        custom=STACKED,
    ),
    Panel(
        "timeseries",
        "Binding constraints per minute",
        "0 where no limit decides a count",
        [
            Prom(
                "sum by (constraint) (rate(harmony_decision_constraint_total[5m])) * 60 "
                "or vector(0)",
                "{{constraint}}",
            )
        ],
        width=8,
    ),
    Panel(
        "timeseries",
        "Freshness of decisions",
        "From the end of a step to its stored decision; 99 % within 30 s is the objective",
        [
            Prom("harmony:decision_freshness_seconds:p99_10m", "99 %"),
            Prom(
                "histogram_quantile(0.5, "
                "sum by (le) (rate(harmony_decision_freshness_seconds_bucket[10m])))",
                "median",
            ),
        ],
        width=8,
        unit="s",
        steps=[(None, GREEN), (30, RED)],
    ),
]


def make() -> Json:
    """The dashboard."""
    return dashboard(
        "Decisions",
        "What was decided, why, and what became of it",
        [*HEAD, *WHY, *EXPORTED],
        [CLUSTERS, NAMESPACES, WORKLOADS],
        [SCALINGS],
    )
