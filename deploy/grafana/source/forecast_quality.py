"""Forecast quality: calibration, error, drift, models."""

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
    variable,
)
from deploy.grafana.source.shared import (
    CHOSEN_WORKLOADS,
    CLUSTER_OF,
    CLUSTERS,
    EACH,
    LEGEND,
    NAMESPACES,
    PROMOTIONS,
    SCALINGS,
    SERIES,
    WORKLOADS,
    at_points,
    is_chosen,
)

_MODELS = variable(
    "model",
    "Model",
    "SELECT DISTINCT model_version FROM forecast_scores "
    "WHERE $__timeFilter(origin_at) ORDER BY model_version",
)
_CHOSEN_MODELS = is_chosen("s.model_version", "model")
_SCORES = (
    "FROM forecast_scores s JOIN workloads w ON w.id = s.workload_id "
    f"WHERE {CHOSEN_WORKLOADS} AND {_CHOSEN_MODELS} "
    "AND $__timeFilter(s.origin_at) AND s.n_steps > 0"  # of the others nothing was observed
)
_SCORES_AT_POINTS = at_points("s", "s.crps, s.crps_last_value", _SCORES, "(s.n_steps + 1)")
_RUNGS_AT_POINTS = at_points(
    "f",
    "f.rung",
    "FROM forecasts f JOIN workloads w ON w.id = f.workload_id "
    f"WHERE {CHOSEN_WORKLOADS} AND $__timeFilter(f.origin_at)",
)
_COMPARED = "sum(s.crps) FILTER (WHERE s.crps_last_value IS NOT NULL)"
"""Of the forecasts whose last value was known, as beside it: of the others it is NULL."""
_SKILL = f"1 - {_COMPARED} / nullif(sum(s.crps_last_value), 0)"

HEAD = [
    Panel(
        "stat",
        "Forecasts scored",
        "Those whose horizon has passed",
        [Sql(f"SELECT count(*) AS scored {_SCORES}", "table")],
        width=4,
        height=4,
    ),
    Panel(
        "stat",
        "Skill against the last value",
        "1 - CRPS / CRPS of the last value, over all; 0: no better, 1: perfect",
        [
            Sql(
                f"SELECT {_SKILL} AS skill {_SCORES}",
                "table",
            )
        ],
        width=5,
        height=4,
        unit="percentunit",
        decimals=1,
        steps=[(None, RED), (0, ORANGE), (0.1, GREEN)],
    ),
    Panel(
        "stat",
        "Covered by the 99 % quantile",
        "Share of outcomes below it; decisions rest on the upper quantiles",
        [
            Sql(
                f"""SELECT avg(e.value::float8) AS covered
                FROM forecast_scores s JOIN workloads w ON w.id = s.workload_id
                CROSS JOIN LATERAL jsonb_each_text(s.coverage) e
                WHERE {CHOSEN_WORKLOADS} AND {_CHOSEN_MODELS}
                  AND $__timeFilter(s.origin_at) AND s.n_steps > 0
                  AND abs(e.key::float8 - 0.99) < 1e-6""",
                "table",
            )
        ],
        width=5,
        height=4,
        unit="percentunit",
        decimals=1,
        steps=[(None, RED), (0.95, ORANGE), (0.98, GREEN)],
    ),
    Panel(
        "stat",
        "Drifting",
        "Workloads whose demand is no longer what the model was trained on",
        [
            Sql(
                f"""SELECT count(t.kind) AS drifting FROM workloads w
                LEFT JOIN drift_states t ON t.workload_id = w.id WHERE {CHOSEN_WORKLOADS}""",
                "table",
            )
        ],
        width=5,
        height=4,
        steps=[(None, GREEN), (1, ORANGE)],
    ),
    Panel(
        "stat",
        "Models not trusted",
        "Workloads where the trailing percentile answers, because the model costs more at equal "
        "risk",
        [
            Sql(
                f"""SELECT count(*) FILTER (WHERE NOT t.is_trusted) AS not_trusted FROM workloads w
                LEFT JOIN trust_verdicts t ON t.workload_id = w.id WHERE {CHOSEN_WORKLOADS}""",
                "table",
            )
        ],
        width=5,
        height=4,
        steps=[(None, GREEN), (1, ORANGE)],
    ),
]

