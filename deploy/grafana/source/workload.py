"""Workload: one service, from its forecast to its replicas."""

# ruff: noqa: S608 - text for Grafana; what it puts in is escaped by Grafana
from __future__ import annotations

from deploy.grafana.source.parts import (
    GREEN,
    ORANGE,
    RED,
    STEPPED,
    Json,
    Panel,
    Prom,
    Row,
    Sql,
    choice,
    dashboard,
)
from deploy.grafana.source.shared import (
    CHOSEN_WORKLOADS,
    CLUSTER,
    MEASURED,
    NAMESPACE,
    SCALINGS,
    STEP_PROMISE,
    WORKLOAD,
)

_LEVELS = {"p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
_ONE = 'cluster="$cluster",namespace="$namespace",workload="$workload"'


def _from(table: str, at: str) -> str:
    return (
        f"FROM {table} t JOIN workloads w ON w.id = t.workload_id "
        f"WHERE {CHOSEN_WORKLOADS} AND $__timeFilter(t.{at})"
    )


def _quantiles(step: str) -> str:
    """Columns of a forecast `f` at a step ahead: its stored level nearest to each wanted one."""
    return ", ".join(
        f"f.quantiles[(SELECT i FROM unnest(f.quantile_levels) WITH ORDINALITY AS l(level, i) "
        f"ORDER BY abs(l.level - {level}) LIMIT 1)::int][{step}] AS {name}"
        for name, level in _LEVELS.items()
    )


_DECIDED = (
    f"FROM forecasts f JOIN workloads w ON w.id = f.workload_id WHERE {CHOSEN_WORKLOADS} "
    "AND EXISTS (SELECT 1 FROM decisions d WHERE d.forecast_id = f.id "
    "AND d.origin_at = f.origin_at) AND $__timeFilter(f.origin_at)"
)
_FAN = f"""
SELECT f.origin_at + make_interval(secs => f.step_s * $ahead) AS time, {_quantiles("$ahead")}
{_DECIDED} AND f.n_horizon >= $ahead
UNION ALL
SELECT f.origin_at + make_interval(secs => f.step_s * h) AS time, {_quantiles("h")}
FROM (SELECT f.* {_DECIDED} ORDER BY f.origin_at DESC, f.id DESC LIMIT 1) f,
  generate_series($ahead + 1, f.n_horizon) h
ORDER BY time
"""
_BAND = {"custom.lineWidth": 0, "custom.fillOpacity": 18}
_BANDS = [
    *[("p95", key, value) for key, value in _BAND.items()],
    ("p95", "custom.fillBelowTo", "p05"),
    *[("p75", key, value) for key, value in (_BAND | {"custom.fillOpacity": 30}).items()],
    ("p75", "custom.fillBelowTo", "p25"),
    ("p05", "custom.lineWidth", 0),
    ("p25", "custom.lineWidth", 0),
    ("demand", "color", {"mode": "fixed", "fixedColor": "text"}),
    ("capacity", "custom.lineInterpolation", "stepAfter"),
    ("capacity", "custom.lineStyle", {"fill": "dash", "dash": [6, 4]}),
]

HEAD = [
    Panel(
        "stat",
        "Ready replicas",
        "As the operator saw them last",
        [
            Sql(
                f"""SELECT t.ready_replicas AS ready {_from("replica_states", "observed_at")}
                ORDER BY t.observed_at DESC LIMIT 1""",
                "table",
            )
        ],
        width=4,
        height=4,
    ),
    Panel(
        "stat",
        "Desired replicas",
        "Of the newest decision",
        [
            Sql(
                f"""SELECT t.desired_replicas AS desired {_from("decisions", "origin_at")}
                ORDER BY t.origin_at DESC, t.id DESC LIMIT 1""",
                "table",
            )
        ],
        width=4,
        height=4,
    ),
    Panel(
        "stat",
        "Out of SLA: promised, measured, believed",
        "Of the range. Measured: as requests felt it; none: not measured. Believed: by the "
        "capacity that Harmony believes a replica has. Of a promise about windows, what it comes "
        "to of each step.",
        [
            Sql(
                f"""SELECT {STEP_PROMISE} AS promised,
                  {MEASURED.format(t="t")} AS measured, avg(t.violation_ratio) AS believed
                {_from("outcomes", "step_at")} GROUP BY w.id""",
                "table",
            )
        ],
        width=6,
        height=4,
        unit="percentunit",
        decimals=2,
        options={"textMode": "value_and_name"},
    ),
    Panel(
        "stat",
        "Cost",
        "Of the GPUs allocated in the range",
        [Sql(f"SELECT sum(t.cost_usd) AS cost {_from('outcomes', 'step_at')}", "table")],
        width=4,
        height=4,
        unit="currencyUSD",
    ),
    Panel(
        "stat",
        "Lead time, 90th percentile",
        "From scaling to Ready, of the pods that started in the range",
        [
            Sql(
                f"""SELECT percentile_cont(0.9) WITHIN GROUP (
                  ORDER BY extract(epoch FROM t.ready_at - t.requested_at)) AS lead_time_s
                {_from("pod_starts", "requested_at")} AND t.ready_at IS NOT NULL""",
                "table",
            )
        ],
        width=6,
        height=4,
        unit="s",
    ),
]

FAN = Panel(
    "timeseries",
    "Forecast against demand",
    "Bands: 90 % and 50 % of outcomes are expected within, as forecast $ahead steps before; beyond "
    "the newest origin its whole fan. Capacity: ready replicas times what one is stated to serve.",
    [
        Sql(_FAN),
        Sql(
            f"""SELECT t.step_at AS time, CASE WHEN t.is_observed THEN t.value END AS demand
            {_from("indicators", "step_at")} AND t.indicator = w.spec->>'demand'
            ORDER BY t.step_at"""
        ),
        Sql(
            f"""SELECT t.observed_at AS time,
              t.ready_replicas * (w.spec->'capacity'->>'per_replica')::float8 AS capacity
            {_from("replica_states", "observed_at")} ORDER BY t.observed_at"""
        ),
    ],
    width=24,
    height=11,
    overrides=_BANDS,
    custom={"showPoints": "never"},
)

COURSE = [
    Panel(
        "timeseries",
        "Replicas: needed, decided, ready",
        "Needed: what would have held the demand of the step exactly. Pending: without a node.",
        [
            Sql(
                f"""SELECT t.step_at AS time, t.needed_replicas AS needed
                {_from("outcomes", "step_at")} ORDER BY t.step_at"""
            ),
            Sql(
                f"""SELECT t.decided_at AS time, t.desired_replicas AS decided
                {_from("decisions", "origin_at")} ORDER BY t.origin_at, t.id"""
            ),
            Sql(
                f"""SELECT t.observed_at AS time, t.ready_replicas AS ready,
                  t.pending_replicas AS pending
                {_from("replica_states", "observed_at")} ORDER BY t.observed_at"""
            ),
        ],
        height=9,
        custom=STEPPED,
    ),
    Panel(
        "timeseries",
        "Out of SLA: promised, estimated, measured, believed",
        "Share of the step. Estimated: by the decision, before it. Measured: as requests felt it. "
        "Believed: by the capacity that Harmony believes a replica has.",
        [
            Sql(
                f"""SELECT t.step_at AS time, t.measured_violation_ratio AS measured,
                  t.violation_ratio AS believed
                {_from("outcomes", "step_at")} ORDER BY t.step_at"""
            ),
            Sql(
                f"""SELECT t.origin_at AS time, t.risk_target AS promised,
                  t.risk_estimated AS estimated
                {_from("decisions", "origin_at")} ORDER BY t.origin_at, t.id"""
            ),
        ],
        height=9,
        unit="percentunit",
    ),
    Panel(
        "table",
        "Decisions that changed the count",
        "Newest first, with what became of each",
        [
            Sql(
                f"""SELECT t.decided_at AS time, t.current_replicas AS before,
                  t.desired_replicas AS after, t.reason, t.binding_constraint, t.rung,
                  t.risk_estimated AS estimated, t.cost_delta_usd_per_h AS cost_per_h, a.result,
                  a.reason AS result_reason
                FROM decisions t JOIN workloads w ON w.id = t.workload_id
                LEFT JOIN LATERAL (SELECT result, reason FROM actions
                  WHERE workload_id = t.workload_id AND decision_id = t.id
                    AND origin_at = t.origin_at ORDER BY attempt DESC LIMIT 1) a ON true
                WHERE {CHOSEN_WORKLOADS} AND t.desired_replicas <> t.current_replicas
                  AND $__timeFilter(t.origin_at) ORDER BY t.origin_at DESC LIMIT 200""",
                "table",
            )
        ],
        width=16,
        height=9,
        overrides=[
            ("estimated", "unit", "percentunit"),
            ("cost_per_h", "unit", "currencyUSD"),
        ],
    ),
    Panel(
        "table",
        "Coverage: share of outcomes below each quantile",
        "Measured should be near the quantile; promises rest on it",
        [
            Sql(
                f"""SELECT t.model_version, e.key::float8 AS quantile,
                  avg(e.value::float8) AS measured, count(*) AS forecasts
                FROM forecast_scores t JOIN workloads w ON w.id = t.workload_id
                CROSS JOIN LATERAL jsonb_each_text(t.coverage) e
                WHERE {CHOSEN_WORKLOADS} AND $__timeFilter(t.origin_at) AND t.n_steps > 0
                GROUP BY 1, 2 ORDER BY 1, 2""",
                "table",
            )
        ],
        width=8,
        height=9,
        overrides=[("/quantile|measured/", "unit", "percentunit")],
    ),
    Panel(
        "timeseries",
        "Forecast error (CRPS) against the last value",
        "In the demand's unit; below the last value's the model is worth something",
        [
            Sql(
                f"""SELECT t.origin_at AS time, t.crps, t.crps_last_value
                {_from("forecast_scores", "origin_at")} AND t.n_steps > 0
                ORDER BY t.origin_at"""
            )
        ],
    ),
    Panel(
        "timeseries",
        "Other indicators",
        "For their shape: each has a unit of its own, so the scale is logarithmic",
        [
            Sql(
                f"""SELECT t.step_at AS time, t.indicator AS metric,
                  CASE WHEN t.is_observed THEN t.value END AS value
                {_from("indicators", "step_at")} AND t.indicator <> w.spec->>'demand'
                ORDER BY t.step_at"""
            )
        ],
        custom={"scaleDistribution": {"type": "symlog", "log": 10, "linearThreshold": 1}},
    ),
]

EXPORTED = [
    Row("As exported to Prometheus"),
    Panel(
        "timeseries",
        "Age of the newest sample",
        "Of the time that it tells of the start; over four steps, and five minutes, an alert fires",
        [
            Prom(f"min(harmony_metrics_age_seconds{{{_ONE}}})", "age"),
            Prom(f"clamp_min(4 * min(harmony_step_seconds{{{_ONE}}}), 300)", "alert above"),
        ],
        width=8,
        unit="s",
    ),
    Panel(
        "timeseries",
        "Error budget left",
        "Share of the promise's window; at 0 Harmony decides most carefully. Measured by what "
        "requests felt, or else believed.",
        [Prom(f"min by (source) (harmony_sla_budget_remaining_ratio{{{_ONE}}})", "{{source}}")],
        width=8,
        unit="percentunit",
        steps=[(None, RED), (0.1, ORANGE), (0.5, GREEN)],
    ),
    Panel(
        "timeseries",
        "Next step's demand",
        "Quantiles of the newest forecast",
        [Prom(f"max by (q) (harmony_forecast_quantile{{{_ONE}}})", "{{q}}")],
        width=8,
    ),
]


def make() -> Json:
    """The dashboard."""
    made = dashboard(
        "Workload",
        "One service: its forecast, its replicas, its decisions",
        [*HEAD, FAN, *COURSE, *EXPORTED],
        [CLUSTER, NAMESPACE, WORKLOAD, choice("ahead", "Steps ahead", ["1", "3", "6", "12"])],
        [SCALINGS],
    )
    return made | {"time": {"from": "now-24h", "to": "now+1h"}}
