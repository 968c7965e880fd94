"""Fleet: what is promised, what was measured and believed, and what it costs."""

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
    CHOSEN_NAMESPACES,
    CLUSTER_OF,
    CLUSTERS,
    EACH,
    FLEET_NAMESPACES,
    FLEET_SCALINGS,
    LEGEND,
    MEASURED,
    NAMESPACE_SERIES,
    SPENT_NAMESPACES,
    STEP_PROMISE,
)
from services.admin.rest.steps_repository import LONGEST, STEP_GAPS, STEP_LENGTH

_PARTS = "(coalesce(w.spec->'variants', '[]') || coalesce(w.spec->'pools', '[]'))"
"""Variants or pools of a workload; empty: it has one target."""
_GPUS = "(w.spec->>'gpus_per_replica')::int"
_OF_OUTCOMES = "FROM outcomes o JOIN workloads w ON w.id = o.workload_id"
_SPENT_STEPS = f"WHERE $__timeFilter(o.step_at) AND {SPENT_NAMESPACES}"
_LENGTH = STEP_LENGTH.replace(":longest", f"interval '{LONGEST}'")


def _steps(chosen: str) -> str:
    """Steps `o` of the workloads `w`, each with the `length_s` that it had.

    Workloads may have steps of different lengths, few of which begin together. A fleet is shown at
    the `time` that the longest begin; `shown_s` is how long what a step adds to is.
    """
    return f"""FROM (SELECT o.*, extract(epoch FROM {_LENGTH})::float8 AS length_s
      FROM (SELECT workload_id, step_at, needed_replicas, ready_mean, ready_by_pool, gpu_hours,
          cost_usd, violation_ratio, measured_violation_ratio, {STEP_GAPS}
        FROM outcomes WHERE $__timeFilter(step_at)
          AND workload_id IN (SELECT w.id FROM workloads w WHERE {chosen})
        WINDOW own AS (PARTITION BY workload_id ORDER BY step_at)) o
      JOIN workloads w ON w.id = o.workload_id OFFSET 0) o
    JOIN workloads w ON w.id = o.workload_id
    CROSS JOIN (SELECT max(w.step_s) AS step_s, make_interval(secs => max(w.step_s)) AS step
      FROM workloads w
      WHERE {chosen} AND (w.is_active OR w.updated_at >= $__timeFrom())) longest
    CROSS JOIN LATERAL (SELECT date_bin(longest.step, o.step_at, to_timestamp(0)) AS time,
      o.step_at + make_interval(secs => o.length_s) AS end_at,
      greatest(o.length_s, longest.step_s) AS shown_s) s"""


def _mean(value: str) -> str:
    """Mean over the time of the steps in which it is known."""
    known_s = f"sum(o.length_s) FILTER (WHERE {value} IS NOT NULL)"
    return f"sum({value} * o.length_s) / nullif({known_s}, 0)"


_WHOLE = "HAVING s.time >= $__timeFrom() AND max(s.end_at) >= s.time + max(longest.step)"
"""Without what the range, or the present, cuts a part off: not every workload is in that."""
_NEEDED_GPUS = f"""o.needed_replicas * CASE WHEN {_PARTS} = '[]' THEN {_GPUS}
  ELSE o.gpu_hours * 3600 / o.length_s / nullif(o.ready_mean, 0) END"""