QUALITY = [
    Panel(
        "table",
        "Calibration",
        "Share of outcomes below each quantile; measured should equal it",
        [
            Sql(
                f"""SELECT e.key::float8 AS quantile, avg(e.value::float8) AS measured,
                  avg(e.value::float8) - e.key::float8 AS difference, count(*) AS forecasts
                FROM forecast_scores s JOIN workloads w ON w.id = s.workload_id
                CROSS JOIN LATERAL jsonb_each_text(s.coverage) e
                WHERE {CHOSEN_WORKLOADS} AND {_CHOSEN_MODELS}
                  AND $__timeFilter(s.origin_at) AND s.n_steps > 0
                GROUP BY 1, e.key ORDER BY 1""",
                "table",
            )
        ],
        width=8,
        height=9,
        overrides=[("/quantile|measured|difference/", "unit", "percentunit")],
    ),
    Panel(
        "timeseries",
        "Error against the last value's",
        "CRPS summed over the chosen workloads, in their unit, where a last value was known; "
        "choose workloads of one unit",
        [
            Sql(
                f"""SELECT s.time, {_COMPARED} AS crps,
                  sum(s.crps_last_value) AS last_value {_SCORES_AT_POINTS} GROUP BY 1 ORDER BY 1"""
            )
        ],
        width=16,
        height=9,
    ),
    Panel(
        "table",
        "By workload",
        "Least skill first",
        [
            Sql(
                f"""SELECT {CLUSTER_OF} AS cluster, w.namespace, w.name AS workload,
                  s.model_version AS model,
                  count(*) AS forecasts,
                  {_SKILL} AS skill
                {_SCORES} GROUP BY 1, 2, 3, 4 ORDER BY 6 NULLS FIRST""",
                "table",
            )
        ],
        overrides=[("skill", "unit", "percentunit")],
    ),
    Panel(
        "timeseries",
        "Rungs that answer",
        "model is the forecaster; every other rung is a fallback",
        [
            Sql(
                f"""SELECT f.time, f.rung AS metric, count(*) AS value
                {_RUNGS_AT_POINTS} GROUP BY 1, 2 ORDER BY 1"""
            )
        ],
        custom=STACKED,
    ),
    Panel(
        "table",
        "Models",
        "Newest first; one is promoted, a shadow is scored and never applied",
        [
            Sql(
                """SELECT m.created_at AS time, m.version, m.kind, m.status, m.reason,
                  m.promoted_at, m.retired_at FROM models m ORDER BY m.created_at DESC LIMIT 50""",
                "table",
            )
        ],
    ),
    Panel(
        "table",
        "Drift",
        "Severity: the test's statistic over its threshold; from 1 on it drifts",
        [
            Sql(
                f"""SELECT {CLUSTER_OF} AS cluster, w.namespace, w.name AS workload,
                  t.model_version AS model,
                  coalesce(t.kind, '(none)') AS kind, t.severity, t.drifted_since, t.reason
                FROM workloads w LEFT JOIN drift_states t ON t.workload_id = w.id
                WHERE {CHOSEN_WORKLOADS} ORDER BY t.severity DESC NULLS LAST""",
                "table",
            )
        ],
        overrides=[("severity", "decimals", 2)],
    ),
]

EXPORTED = [
    Row("As exported to Prometheus"),
    Panel(
        "timeseries",
        "Coverage by quantile",
        "Mean over the chosen workloads of the share of outcomes below it",
        [Prom(f"avg by (q) (harmony_forecast_coverage_ratio{{{SERIES}}})", "{{q}}")],
        width=8,
        unit="percentunit",
    ),
    Panel(
        "timeseries",
        "Skill, the five least",
        "1 - CRPS / CRPS of the last value",
        [
            Prom(
                f"bottomk(5, min by ({EACH}) (harmony_forecast_skill_vs_naive{{{SERIES}}}))",
                LEGEND,
            )
        ],
        width=8,
        unit="percentunit",
        steps=[(None, RED), (0, GREEN)],
    ),
    Panel(
        "timeseries",
        "Pinball loss",
        "Mean over the chosen workloads, in their unit",
        [Prom(f"avg by (q) (harmony_forecast_pinball_loss{{{SERIES}}})", "{{q}}")],
        width=8,
    ),
    Panel(
        "timeseries",
        "Forecasts per minute by rung",
        "All namespaces",
        [Prom("sum by (rung) (rate(harmony_forecasts_total[5m])) * 60", "{{rung}}")],
        width=8,
        custom=STACKED,
    ),
    Panel(
        "timeseries",
        "Latency of forecasts",
        "From the end of a step to its stored forecast; 99 % within 20 s is the objective",
        [Prom("harmony:forecast_latency_seconds:p99_10m", "99 %")],
        width=8,
        unit="s",
        steps=[(None, GREEN), (20, RED)],
    ),
    Panel(
        "timeseries",
        "Drift",
        "The test's statistic over its threshold, worst kind of the five worst; 0: none is told",
        [
            Prom(
                f"topk(5, max by ({EACH}) (harmony_forecast_drift{{{SERIES}}})) or vector(0)",
                LEGEND,
            )
        ],
        width=8,
        steps=[(None, GREEN), (1, ORANGE)],
    ),
]


def make() -> Json:
    """The dashboard."""
    return dashboard(
        "Forecast quality",
        "How far forecasts can be relied on: calibration, error, drift, models",
        [*HEAD, *QUALITY, *EXPORTED],
        [CLUSTERS, NAMESPACES, WORKLOADS, _MODELS],
        [PROMOTIONS, SCALINGS],
    )
