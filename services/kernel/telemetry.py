"""Every Prometheus metric, declared once, and structured logs.

docs/metrics.md lists them; a test holds the two together. What has a series for each workload is
exported from the database, once for all (`services.exporter`): a process that set it for each that
it has seen would tell Prometheus of ten thousand at each scrape. The external scaler alone has two.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TextIO, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

from services.kernel.log_stream import LogStream

REGISTRY = CollectorRegistry(auto_describe=True)

_WORKLOAD = ("cluster", "namespace", "workload")


def _counter(name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
    return Counter(f"harmony_{name}", help_text, labels, registry=REGISTRY)


def _gauge(name: str, help_text: str, labels: tuple[str, ...] = ()) -> Gauge:
    return Gauge(f"harmony_{name}", help_text, labels, registry=REGISTRY)


class AgingGauge(Gauge):
    """A gauge whose series go when nobody has set them for a while.

    Several workers set the same figure as the work goes round among them. What one of them set long
    ago is not known any longer, and must not stand beside what another one sets now.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """As a `Gauge`."""
        self._ends_s: dict[tuple[str, ...], float] = {}
        self._aging = threading.Lock()
        super().__init__(*args, **options)

    def set_for(self, labels: tuple[str, ...], value: float | None, seconds: float) -> None:
        """Set the series of these labels for so long; None: it is not known, and goes at once."""
        with self._aging:
            if value is None:
                self._drop(labels)
                return
            self.labels(*labels).set(value)
            self._ends_s[labels] = time.monotonic() + seconds

    def collect(self) -> Iterable[Metric]:
        """What is known when somebody asks."""
        with self._aging:
            now_s = time.monotonic()
            for labels in [one for one, end_s in self._ends_s.items() if end_s <= now_s]:
                self._drop(labels)
        return super().collect()

    def _drop(self, labels: tuple[str, ...]) -> None:
        self._ends_s.pop(labels, None)
        self.remove(*labels)


def _aging_gauge(name: str, help_text: str, labels: tuple[str, ...]) -> AgingGauge:
    return AgingGauge(f"harmony_{name}", help_text, labels, registry=REGISTRY)


def _histogram(
    name: str, help_text: str, labels: tuple[str, ...], buckets: tuple[float, ...]
) -> Histogram:
    return Histogram(f"harmony_{name}", help_text, labels, registry=REGISTRY, buckets=buckets)


_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

build_info = _gauge("build_info", "Version of Harmony", ("version",))
try:
    build_info.labels(version("harmony-gpu")).set(1)
except PackageNotFoundError:  # run from a folder that was never installed
    build_info.labels("unknown").set(1)
