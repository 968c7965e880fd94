"""Two ledgers of a promise: counting, forgetting, and which of them the budget goes by."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from decider import DecideConfig, RiskState, Sla, decide_shard, promise_of_steps, update_risk
from decider.errors import InvalidRequest
from decider.planning.ledgers import (
    LedgerSpan,
    count_believed,
    count_measured,
    error_budget,
    forget_believed,
    forget_measured,
    weight_of_step,
    window_steps,
)
from tests.unit.decider.shards import NOW_S, noisy, shard, workload

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


def test_a_step_weighs_as_its_requests_over_those_of_a_usual_one() -> None:
    requests = replace(OBJECTIVE, kind="DemandFraction")
    state = measured([(0.0, 90.0), (1.0, 110.0)], requests)
    assert [weight_of_step(state, total) for total in (0.0, 50.0, 100.0, 300.0, 1e9)] == [
        *(0.0, 0.5, 1.0, 3.0),
        4.0,
    ]
    assert weight_of_step(RiskState(), 50.0) == 1.0


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


@given(epsilon=st.floats(0.001, 0.5), n=st.integers(1, 50_000))
def test_a_promise_of_windows_is_one_of_each_of_their_steps(epsilon: float, n: int) -> None:
    found = promise_of_steps(Sla(epsilon, "AnyInWindow", n * STEP_S), STEP_S)
    assert found.kind == "TimeFraction"
    assert found.epsilon is not None
    assert 1.0 - (1.0 - found.epsilon) ** n == pytest.approx(epsilon, rel=1e-6)
    assert found.window_s == n * STEP_S
    assert promise_of_steps(found, STEP_S) == found


def test_a_window_shorter_than_a_step_is_one_step_and_other_promises_are_what_they_are() -> None:
    assert promise_of_steps(Sla(0.05, "AnyInWindow", 1.0), STEP_S).epsilon == pytest.approx(0.05)
    assert promise_of_steps(Sla(None, "AnyInWindow"), STEP_S).epsilon is None
    for sla in (SLA, Sla(0.01, "DemandFraction")):
        assert promise_of_steps(sla, STEP_S) is sla


def test_one_violation_overspends_a_window_and_lowers_the_level_as_of_a_step() -> None:
    sla = Sla(0.05, "AnyInWindow", 288 * STEP_S)
    spent = error_budget(believed([0.0] * 100 + [1.0], sla), sla, STEP_S)
    assert spent.is_exhausted
    assert error_budget(believed([0.0] * 101, sla), sla, STEP_S).left_ratio == 1.0
    config = DecideConfig().risk
    by_window, by_step = (
        update_risk(RiskState(), 1.0, one, STEP_S, config)
        for one in (sla, promise_of_steps(sla, STEP_S))
    )
    assert by_window == by_step
    assert by_window.log_level < 0.0


def test_windows_are_decided_as_their_steps_are() -> None:
    any_of = Sla(0.05, "AnyInWindow", 86_400.0)
    owners = [workload("a", sla=any_of), workload("a", sla=promise_of_steps(any_of, 300.0))]
    found = [decide_shard(shard(noisy(100.0), [one]), DecideConfig(), NOW_S) for one in owners]
    assert found[0] == found[1]


def test_the_time_of_a_ledger_says_what_is_left_of_it() -> None:
    span = LedgerSpan(0.0, 100.0)
    assert [span.kept_since(at) for at in (-10.0, 0.0, 25.0, 100.0, 200.0)] == [1, 1, 0.75, 0, 0]
    assert span.since(25.0) == LedgerSpan(25.0, 100.0)
    assert span.since(-25.0) == span
    assert span.since(200.0) == LedgerSpan(100.0, 100.0)
    assert span.since(200.0).kept_since(300.0) == 0.0
    assert span.with_step(100.0, 110.0) == LedgerSpan(0.0, 110.0)
    assert span.since(200.0).with_step(300.0, 310.0) == LedgerSpan(300.0, 310.0)


@given(st.lists(st.floats(0.0, 90.0), max_size=6), st.floats(0.0, 120.0))
def test_it_does_not_matter_in_how_many_steps_time_passes(each: list[float], last: float) -> None:
    span, kept = LedgerSpan(0.0, 100.0), 1.0
    for at in sorted([*each, last]):
        kept *= span.kept_since(at)
        span = span.since(at)
    assert kept == pytest.approx(LedgerSpan(0.0, 100.0).kept_since(max([*each, last])))


def test_where_no_step_is_missing_forgetting_by_time_is_at_the_windows_rate() -> None:
    """Once the window is full a step drives out as much of what is there as one step is of it."""
    n, window_s = 50, 50 * STEP_S
    sla, span = Sla(0.01, window_s=window_s), LedgerSpan(0.0, 0.0)
    plain = by_time = RiskState()
    for i in range(3 * n):
        violation = float(i % 7 == 0)
        plain = count_believed(plain, violation, sla, STEP_S)
        end_s = (i + 1) * STEP_S
        by_time = forget_believed(by_time, span.kept_since(end_s - window_s))
        span = span.since(end_s - window_s).with_step(end_s - STEP_S, end_s)
        by_time = count_believed(by_time, violation, sla, STEP_S)
        assert by_time.spent_steps == pytest.approx(plain.spent_steps)
        assert by_time.observed_steps == pytest.approx(plain.observed_steps)


def test_what_is_forgotten_leaves_the_shares_as_they_are() -> None:
    state = replace(measured([(2.0, 100.0)] * 4), spent_steps=1.0, observed_steps=4.0)
    half = forget_measured(forget_believed(state, 0.5), 0.5)
    assert (half.spent_steps, half.observed_steps) == (0.5, 2.0)
    assert (half.measured_missed, half.measured_total, half.measured_steps) == (4.0, 200.0, 2.0)
    assert forget_measured(state, 1.0) is forget_believed(state, 1.0) is state
    gone = forget_measured(state, 0.0)
    assert error_budget(gone, OBJECTIVE, STEP_S).source == "believed"
