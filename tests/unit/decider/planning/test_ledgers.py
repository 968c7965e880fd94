"""Two ledgers of a promise: counting, forgetting, and which of them the budget goes by."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from decider import RiskState, Sla
from decider.errors import InvalidRequest
from decider.planning.ledgers import count_believed, count_measured, error_budget, window_steps

STEP_S = 300.0
SLA = Sla(0.01, window_s=1000 * STEP_S)
"""A budget of 10 steps."""
OBJECTIVE = replace(SLA, good_share=0.95)


def believed(violations: list[float], sla: Sla = SLA) -> RiskState:
    state = RiskState()
    for violation in violations:
        state = count_believed(state, violation, sla, STEP_S)
    return state


def measured(steps: list[tuple[float, float]], sla: Sla = OBJECTIVE) -> RiskState:
    state = RiskState()
    for missed, total in steps:
        state = count_measured(state, missed, total, sla, STEP_S)
    return state


def test_the_budget_counts_what_is_known_and_may_be_overspent() -> None:
    unknown = error_budget(RiskState(), SLA, STEP_S)
    assert (unknown.violation_ratio, unknown.left_ratio, unknown.is_exhausted) == (None, 1.0, False)
    spent = error_budget(believed([1.0] * 5 + [0.0] * 95), SLA, STEP_S)
    assert (spent.violation_ratio, spent.left_ratio) == pytest.approx((0.05, 0.5))
    over = error_budget(believed([1.0] * 15), SLA, STEP_S)
    assert over.left_ratio == pytest.approx(-0.5)
    assert over.is_exhausted
    assert error_budget(RiskState(), Sla(None), STEP_S).left_ratio is None


def test_what_is_believed_is_never_called_measured() -> None:
    for sla in (SLA, OBJECTIVE):
        budget = error_budget(believed([1.0, 0.0]), sla, STEP_S)
        assert (budget.source, budget.measured_ratio, budget.believed_ratio) == (
            "believed",
            None,
            0.5,
        )


def test_the_first_measured_step_makes_the_budget_a_measured_one() -> None:
    state = count_measured(believed([0.0] * 50), 1.0, 1.0, OBJECTIVE, STEP_S)
    budget = error_budget(state, OBJECTIVE, STEP_S)
    assert (budget.source, budget.violation_ratio, budget.n_steps) == ("measured", 1.0, 1.0)
    assert (budget.measured_ratio, budget.believed_ratio) == (1.0, 0.0)
    assert budget.left_ratio == pytest.approx(0.9)
    gone = error_budget(state, SLA, STEP_S)
    assert (gone.source, gone.measured_ratio, gone.left_ratio) == ("believed", None, 1.0)


def test_requests_weigh_by_their_number_and_steps_without_any_weigh_nothing() -> None:
    state = measured([(0.0, 1000.0), (50.0, 1000.0), (0.0, 0.0), (0.0, 0.0)])
    budget = error_budget(state, OBJECTIVE, STEP_S)
    assert (budget.violation_ratio, budget.n_steps) == (0.025, 4.0)
    assert budget.left_ratio == pytest.approx(1 - 0.025 * 4 / 10)
    quiet = error_budget(measured([(0.0, 0.0)]), OBJECTIVE, STEP_S)
    assert (quiet.source, quiet.measured_ratio, quiet.left_ratio) == ("measured", None, 1.0)


def test_old_steps_leave_both_windows_at_the_same_rate() -> None:
    sla = Sla(0.1, window_s=100 * STEP_S, good_share=0.95)
    violations = [1.0] * 5 + [0.0] * 400
    state = believed(violations, sla)
    assert state.observed_steps == pytest.approx(100)
    assert state.spent_steps < 0.3
    assert window_steps(sla, STEP_S) == 100
    of_time = measured([(v, 1.0) for v in violations], sla)
    assert (of_time.measured_missed, of_time.measured_steps) == pytest.approx(
        (state.spent_steps, state.observed_steps)
    )
    assert of_time.measured_total == pytest.approx(100)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e6)), max_size=80))
def test_the_measured_share_is_one(steps: list[tuple[float, float]]) -> None:
    sla = replace(OBJECTIVE, window_s=20 * STEP_S)
    state = measured([(ratio * total, total) for ratio, total in steps], sla)
    budget = error_budget(state, sla, STEP_S)
    assert budget.measured_ratio is None or 0 <= budget.measured_ratio <= 1 + 1e-9
    assert budget.n_steps <= 20


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"violation_ratio=1\.5"):
        count_believed(RiskState(), 1.5, SLA, STEP_S)
    for missed, total in ((2.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))):
        with pytest.raises(InvalidRequest, match="missed="):
            count_measured(RiskState(), missed, total, SLA, STEP_S)
