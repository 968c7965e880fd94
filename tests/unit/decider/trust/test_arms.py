"""The arms of the shadow back-test: the ladder's own counts, and one rule of lead times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import FallbackConfig, History, TrailingRule
from decider.planning.fallback import DecisionTime, stand
from decider.tables.soft_response import soft_of
from decider.trust.arms import (
    WINDOWS_STEPS,
    beyond_edge,
    by_response,
    trailing_counts,
    trailing_grid,
    violation_ratio,
)
from decider.types import RiskKind
from services.simulator.replicas import GridReplicas, account
from tests.unit.decider.shards import NOW_S, workload
from tests.unit.decider.tables.soft_cases import response, sla
from tests.unit.simulator.courses import make_course

FALLBACK = FallbackConfig(min_observed=4, stale_after_s=120.0)


def counts(demand: list[float], rule: TrailingRule, config: FallbackConfig = FALLBACK):
    return trailing_counts(np.array(demand), 10.0, (rule,), 60.0, config)[0]


def test_the_percentile_of_the_window_and_the_last_step_both_fit() -> None:
    demand = [40.0, 20.0, 20.0, 20.0, 30.0, 55.0, 5.0]
    asked = counts(demand, TrailingRule(4, 0.5, 0.0))
    # 4: median 20, last 20. 5: (20, 20, 20, 30) and 30. 6: (20, 20, 30, 55) and 55.
    assert asked[1:].tolist() == [4, 2, 2, 2, 3, 6]
    assert np.isnan(asked[0])


def test_the_margin_is_on_top_of_both() -> None:
    assert counts([20.0] * 8, TrailingRule(4, 1.0, 0.25))[-1] == 3  # 25 of 10 each
    assert counts([20.0, 20.0], TrailingRule(4, 1.0, 0.25))[-1] == 3


def test_an_unknown_step_is_no_zero_and_a_stale_one_is_unknown() -> None:
    nan = float("nan")
    asked = counts([30.0, 30.0, 30.0, 30.0, nan, nan, nan, nan, nan], TrailingRule(4, 0.0, 0.0))
    # stale after 120 s: the value of step 3 still counts at steps 4, 5 and 6
    assert asked[4:7].tolist() == [3, 3, 3]
    assert np.isnan(asked[7:]).all()


def test_windows_longer_than_the_context_are_left_out() -> None:
    assert {r.window_steps for r in trailing_grid(144)} == set(WINDOWS_STEPS)
    assert {r.window_steps for r in trailing_grid(40)} == {12, 36}
    assert {r.window_steps for r in trailing_grid(5)} == {12}
    assert len(set(trailing_grid(144))) == 36


@given(
    demand=st.lists(st.one_of(st.floats(0, 500), st.just(float("nan"))), min_size=1, max_size=30),
    window=st.sampled_from([3, 12]),
    percentile=st.sampled_from([0.5, 0.98, 1.0]),
    margin=st.sampled_from([0.0, 0.3]),
    step_s=st.sampled_from([60.0, 30.0, 15.0, 5.0]),
)
@settings(max_examples=300, deadline=None)
def test_the_arm_judged_is_the_arm_that_would_answer(
    demand: list[float], window: int, percentile: float, margin: float, step_s: float
) -> None:
    """Law: at every step the count is the one that the ladder gives a distrusted workload."""
    rule = TrailingRule(window, percentile, margin)
    every = np.array([*demand, 1.0])
    asked = trailing_counts(every, 10.0, (rule,), step_s, FALLBACK)[0, -1]
    owner = workload(
        history=History(np.array(demand), NOW_S),
        forecast_origin_s=NOW_S - step_s,
        is_model_trusted=False,
        trailing_rule=rule,
    )
    found = stand(owner, np.ones((2, 3)), DecisionTime(NOW_S, step_s), 10.0, FALLBACK)
    if np.isnan(asked):
        assert found.rung == "hold"
    else:
        assert found.rung in ("trailing_percentile", "reactive")
        assert found.replicas == asked


@pytest.mark.parametrize("deviations", [2.5, float("inf")])
def test_of_short_steps_the_arm_goes_by_what_the_newest_of_them_tell(deviations: float) -> None:
    """A step of 15 s is mostly chance, for the rung that would answer and so for the one judged."""
    config = FallbackConfig(rise_deviations=deviations)
    demand = np.random.default_rng(5).poisson(30.0, 160) * 10.0 / 3.0
    demand[120:] *= 2.0
    rule = TrailingRule(12, 0.5, 0.1)
    asked = trailing_counts(demand, 10.0, (rule,), 15.0, config)[0]
    for step in range(100, demand.size):
        owner = workload(
            history=History(demand[:step], NOW_S),
            forecast_origin_s=NOW_S - 15.0,
            is_model_trusted=False,
            trailing_rule=rule,
        )
        found = stand(owner, np.ones((2, 3)), DecisionTime(NOW_S, 15.0), 10.0, config)
        assert asked[step] == found.replicas


def test_a_start_serves_after_its_lead_and_a_stop_at_once() -> None:
    asked = np.array([[2.0, 4.0, 4.0, 4.0, 2.0, 4.0, 4.0]])
    need = np.full(7, 4.0)
    assert violation_ratio(asked, beyond_edge(need), 0.0)[0].tolist() == [1, 0, 0, 0, 1, 0, 0]
    one = violation_ratio(asked, beyond_edge(need), 1.0)[0]
    assert np.isnan(one[0])  # what was asked for before is unknown
    assert one[1:].tolist() == [1, 0, 0, 1, 1, 0]
    half = violation_ratio(asked, beyond_edge(need), 0.25)[0]
    assert half[1:].tolist() == [0.25, 0, 0, 1, 0.25, 0]


def test_an_unknown_need_or_count_is_not_a_kept_promise() -> None:
    asked = np.array([[2.0, np.nan, 2.0, 2.0]])
    assert np.isnan(
        violation_ratio(asked, beyond_edge(np.array([1.0, 1, 1, np.nan])), 0.0)[0][[1, 3]]
    ).all()
    assert np.isnan(violation_ratio(asked, beyond_edge(np.ones(4)), 1.0)[0][:3]).all()


@pytest.mark.parametrize("kind", ["DemandFraction", "TimeFraction"])
def test_with_a_response_a_step_misses_what_it_says(kind: RiskKind) -> None:
    """Just beyond the load that keeps a promise of requests a hundredth of them misses, not all."""
    soft = soft_of(response(), sla(kind), 300.0)
    asked = np.array([[4.0, 9.0, 0.0, 0.0, np.nan], [5.0, 6.0, 1.0, 0.0, 2.0]])
    demand = np.array([40.0, 45.0, 12.0, 0.0, 5.0])
    found = violation_ratio(asked, by_response(demand, soft), 0.0)
    told = soft.risk(np.log([40 / 4, 45 / 9, 40 / 5, 45 / 6, 12 / 1]))
    assert found[[0, 0, 1, 1, 1], [0, 1, 0, 1, 2]] == pytest.approx(told, abs=2e-3)
    assert found[0, 2] == pytest.approx(1.0), "nothing serves"
    assert found[:, 3].tolist() == [0.0, 0.0], "without demand nothing is missed"
    assert np.isnan(found[0, 4])
    assert np.isnan(by_response(np.array([np.nan]), soft)(np.ones((1, 1)))).all()


def test_an_endless_slope_is_a_sharp_edge() -> None:
    soft = soft_of(response(spread=0.0, slope=1e4), sla(), 300.0)
    demand = np.array([39.0, 41.0, 60.0])
    ready = np.full((1, 3), 4.0)
    sharp = beyond_edge(np.ceil(demand / 10.0))(ready)
    assert by_response(demand, soft)(ready) == pytest.approx(sharp, abs=1e-6)


@given(
    asked=st.lists(st.integers(0, 6), min_size=1, max_size=14),
    need=st.lists(st.integers(0, 6), min_size=14, max_size=14),
    lead_steps=st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.25]),
)
@settings(max_examples=200, deadline=None)
def test_the_rule_is_the_simulators(asked: list[int], need: list[int], lead_steps: float) -> None:
    """Law: for a fixed lead time, the least count of the last lead is what the simulator has ready.

    The simulator begins with all initial replicas ready, which is a constant count before.
    """
    load = np.array(need[: len(asked)], dtype=float)
    course = make_course(load, lead_s=60.0 * lead_steps, initial=asked[0])
    replicas, seen = GridReplicas(course, 1), []
    for step, count in enumerate(asked):
        start_s = 60.0 * step
        replicas.land(start_s)
        replicas.scale(np.array([[count]]), start_s)
        replicas.land(start_s)
        outcome = account(replicas, load[[step]], np.ones(1), start_s, start_s + 60.0)
        seen.append(float(outcome.violation_ratio[0, 0]))
    before = [float(asked[0])] * 5
    counts_in_force = np.array([before + [float(n) for n in asked]])
    found = violation_ratio(
        counts_in_force, beyond_edge(np.concatenate([np.zeros(5), load])), lead_steps
    )[0, 5:]
    assert found.tolist() == pytest.approx(seen)
