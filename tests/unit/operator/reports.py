"""Facts and reports that the tests of conditions, status and Events start from."""

from __future__ import annotations

from typing import Any

from services.operator.cluster.pods import Replicas
from services.operator.plan.plan import PlannedAction, Result, Situation, StoredDecision
from services.operator.report.facts import AutoscalerFacts, Details, HistoryFigures
from services.operator.report.status import AutoscalerReport, TakenAction
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import NOW, STEP, decision, resource, situation

DETAILS = Details(
    last_sample_at=NOW - STEP,
    model_version="m1",
    rung="model",
    origin_at=NOW - STEP,
    horizon_s=720,
    next_step={0.1: 10.0, 0.5: 20.0, 0.8999999761581421: 30.0, 0.99: 40.0},
    measured=0.002,
    believed=0.001,
    budget_source="measured",
    budget_left=-0.25,
    sli_status="Measured",
    censored_message="",
    not_capacity_message="",
    request_s=12.5,
    history=HistoryFigures(coverage=0.91, lead_p50_s=61.2, lead_p90_s=95.0, n_starts=12),
    measured_low=0.0015,
    budget_left_high=0.0625,
    measured_high=0.5,
    budget_left_low=-61.5,
)


def facts(
    newest: StoredDecision | None = None,
    details: Details | None = DETAILS,
    where: Situation | None = None,
    annotations: dict[str, str] | None = None,
    status: dict[str, Any] | None = None,
    **changes: Any,
) -> AutoscalerFacts:
    autoscaler = to_autoscaler(resource(annotations, status, **changes), {})
    found = where or situation(4, annotations, **changes)
    return AutoscalerFacts(autoscaler, found, newest, details, 60, 180)


def report(action: PlannedAction | None = None, **changes: Any) -> AutoscalerReport:
    done = () if action is None else (TakenAction(action, NOW),)
    return AutoscalerReport(facts(decision(), **changes), Replicas(ready=4), done)


def applied() -> PlannedAction:
    return PlannedAction(decision(), Result.APPLIED, "scale_up_risk", 4, 6)
