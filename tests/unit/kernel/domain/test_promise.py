"""What is stored of a promise, as every surface reads it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from decider import Sla, promise_of_steps
from services.kernel.domain.promise import (
    PromiseFigures,
    is_range,
    promise_figures,
    step_promise,
)

MEASURED: dict[str, Any] = {
    "budget_source": "measured",
    "violation_ratio": 0.012,
    "measured_ratio": 0.012,
    "believed_ratio": 0.004,
    "budget_left_ratio": -0.2,
    "observed_steps": 300.0,
    "measured_steps": 120.0,
    "measured_total": 9000.0,
    "sli_status": "Measured",
    "sli_message": "",
    "demand_censored_message": "",
}
BELIEVED: dict[str, Any] = MEASURED | {
    "budget_source": "believed",
    "violation_ratio": 0.004,
    "measured_ratio": None,
    "budget_left_ratio": 0.6,
    "measured_steps": 0.0,
    "sli_status": "NoSeries",
    "sli_message": "no series of ttft: set objective.series",
    "demand_censored_message": None,
}


def test_a_measured_promise_has_both_figures_and_its_own_steps() -> None:
    assert promise_figures(MEASURED) == PromiseFigures(
        "measured", 0.012, 0.012, 0.004, -0.2, 120.0, "Measured", "", ""
    )


def test_what_replicas_do_not_cure_is_told_and_an_unknown_stays_one() -> None:
    told = {"goal_unreachable_message": "errors", "not_capacity_message": "release"}
    found = promise_figures(MEASURED | told)
    assert (found.goal_unreachable_message, found.not_capacity_message) == ("errors", "release")
    older = promise_figures(MEASURED)
    assert (older.goal_unreachable_message, older.not_capacity_message) == ("", None)
    assert promise_figures(MEASURED | {"not_capacity_message": ""}).not_capacity_message == ""


def test_of_a_range_both_ends_are_told_and_of_one_figure_no_second() -> None:
    ends = {"measured_low_ratio": 0.008, "budget_left_high_ratio": 0.2}
    found = promise_figures(MEASURED | ends)
    assert (found.measured_low_ratio, found.measured_ratio) == (0.008, 0.012)
    assert (found.left_ratio, found.left_high_ratio) == (-0.2, 0.2)
    assert (found.measured_high_ratio, found.left_low_ratio) == (None, None)
    assert found.violation_ratio == 0.012, "the upper end decides"
    for alone in (0.012, 0.012 * (1 - 1e-6), None):
        same = promise_figures(MEASURED | ends | {"measured_low_ratio": alone})
        assert (same.measured_low_ratio, same.left_high_ratio) == (None, None)
    believed = promise_figures(BELIEVED | ends)
    assert (believed.measured_low_ratio, believed.left_high_ratio) == (None, None)


def test_an_estimate_has_an_end_on_either_side_each_of_them_only_where_it_differs() -> None:
    ends = {"measured_low_ratio": 0.008, "budget_left_high_ratio": 0.2}
    above = {"measured_high_ratio": 0.4, "budget_left_low_ratio": -39.0}
    found = promise_figures(MEASURED | ends | above)
    assert (found.measured_low_ratio, found.measured_high_ratio) == (0.008, 0.4)
    assert (found.left_low_ratio, found.left_ratio, found.left_high_ratio) == (-39.0, -0.2, 0.2)
    assert found.violation_ratio == found.measured_ratio == 0.012, "the estimate decides"
    for alone in (0.012, 0.012 * (1 + 1e-6), None):
        same = promise_figures(MEASURED | ends | above | {"measured_high_ratio": alone})
        assert (same.measured_high_ratio, same.left_low_ratio) == (None, None)
        assert same.measured_low_ratio == 0.008
    believed = promise_figures(BELIEVED | above)
    assert (believed.measured_high_ratio, believed.left_low_ratio) == (None, None)


def test_a_range_has_two_known_ends() -> None:
    assert is_range(0.0, 0.01)
    assert not is_range(0.01, 0.01)
    assert not is_range(0.0, 0.0)
    assert not is_range(None, 0.01)
    assert not is_range(0.0, None)


def test_a_believed_one_has_no_measured_figure() -> None:
    why = "no series of ttft: set objective.series"
    assert promise_figures(BELIEVED) == PromiseFigures(
        "believed", 0.004, None, 0.004, 0.6, 300.0, "NoSeries", why, None
    )
    lied = BELIEVED | {"measured_ratio": 0.004}
    assert promise_figures(lied).measured_ratio is None


def test_what_was_stored_before_anything_could_be_measured_is_believed() -> None:
    old = {"observed_steps": 48.0, "measured_ratio": 0.08, "budget_left_ratio": 0.5}
    assert promise_figures(old) == PromiseFigures("believed", 0.08, None, 0.08, 0.5, 48.0)


def test_the_unknown_stays_unknown() -> None:
    nothing = PromiseFigures()
    assert promise_figures(None) == promise_figures({}) == nothing
    assert promise_figures({"observed_steps": 0.0, "measured_ratio": None}) == nothing
    fresh = BELIEVED | {"violation_ratio": None, "believed_ratio": None, "observed_steps": 0.0}
    found = promise_figures(fresh)
    assert (found.source, found.violation_ratio, found.sli_status) == (None, None, "NoSeries")
    assert found.left_ratio is None, "no step was counted, and a whole budget was told"
    older = {"observed_steps": 0.0, "measured_ratio": None, "budget_left_ratio": 1.0}
    assert promise_figures(older) == nothing
    idle = promise_figures(MEASURED | {"violation_ratio": None, "measured_ratio": None})
    assert (idle.source, idle.violation_ratio, idle.n_steps) == ("measured", None, 120.0)
    assert promise_figures(MEASURED | {"sli_status": "Guessed"}).sli_status is None


@pytest.mark.parametrize(
    "state",
    [
        "measured",
        ["measured"],
        dict.fromkeys(MEASURED, "many") | {"budget_source": "measured"},
        {name: ["many"] for name in MEASURED} | {"budget_source": "believed"},
        {name: {"of": "it"} for name in MEASURED},
        dict.fromkeys(MEASURED, True),
    ],
)
def test_a_state_that_was_spoilt_by_hand_tells_no_figure(state: Any) -> None:
    found = promise_figures(state)
    assert (found.source, found.violation_ratio, found.measured_ratio) == (None, None, None)
    assert (found.believed_ratio, found.left_ratio, found.n_steps) == (None, None, 0.0)


def test_a_promise_about_windows_is_a_smaller_one_of_each_step() -> None:
    days = ("AnyInWindow", 0.05, 86_400.0)
    assert step_promise(*days, 300) == pytest.approx(1 - 0.95 ** (1 / 288))
    assert step_promise(*days, 100_000) == pytest.approx(0.05), "a step is no part of a window"
    assert step_promise("TimeFraction", 0.05, 86_400.0, 300) == 0.05


@given(
    epsilon=st.floats(0.0, 1.0, exclude_min=True, exclude_max=True),
    kind=st.sampled_from(["TimeFraction", "DemandFraction", "AnyInWindow"]),
    window_s=st.floats(1.0, 1e9),
    step_s=st.integers(1, 3600),
)
def test_it_is_what_decisions_keep(epsilon: float, kind: Any, window_s: float, step_s: int) -> None:
    kept = promise_of_steps(Sla(epsilon, kind, window_s), step_s)
    assert step_promise(kind, epsilon, window_s, step_s) == kept.epsilon