samples_accepted_total = _counter("samples_accepted_total", "Samples accepted", ("source",))
samples_rejected_total = _counter(
    "samples_rejected_total", "Samples rejected, by reason", ("source", "reason")
)
source_errors_total = _counter("source_errors_total", "Failed queries", ("source", "reason"))
job_duration_seconds = _histogram("job_duration_seconds", "Run time of jobs", ("job",), _FAST)
job_failures_total = _counter("job_failures_total", "Jobs that failed", ("job", "error"))
workload_errors_total = _counter(
    "workload_errors_total", "Workloads that a stage had to set apart from the others", ("stage",)
)
model_unreadable = _gauge(
    "model_unreadable",
    "1 where the promoted model cannot be read, so the prior answers or, where that is off or was "
    "worse, a simple forecaster",
)
redis_unreachable = _gauge(
    "redis_unreachable", "1 where Redis did not answer the admin API's last probe of readiness"
)
jobs_resent_total = _counter("jobs_resent_total", "Orphans found by a sweep", ("job",))
jobs_not_sent_total = _counter(
    "jobs_not_sent_total", "Jobs not sent since the same one waits in its queue", ("job",)
)
origins_superseded_total = _counter(
    "origins_superseded_total",
    "Origins of shards that a newer one passed before their turn",
    ("stage", "workloads"),
)
forecasts_total = _counter("forecasts_total", "Forecasts stored", ("rung",))
forecast_drifts_total = _counter("forecast_drifts_total", "Drifts that began", ("kind",))
refits_requested_total = _counter("refits_requested_total", "Fits that drift asked for")
_SLO_S = (0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
forecast_latency_seconds = _histogram(
    "forecast_latency_seconds", "From the end of a step to its stored forecast", (), _SLO_S
)
decision_freshness_seconds = _histogram(
    "decision_freshness_seconds", "From the end of a step to its stored decision", (), _SLO_S
)
model_promotions_total = _counter("model_promotions_total", "Models fitted, by result", ("result",))
decision_total = _counter("decision_total", "Decisions", ("direction", "reason"))
decision_constraint_total = _counter(
    "decision_constraint_total", "Decisions by binding constraint", ("constraint",)
)
advised_replicas = _gauge(
    "advised_replicas", "Replicas that another autoscaler is to set; absent: not known", _WORKLOAD
)
advice_expires_timestamp_seconds = _gauge(
    "advice_expires_timestamp_seconds", "Until when the advice is good, in Unix time", _WORKLOAD
)
scaler_requests_total = _counter(
    "scaler_requests_total", "Calls of the external scaler", ("method", "code")
)
scaler_request_duration_seconds = _histogram(
    "scaler_request_duration_seconds", "Duration of the external scaler's calls", ("method",), _FAST
)
scaler_refresh_errors_total = _counter(
    "scaler_refresh_errors_total",
    "Looks of the external scaler that failed",
    ("cluster", "reason"),
)
cold_start_seconds = _histogram(
    "cold_start_seconds",
    "Time from a pod's creation to Ready",
    ("gpu_type",),
    (5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200),
)
gpu_hours_total = _counter("gpu_hours_total", "GPU-hours allocated", ("gpu_type",))
_BUDGET = ("cluster", "gpu_type")
gpu_budget_gpus = _aging_gauge(
    "gpu_budget_gpus", "GPUs that all workloads of the type may use together", _BUDGET
)
gpu_budget_price_usd = _aging_gauge(
    "gpu_budget_price_usd",
    "Shadow price per GPU-hour; 0: not scarce, +Inf: minimum replicas alone exceed the budget",
    _BUDGET,
)
gpu_headroom_gpus = _gauge(
    "gpu_headroom_gpus", "GPUs to have ready for what may be needed while a node starts", _BUDGET
)
gpu_headroom_usd_per_hour = _gauge(
    "gpu_headroom_usd_per_hour", "What these GPUs cost while they are held", _BUDGET
)
gpu_headroom_risk_averted_ratio = _gauge(
    "gpu_headroom_risk_averted_ratio",
    "By how much they lower the chance of a need that nothing is free for",
    _BUDGET,
)
cost_total = _counter("cost_total", "Cost of the GPUs allocated", ("currency",))
actions_total = _counter("actions_total", "Actions by result", ("cluster", "result"))
killed_pods_total = _counter(
    "killed_pods_total", "Pods killed at the end of their grace after a scaling in"
)
spot_interruptions_total = _counter(
    "spot_interruptions_total", "Interruptions of spot nodes", ("gpu_type",)
)
spot_node_hours_total = _counter(
    "spot_node_hours_total", "Hours that spot nodes were watched for interruptions", ("gpu_type",)
)
reconcile_duration_seconds = _histogram(
    "reconcile_duration_seconds", "Run time of a reconcile pass", ("cluster",), _FAST
)
reconcile_errors_total = _counter("reconcile_errors_total", "Reconcile errors", ("reason",))
kube_requests_total = _counter(
    "kube_requests_total", "Calls to the API server", ("cluster", "verb", "code")
)
leader = _gauge("leader", "1 while this operator leads in its cluster", ("cluster",))
leader_changes_total = _counter(
    "leader_changes_total",
    "Times that this operator's leadership changed",
    ("cluster", "change"),
)
holding = _gauge("holding", "1 while the operator changes nothing, by reason", ("reason",))
auth_failures_total = _counter(
    "auth_failures_total", "Refused credentials and refused requests, by reason", ("app", "reason")
)
rate_limited_total = _counter(
    "rate_limited_total", "Requests answered with 429, by limit", ("app", "limit")
)
audit_head_id = _gauge("audit_head_id", "Newest audit entry, at the last readiness check")
http_requests_total = _counter("http_requests_total", "HTTP requests", ("app", "route", "status"))
http_request_duration_seconds = _histogram(
    "http_request_duration_seconds", "HTTP request duration", ("app", "route"), _FAST
)
output_errors_total = _counter(
    "output_errors_total", "Log lines that could not be written, as on a full disk"
)


def configure_logging(level: str, log_format: str) -> None:
    """Structured logs on stderr, those of libraries too.

    Args:
        level: `DEBUG` … `ERROR`.
        log_format: `json` or `console`.
    """
    stream: TextIO = cast("TextIO", LogStream(sys.stderr, output_errors_total.inc))
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    numeric = logging.getLevelNamesMapping()[level]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        # Not `sys.stderr` at each line: Celery puts a logger in its place.
        logger_factory=structlog.PrintLoggerFactory(file=stream),
        # Not cached: a later set-up holds for loggers that have spoken already.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_library, *shared], processors=[drop, renderer]
        )
    )
    # Libraries speak of every request at INFO; theirs is of interest when debugging only.
    libraries = numeric if numeric == logging.DEBUG else max(numeric, logging.WARNING)
    logging.basicConfig(level=libraries, handlers=[handler])


def _name_library(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """The library that speaks, where our own lines name a component."""
    event["component"] = event["_record"].name
    return event


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structured logger bound to `name`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(component=name)
    return logger
