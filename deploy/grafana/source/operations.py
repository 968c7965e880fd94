"""Operations: Harmony itself, by its service level objectives and its parts."""

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
    prom_variable,
)
from deploy.grafana.source.shared import CLUSTER_OF, PROMOTIONS

_APPS = prom_variable("app", "API", "label_values(harmony_http_requests_total, app)")
_APP = 'app=~"${app:regex}"'


def _burn(name: str, objective: str) -> Panel:
    return Panel(
        "timeseries",
        f"{name}: budget burnt per hour against what is allowed",
        f"Objective: {objective}. 1: the budget of 30 days is used up in 30 days; an alert "
        "fires at 14.4 over an hour, and at 6 over six.",
        [
            Prom(f"harmony:slo_{name.lower().replace(' ', '_')}:burn_rate{window}", window)
            for window in ("5m", "1h", "6h")
        ],
        unit="short",
        steps=[(None, GREEN), (6, ORANGE), (14.4, RED)],
    )


OBJECTIVES = [
    Panel(
        "stat",
        "Decisions within 30 s",
        "Of the last hour, from the end of their step; the objective is 99 %",
        [Prom("1 - 0.01 * harmony:slo_decision_freshness:burn_rate1h", "in time")],
        width=5,
        height=4,
        unit="percentunit",
        decimals=2,
        steps=[(None, RED), (0.95, ORANGE), (0.99, GREEN)],
    ),
    Panel(
        "stat",
        "Forecasts within 20 s",
        "Of the last hour, from the end of their step; the objective is 99 %",
        [Prom("1 - 0.01 * harmony:slo_forecast_latency:burn_rate1h", "in time")],
        width=5,
        height=4,
        unit="percentunit",
        decimals=2,
        steps=[(None, RED), (0.95, ORANGE), (0.99, GREEN)],
    ),
    Panel(
        "stat",
        "Leaders",
        "Operators that act; each cluster must have one, with or without leader election",
        [Prom("sum by (cluster) (harmony_leader)", "{{cluster}}")],
        width=4,
        height=4,
    ),
    Panel(
        "stat",
        "Holding",
        "The operator changes nothing because it cannot read what it needs",
        [Prom("max(harmony_holding) or vector(0)", "holding")],
        width=5,
        height=4,
        steps=[(None, GREEN), (1, RED)],
    ),
    Panel(
        "stat",
        "Alerts firing",
        "Of Harmony's own rules",
        [Prom('count(ALERTS{alertname=~"Harmony.+",alertstate="firing"}) or vector(0)', "firing")],
        width=5,
        height=4,
        steps=[(None, GREEN), (1, RED)],
    ),
    _burn(
        "Decision freshness", "99 % of decisions are stored within 30 s of the end of their step"
    ),
    _burn("Forecast latency", "99 % of forecasts are stored within 20 s of the end of their step"),
]

PIPELINE = [
    Row("Pipeline"),
    Panel(
        "timeseries",
        "Samples per second",
        "Accepted, by the way they came",
        [Prom("sum by (source) (rate(harmony_samples_accepted_total[5m]))", "{{source}}")],
        width=8,
    ),
    Panel(
        "timeseries",
        "Samples refused and failed queries per second",
        "By reason; 0 where there is none",
        [
            Prom(
                "sum by (source, reason) (rate(harmony_samples_rejected_total[5m])) or vector(0)",
                "{{source}} {{reason}}",
            ),
            Prom(
                "sum by (source, reason) (rate(harmony_source_errors_total[5m])) or vector(0)",
                "{{source}} query {{reason}}",
            ),
        ],
        width=8,
    ),
    Panel(
        "timeseries",
        "Jobs in ten minutes by queue",
        "A queue at 0 has no worker",
        [Prom("harmony:queue_jobs:increase10m", "{{queue}}")],
        width=8,
    ),
    Panel(
        "timeseries",
        "Run time of jobs, 95 %",
        "95 % of the runs of each job end within",
        [
            Prom(
                "histogram_quantile(0.95, "
                "sum by (job, le) (rate(harmony_job_duration_seconds_bucket[5m])))",
                "{{job}}",
            )
        ],
        width=8,
        unit="s",
    ),
    Panel(
        "timeseries",
        "Jobs failed and sent again per minute",
        "Failed by type of error; sent again by a sweep because they were lost",
        [
            Prom(
                "sum by (job, error) (rate(harmony_job_failures_total[5m])) * 60 or vector(0)",
                "{{job}} {{error}}",
            ),
            Prom(
                "sum by (job) (rate(harmony_jobs_resent_total[5m])) * 60 or vector(0)",
                "{{job}} again",
            ),
        ],
        width=8,
    ),
    Panel(
        "timeseries",
        "Models fitted",
        "In the last hour, by result",
        [
            Prom(
                "sum by (result) (increase(harmony_model_promotions_total[1h])) or vector(0)",
                "{{result}}",
            ),
        ],
        width=8,
    ),
]

