"""Metrics of workloads, and of clusters, a series for each; docs/metrics.md lists them.

No process sets them: they are read from the database. So there is one series of each, whichever
worker did the work, and it goes with its workload.
"""

from __future__ import annotations

from dataclasses import dataclass

WORKLOAD_LABELS = ("cluster", "namespace", "workload")


@dataclass(frozen=True, slots=True)
class WorkloadMetric:
    """A gauge of every workload.

    Attributes:
        name: Without the prefix `harmony_`.
        help_text: Meaning.
        label: One label besides those of every workload; empty: none.
        shared: Labels of every series: of a workload, of a cluster, or none of a total.
    """

    name: str
    help_text: str
    label: str = ""
    shared: tuple[str, ...] = WORKLOAD_LABELS

    @property
    def full_name(self) -> str:
        """As Prometheus sees it."""
        return f"harmony_{self.name}"

    @property
    def labels(self) -> tuple[str, ...]:
        """All its labels, in order."""
        return (*self.shared, self.label) if self.label else self.shared


EXPORTED = WorkloadMetric("active_workloads", "Active workloads that are exported", shared=())
OPERATOR_SEEN = WorkloadMetric(
    "operator_seen_timestamp_seconds",
    "When the operator that leads in a cluster with workloads made a pass last, in Unix time",
    shared=("cluster",),
)
METRICS_AGE = WorkloadMetric("metrics_age_seconds", "Age of the newest sample")
STEP = WorkloadMetric("step_seconds", "Length of a step")
FALLBACK = WorkloadMetric(
    "fallback_active", "1 while the newest forecast is of a lower rung than the model", "rung"
)
QUANTILE = WorkloadMetric("forecast_quantile", "Newest forecast, next step", "q")
COVERAGE = WorkloadMetric(
    "forecast_coverage_ratio", "Share of the last days' outcomes under the quantile", "q"
)
PINBALL = WorkloadMetric("forecast_pinball_loss", "Mean pinball loss", "q")
SKILL = WorkloadMetric(
    "forecast_skill_vs_naive", "1 - CRPS / CRPS of the last value; absent: that is not known, or 0"
)
HEDGE = WorkloadMetric(
    "forecast_hedge_weight",
    "Weight of the last value in the forecast's upper tail; high after a change of level",
)
DRIFT = WorkloadMetric("forecast_drift", "Drift statistic over its threshold; 1: drift", "kind")
TRUSTED = WorkloadMetric(
    "model_trusted", "1 where the forecast answers, 0 where its model does not pay"
)
RISK_TARGET = WorkloadMetric("risk_target", "Promised share out of SLA")
RISK_ESTIMATED = WorkloadMetric("risk_estimated", "Estimated share out of SLA")
GOOD = WorkloadMetric(
    "sli_good_ratio",
    "Share within SLA over the promise's window: as requests felt it, and as believed",
    "source",
)
GOOD_HIGH = WorkloadMetric(
    "sli_good_high_ratio",
    "Largest share within SLA that what was measured allows; absent: it is the measured one",
)
GOOD_LOW = WorkloadMetric(
    "sli_good_low_ratio",
    "Least share within SLA that what was measured allows; absent: it is the measured one",
)
SLI_MEASURED = WorkloadMetric(
    "sli_measured", "1 while the objective is measured, 0 while it is not; absent: none is set"
)
BUDGET_LEFT = WorkloadMetric(
    "sla_budget_remaining_ratio", "Share of the error budget left, by its source", "source"
)
DESIRED = WorkloadMetric("desired_replicas", "Replicas decided and applied")
RECOMMENDED = WorkloadMetric("recommended_replicas", "Replicas decided")
CURRENT = WorkloadMetric("current_replicas", "Replicas in the target's spec")
PAUSED = WorkloadMetric("paused", "1 while paused")

WORKLOAD_METRICS = (
    *(EXPORTED, METRICS_AGE, STEP, FALLBACK, QUANTILE, COVERAGE, PINBALL, SKILL, HEDGE, DRIFT),
    *(TRUSTED, RISK_TARGET, RISK_ESTIMATED, GOOD, GOOD_HIGH, GOOD_LOW, SLI_MEASURED, BUDGET_LEFT),
    *(DESIRED, RECOMMENDED, CURRENT, PAUSED),
)
"""Those of workloads, in the order of the page."""
METRICS = (OPERATOR_SEEN, *WORKLOAD_METRICS)
"""All that the page has."""
