"""What the conditions and the status of an autoscaler follow from: values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.operator.cluster.kills import Kills
from services.operator.plan.plan import Situation, StoredDecision
from services.operator.resource.autoscaler import Autoscaler

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"


@dataclass(frozen=True, slots=True)
class HistoryFigures:
    """Figures of a workload over a week of steps and many starts.

    Attributes:
        coverage: Share of the outcomes under the 90 % quantile; None: none has been scored yet.
        lead_p50_s: What half of the newest starts took at the most; None: there is none.
        lead_p90_s: What 90 % of them took at the most.
        n_starts: How many these are.
    """

    coverage: float | None = None
    lead_p50_s: float | None = None
    lead_p90_s: float | None = None
    n_starts: int = 0


@dataclass(frozen=True, slots=True)
class Details:
    """Details of a workload from the database, without its decisions.

    Attributes:
        next_step: Quantiles of the demand in the step after the forecast's origin, by level.
        measured: Measured share out of SLA over the window; None: nothing is measured.
        measured_low: The least that it can be; None: it is no less.
        measured_high: The most that it can be; None: it is no more.
        believed: The same as the believed capacity says it; None: nothing has been scored yet.
        budget_source: Which of the two the budget is of, `measured` or `believed`.
        budget_left: Share of the window's error budget that is left; below 0: overspent.
        budget_left_high: The same by `measured_low`; None where that is.
        budget_left_low: The same by `measured_high`; None where that is.
        sli_status: How it stands with the counts of the objective; None: not known yet.
        sli_message: What is to be done about that; empty: nothing.
        censored_message: Why the demand is not all that was asked for; empty: it is; None: unknown.
        unreachable_message: Why no number of replicas keeps the promise; empty: nothing says so.
        not_capacity_message: Why more requests miss than the load explains; empty: they do not;
            None: unknown.
        reach_s: How far the newest decision looked, where starts may take longer than forecasts
            reach.
        wanted_s: What 99 % of the starts take by that decision; of others None.
        history: Figures that are read less often.
        request_s: Seconds that at least 1 % of the requests of the last hour took; None: unknown.
        kills: Pods that were killed in the last day at the end of their grace; None: none were.
        errors: Stages that failed for this workload alone when they last ran, `stage: message`.
    """

    last_sample_at: datetime | None = None
    model_version: str | None = None
    rung: str | None = None
    origin_at: datetime | None = None
    horizon_s: float | None = None
    reach_s: float | None = None
    wanted_s: float | None = None
    next_step: Mapping[float, float] | None = None
    measured: float | None = None
    believed: float | None = None
    budget_source: str | None = None
    budget_left: float | None = None
    sli_status: str | None = None
    sli_message: str = ""
    censored_message: str | None = None
    unreachable_message: str = ""
    not_capacity_message: str | None = None
    request_s: float | None = None
    kills: Kills | None = None
    errors: tuple[str, ...] = ()
    measured_low: float | None = None
    budget_left_high: float | None = None
    measured_high: float | None = None
    budget_left_low: float | None = None
    history: HistoryFigures = HistoryFigures()


@dataclass(frozen=True, slots=True)
class AutoscalerFacts:
    """Everything that the conditions and the status of one autoscaler follow from.

    Attributes:
        newest: Newest decision; None: there is none.
        details: None: not read yet.
        last_result: Result of the newest decision; empty: none yet.
        patch_failure: Why a target's scale could not be set when that was tried last; empty: it
            could, or it was not tried lately.
        step_s: Length of a step.
        stale_after_s: Age at which metrics are stale.
    """

    autoscaler: Autoscaler
    situation: Situation
    newest: StoredDecision | None
    details: Details | None
    step_s: float
    stale_after_s: float
    last_result: str = ""
    patch_failure: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition without its history."""

    type: str
    status: str
    reason: str
    message: str = ""