OPERATOR = [
    Row("Operator and external scaler"),
    Panel(
        "timeseries",
        "Reconcile pass",
        "99 % and 95 % of the passes of a cluster end within; over 20 s an alert fires",
        [
            Prom("harmony:reconcile_duration_seconds:p99_10m", "{{cluster}} 99 %"),
            Prom(
                "histogram_quantile(0.95, "
                "sum by (cluster, le) (rate(harmony_reconcile_duration_seconds_bucket[5m])))",
                "{{cluster}} 95 %",
            ),
        ],
        width=8,
        unit="s",
        steps=[(None, GREEN), (20, RED)],
    ),
    Panel(
        "timeseries",
        "Calls to the API server per second",
        "By verb and status",
        [Prom("sum by (verb, code) (rate(harmony_kube_requests_total[5m]))", "{{verb}} {{code}}")],
        width=8,
        unit="reqps",
    ),
    Panel(
        "timeseries",
        "Actions per minute by result",
        "One for each decision",
        [Prom("sum by (result) (rate(harmony_actions_total[5m])) * 60", "{{result}}")],
        width=8,
        custom=STACKED,
    ),
    Panel(
        "timeseries",
        "Errors of the operator per minute",
        "By reason; 0 where there is none",
        [
            Prom(
                "sum by (reason) (rate(harmony_reconcile_errors_total[5m])) * 60 or vector(0)",
                "{{reason}}",
            )
        ],
        width=8,
    ),
    Panel(
        "timeseries",
        "Start of a pod to Ready, 90 %",
        "By GPU type, over the last hour",
        [
            Prom(
                "histogram_quantile(0.9, "
                "sum by (gpu_type, le) (rate(harmony_cold_start_seconds_bucket[1h])))",
                "{{gpu_type}}",
            )
        ],
        width=8,
        unit="s",
    ),
    Panel(
        "timeseries",
        "Calls of the external scaler per second",
        "By method and status; 0 where KEDA does not ask",
        [
            Prom(
                "sum by (method, code) (rate(harmony_scaler_requests_total[5m])) or vector(0)",
                "{{method}} {{code}}",
            )
        ],
        width=8,
        unit="reqps",
    ),
]

INTERFACES = [
    Row("APIs and storage"),
    Panel(
        "timeseries",
        "API requests per second",
        "By API and status; 5xx above 5 % fires an alert",
        [
            Prom(
                f"sum by (app, status) (rate(harmony_http_requests_total{{{_APP}}}[5m]))",
                "{{app}} {{status}}",
            )
        ],
        width=8,
        unit="reqps",
    ),
    Panel(
        "timeseries",
        "API latency, 95 %",
        "Lists and details are to answer within 50 ms",
        [
            Prom(
                "histogram_quantile(0.95, sum by (app, le) "
                f"(rate(harmony_http_request_duration_seconds_bucket{{{_APP}}}[5m])))",
                "{{app}}",
            )
        ],
        width=8,
        unit="s",
    ),
    Panel(
        "timeseries",
        "Requests refused per minute",
        "Wrong credentials by reason, and requests over a limit; 0 where there is none",
        [
            Prom(
                "sum by (app, reason) (rate(harmony_auth_failures_total[5m])) * 60 or vector(0)",
                "{{app}} {{reason}}",
            ),
            Prom(
                "sum by (app, limit) (rate(harmony_rate_limited_total[5m])) * 60 or vector(0)",
                "{{app}} over {{limit}}",
            ),
        ],
        width=8,
    ),
    Panel(
        "table",
        "Versions",
        "Of the processes that are scraped",
        [Prom("count by (version) (harmony_build_info)", "{{version}}")],
        width=8,
    ),
    Panel(
        "table",
        "Rows kept",
        "Estimates of the planner; partitions are dropped by the retention settings",
        [
            Sql(
                """SELECT p.relname AS table_name, count(i.inhrelid) AS partitions,
                  sum(greatest(c.reltuples, 0))::bigint AS rows,
                  sum(pg_total_relation_size(c.oid))::bigint AS bytes
                FROM pg_class p JOIN pg_inherits i ON i.inhparent = p.oid
                JOIN pg_class c ON c.oid = i.inhrelid
                WHERE p.relkind = 'p' GROUP BY 1 ORDER BY 4 DESC""",
                "table",
            )
        ],
        overrides=[("bytes", "unit", "bytes")],
    ),
    Panel(
        "table",
        "Progress of ingest",
        "How far each workload's samples have become indicators; longest behind first",
        [
            Sql(
                f"""SELECT {CLUSTER_OF} AS cluster, w.namespace, w.name AS workload,
                  c.last_sample_at, c.resampled_until, c.n_rejected::text AS refused
                FROM workloads w JOIN ingest_cursors c ON c.workload_id = w.id
                WHERE w.is_active ORDER BY c.resampled_until NULLS FIRST LIMIT 100""",
                "table",
            )
        ],
    ),
]


def make() -> Json:
    """The dashboard."""
    return dashboard(
        "Operations",
        "Harmony itself: its objectives, its pipeline, its operator, its APIs",
        [*OBJECTIVES, *PIPELINE, *OPERATOR, *INTERFACES],
        [_APPS],
        [PROMOTIONS],
    )
