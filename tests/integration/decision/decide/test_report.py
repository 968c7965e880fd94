"""What is shown of a run: how fresh decisions are, and a promise as measured and as believed."""

from __future__ import annotations

import pytest

from decider import ErrorBudget
from services.decision.decide import service
from services.decision.decide.range_ends import RangeEnds
from services.decision.decide.report import publish_promise
from services.decision.rows.inputs import ShardMember
from services.decision.wiring import DecisionDeps
from services.kernel import telemetry
from services.kernel.domain import GoalSpec, ObjectiveSpec, WorkloadSpec
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    one_workload,
)

pytestmark = pytest.mark.integration


def test_how_fresh_decisions_are_is_measured_once_for_each(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    name = "harmony_decision_freshness_seconds"

    def measured() -> tuple[float, float]:
        found = [telemetry.REGISTRY.get_sample_value(f"{name}_{end}") for end in ("count", "sum")]
        return found[0] or 0.0, found[1] or 0.0

    before = measured()
    service.decide_shard(deps, 0, ORIGIN)
    service.decide_shard(deps, 0, ORIGIN)
    count, total = measured()
    late_s = (NOW - ORIGIN - STEP).total_seconds()
    assert (count - before[0], total - before[1]) == (1, pytest.approx(late_s))


BELIEVED = ErrorBudget("believed", 0.02, 480.0, 0.5, None, 0.02)
MEASURED = ErrorBudget("measured", 0.03, 310.0, -0.1, 0.03, 0.02)
IDLE = ErrorBudget("measured", None, 3.0, 1.0, None, None)


def promising(has_objective: bool) -> ShardMember:
    spec = WorkloadSpec.model_validate(
        {"target": "Deployment/w", "demand": "rps", "capacity": {"per_replica": 5},
         "indicators": [{"name": "rps", "level": 1}]}
    )  # fmt: skip
    if has_objective:
        objective = ObjectiveSpec(goals=(GoalSpec(metric="ttft", threshold_s=1.0),))
        sla = spec.sla.model_copy(update={"objective": objective})
        spec = spec.model_copy(update={"sla": sla})
    return ShardMember(1, "promises", "w", 60, spec)


def shown(name: str, **labels: str) -> float | None:
    labels |= {"namespace": "promises", "workload": "w"}
    return telemetry.REGISTRY.get_sample_value(f"harmony_{name}", labels)


def by_source(name: str) -> list[float | None]:
    return [shown(name, source=source) for source in ("measured", "believed")]


def test_a_believed_promise_has_no_measured_series() -> None:
    publish_promise(promising(has_objective=True), MEASURED, RangeEnds(), is_answered=True)
    assert by_source("sli_good_ratio") == [pytest.approx(0.97), pytest.approx(0.98)]
    assert by_source("sla_budget_remaining_ratio") == [-0.1, None]
    assert shown("sli_measured") == 1
    publish_promise(promising(has_objective=True), BELIEVED, RangeEnds(), is_answered=False)
    assert by_source("sli_good_ratio") == [None, pytest.approx(0.98)]
    assert by_source("sla_budget_remaining_ratio") == [None, 0.5]
    assert shown("sli_measured") == 0


def test_an_end_of_a_range_has_a_series_only_where_it_is_another_figure() -> None:
    one = promising(has_objective=True)
    for least, best in ((0.012, 0.988), (0.03, None), (None, None)):
        publish_promise(one, MEASURED, RangeEnds(least, 0.03, -0.1, 0.5), is_answered=True)
        assert shown("sli_good_high_ratio") == (best if best is None else pytest.approx(best))
        assert shown("sli_good_low_ratio") is None
    for most, worst in ((0.4, 0.6), (0.03, None), (None, None)):
        publish_promise(one, MEASURED, RangeEnds(0.012, most, -9.0, 0.5), is_answered=True)
        assert shown("sli_good_low_ratio") == (worst if worst is None else pytest.approx(worst))


def test_counts_that_fell_silent_are_told_though_the_budget_was_measured() -> None:
    publish_promise(promising(has_objective=True), MEASURED, RangeEnds(), is_answered=False)
    assert by_source("sla_budget_remaining_ratio") == [-0.1, None]
    assert shown("sli_measured") == 0


def test_without_an_objective_nothing_is_said_of_its_measurement() -> None:
    publish_promise(promising(has_objective=False), BELIEVED, RangeEnds(), is_answered=False)
    assert shown("sli_measured") is None


def test_what_is_not_known_has_no_series() -> None:
    publish_promise(promising(has_objective=True), IDLE, RangeEnds(), is_answered=True)
    assert by_source("sli_good_ratio") == [None, None]
    assert by_source("sla_budget_remaining_ratio") == [1.0, None]
    publish_promise(
        promising(has_objective=True),
        ErrorBudget("believed", None, 0, 1.0, None, None),
        RangeEnds(),
        is_answered=False,
    )
    assert by_source("sla_budget_remaining_ratio") == [None, None]