"""What is needed of each part is not kept: the GPUs of a replica are the mean of those that ran."""
_HELD = f"""
CROSS JOIN LATERAL (SELECT ready_replicas + starting_replicas AS bound, variants
  FROM replica_states WHERE workload_id = w.id AND $__timeFilter(observed_at)
  ORDER BY observed_at DESC LIMIT 1) s
CROSS JOIN LATERAL (
  SELECT w.spec->>'gpu_type' AS gpu_type, s.bound * {_GPUS} AS gpus WHERE {_PARTS} = '[]'
  UNION ALL
  SELECT p->>'gpu_type', (p->>'gpus_per_replica')::int * (
    (s.variants->(p->>'name')->>'ready')::int + (s.variants->(p->>'name')->>'starting')::int)
  FROM jsonb_array_elements({_PARTS}) p) h
"""
"""GPUs of the replicas on nodes in the newest snapshot, of each variant and pool its own."""
_COST_SHARES = f"""
LEFT JOIN LATERAL (
  SELECT CASE WHEN total > 0 THEN gpu_type ELSE all_types END AS gpu_type,
    CASE WHEN total > 0 THEN coalesce(usd, 0) / total ELSE 1.0 / n END AS share
  FROM (SELECT gpu_type, sum(usd) AS usd, sum(sum(usd)) OVER () AS total,
      count(*) OVER () AS n, string_agg(gpu_type, ' + ') OVER (
        ORDER BY gpu_type ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS all_types
    FROM (SELECT p->>'gpu_type' AS gpu_type, (p->>'gpus_per_replica')::int
        * (p->>'price_usd_per_gpu_hour')::float8
        * (o.ready_by_pool->>(p->>'name'))::float8 AS usd
      FROM jsonb_array_elements({_PARTS}) p) each
    GROUP BY gpu_type) by_type) c ON true
"""
"""Share of each GPU type in a step's cost, by what was ready; unknown: its types in one name."""
_LINK = (
    "/d/harmony-workload?var-cluster=${__data.fields.cluster}"
    "&var-namespace=${__data.fields.namespace}"
    "&var-workload=${__data.fields.workload}&${__url_time_range}"
)

HEAD = [
    Panel(
        "stat",
        "Workloads",
        "Active ones of the chosen namespaces",
        [Sql(f"SELECT count(*) AS workloads FROM workloads w WHERE {CHOSEN_NAMESPACES}", "table")],
        width=4,
        height=4,
    ),
    Panel(
        "stat",
        "GPUs allocated",
        "Bound to a node: starting or ready",
        [
            Sql(
                f"""SELECT sum(h.gpus) AS gpus
                FROM workloads w {_HELD} WHERE {CHOSEN_NAMESPACES}""",
                "table",
            )
        ],
        width=5,
        height=4,
    ),
    Panel(
        "stat",
        "Out of SLA",
        "Mean of the time in the range. Measured: as requests felt it, of workloads whose "
        "objective is measured. Believed: of all, by the capacity that Harmony believes a replica "
        "has. Compare with what each workload promises.",
        [
            Sql(
                f"""SELECT {_mean("o.measured_violation_ratio")} AS measured,
                  {_mean("o.violation_ratio")} AS believed {_steps(CHOSEN_NAMESPACES)}""",
                "table",
            )
        ],
        width=5,
        height=4,
        unit="percentunit",
        decimals=2,
        steps=[(None, GREEN), (0.01, ORANGE), (0.05, RED)],
    ),
    Panel(
        "stat",
        "Cost",
        "Of the GPUs allocated in the range, at each workload's price then; with what those cost "
        "that left",
        [Sql(f"SELECT sum(o.cost_usd) AS cost {_OF_OUTCOMES} {_SPENT_STEPS}", "table")],
        width=5,
        height=4,
        unit="currencyUSD",
    ),
    Panel(
        "stat",
        "On a fallback",
        "Workloads whose newest answer does not come from the model",
        [
            Sql(
                f"""SELECT count(*) FILTER (WHERE d.rung <> 'forecast' OR f.rung <> 'model')
                  AS on_fallback
                FROM workloads w CROSS JOIN LATERAL (
                  SELECT rung, forecast_id, origin_at FROM decisions
                  WHERE workload_id = w.id AND $__timeFilter(origin_at)
                  ORDER BY origin_at DESC, id DESC LIMIT 1) d
                LEFT JOIN forecasts f ON f.id = d.forecast_id AND f.origin_at = d.origin_at
                WHERE {CHOSEN_NAMESPACES}""",
                "table",
            )
        ],
        width=5,
        height=4,
        steps=[(None, GREEN), (1, ORANGE)],
    ),
]

TABLE = Panel(
    "table",
    "Workloads",
    "Furthest over its promise first; a click on a name leads to its dashboard",
    [
        Sql(
            f"""SELECT {CLUSTER_OF} AS cluster, w.namespace, w.name AS workload,
              w.spec->>'mode' AS mode, coalesce((SELECT string_agg(DISTINCT p->>'gpu_type', ' + ')
                FROM jsonb_array_elements({_PARTS}) p), w.spec->>'gpu_type') AS gpu_type,
              s.ready_replicas AS ready,
              s.spec_replicas AS current, d.desired_replicas AS desired,
              d.risk_target AS promised, m.measured, m.believed,
              d.risk_estimated AS estimated, f.rung, d.reason, m.cost_usd AS cost
            FROM workloads w
            LEFT JOIN LATERAL (SELECT ready_replicas, spec_replicas FROM replica_states
              WHERE workload_id = w.id AND $__timeFilter(observed_at)
              ORDER BY observed_at DESC LIMIT 1) s ON true
            LEFT JOIN LATERAL (SELECT desired_replicas, risk_target, risk_estimated, reason,
                forecast_id, origin_at FROM decisions
              WHERE workload_id = w.id AND $__timeFilter(origin_at)
              ORDER BY origin_at DESC, id DESC LIMIT 1) d ON true
            LEFT JOIN forecasts f ON f.id = d.forecast_id AND f.origin_at = d.origin_at
            LEFT JOIN LATERAL (SELECT {MEASURED.format(t="o")} AS measured,
                avg(o.violation_ratio) AS believed, sum(o.cost_usd) AS cost_usd
              FROM outcomes o WHERE o.workload_id = w.id AND $__timeFilter(o.step_at)) m ON true
            WHERE {CHOSEN_NAMESPACES}
            ORDER BY coalesce(m.measured, m.believed) / d.risk_target DESC NULLS LAST,
              w.namespace, w.name""",
            "table",
        )
    ],
    width=24,
    height=9,
    overrides=[
        ("/promised|measured|believed|estimated/", "unit", "percentunit"),
        ("/promised|measured|believed|estimated/", "decimals", 2),
        ("cost", "unit", "currencyUSD"),
        ("workload", "links", [{"title": "Workload", "url": _LINK}]),
    ],
)

COURSE = [
    Panel(
        "timeseries",
        "GPUs allocated against needed",
        "Needed: what would have held the demand of the step exactly; of variants and pools about "
        "that, at the GPUs per replica that ran",
        [
            Sql(
                f"""SELECT s.time, sum({_NEEDED_GPUS} * o.length_s / s.shown_s) AS needed,
                  sum(o.gpu_hours * 3600 / s.shown_s) AS allocated
                {_steps(CHOSEN_NAMESPACES)} GROUP BY s.time {_WHOLE} ORDER BY s.time"""
            )
        ],
        height=9,
        overrides=[("needed", "custom.lineStyle", {"fill": "dash", "dash": [6, 4]})],
    ),
    Panel(
        "timeseries",
        "Out of SLA: measured and believed against promised",
        "Mean over the fleet in each step; measured of those whose objective is. Of a promise "
        "about windows, what it comes to of each step",
        [
            Sql(
                f"""SELECT s.time, {_mean("o.measured_violation_ratio")} AS measured,
                  {_mean("o.violation_ratio")} AS believed, {_mean(STEP_PROMISE)} AS promised
                {_steps(CHOSEN_NAMESPACES)} GROUP BY s.time {_WHOLE} ORDER BY s.time"""
            )
        ],
        height=9,
        unit="percentunit",
        overrides=[("promised", "custom.lineStyle", {"fill": "dash", "dash": [6, 4]})],
    ),
    Panel(
        "timeseries",
        "Cost per hour by GPU type",
        "Of the GPUs allocated, at each workload's price; of variants and pools by the replicas "
        "that were ready",
        [
            Sql(
                f"""SELECT s.time, coalesce(c.gpu_type, w.spec->>'gpu_type') AS metric,
                  sum(o.cost_usd * coalesce(c.share, 1) * 3600 / s.shown_s) AS value
                {_steps(SPENT_NAMESPACES)} {_COST_SHARES} GROUP BY 1, 2 {_WHOLE} ORDER BY 1"""
            )
        ],
        unit="currencyUSD",
        custom=STACKED,
    ),
    Panel(
        "table",
        "GPU types",
        "GPUs allocated now and the budget they share; no budget: no limit but the nodes",
        [
            Sql(
                f"""SELECT {CLUSTER_OF} AS cluster, h.gpu_type,
                  count(DISTINCT w.id) AS workloads, sum(h.gpus) AS allocated,
                  max(b.gpus) AS budget, max(b.source) AS source, max(b.reason) AS reason
                FROM workloads w {_HELD}
                LEFT JOIN gpu_budgets b ON b.cluster_id = w.cluster_id
                  AND b.gpu_type = h.gpu_type
                WHERE {CHOSEN_NAMESPACES} GROUP BY 1, 2 ORDER BY 1, 2""",
                "table",
            )
        ],
    ),
]

EXPORTED = [
    Row("As exported to Prometheus"),
    Panel(
        "timeseries",
        "Error budget left, the five least",
        "Share of the budget of each promise's window; at 0 Harmony decides most carefully",
        [
            Prom(
                f"bottomk(5, min by ({EACH}, source) "
                f"(harmony_sla_budget_remaining_ratio{{{NAMESPACE_SERIES}}}))",
                f"{LEGEND}, {{{{source}}}}",
            )
        ],
        unit="percentunit",
        steps=[(None, RED), (0.1, ORANGE), (0.5, GREEN)],
    ),
    Panel(
        "timeseries",
        "Replicas: in force and recommended",
        "Recommended is what was decided last; they differ while a mode, a pause or a limit holds",
        [
            Prom(
                f"sum(max by ({EACH}) (harmony_current_replicas{{{NAMESPACE_SERIES}}}))",
                "in force",
            ),
            Prom(
                f"sum(max by ({EACH}) (harmony_recommended_replicas{{{NAMESPACE_SERIES}}}))",
                "recommended",
            ),
        ],
        custom={"lineInterpolation": "stepAfter"},
    ),
    Panel(
        "timeseries",
        "GPUs in use by type",
        "Rate of the GPU-hours counted as steps end",
        [Prom("sum by (gpu_type) (rate(harmony_gpu_hours_total[1h])) * 3600", "{{gpu_type}}")],
        width=8,
    ),
    Panel(
        "timeseries",
        "Oldest newest sample",
        "Age of the newest sample, the five oldest; over 300 s and four steps an alert fires",
        [
            Prom(
                f"topk(5, max by ({EACH}) (harmony_metrics_age_seconds{{{NAMESPACE_SERIES}}}))",
                LEGEND,
            )
        ],
        width=8,
        unit="s",
        steps=[(None, GREEN), (300, RED)],
    ),
    Panel(
        "timeseries",
        "Paused",
        "Workloads that nothing is applied to because of a pause or a freeze",
        [
            Prom(
                f"sum(max by ({EACH}) (harmony_paused{{{NAMESPACE_SERIES}}})) or vector(0)",
                "paused",
            )
        ],
        width=8,
    ),
]


def make() -> Json:
    """The dashboard."""
    return dashboard(
        "Fleet",
        "All workloads: what is promised, measured and believed, what it costs",
        [*HEAD, TABLE, *COURSE, *EXPORTED],
        [CLUSTERS, FLEET_NAMESPACES],
        [FLEET_SCALINGS],
    )
