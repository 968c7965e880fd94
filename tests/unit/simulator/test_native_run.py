"""Policies at their own cadence: equal to the step simulator where that is one, and never ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.lab.bench.decide.frontier import block_sums
from services.simulator.grid_run import simulate_grid
from services.simulator.native_run import (
    NativePace,
    cadence_columns,
    decision_numbers,
    simulate_native,
    whole_cadence,
)
from services.simulator.policies.oracle import OracleGrid
from services.simulator.policies.reactive.hpa import HpaGrid
from services.simulator.policies.reactive.ray_serve import RayServe
from services.simulator.policies.trailing_percentile import TrailingPercentileGrid
from tests.unit.simulator.courses import make_course

POLICIES = {
    "trailing": TrailingPercentileGrid(np.array([60.0, 600.0]), 90.0, np.array([0.0, 0.2])),
    "hpa": HpaGrid(np.array([50.0, 80.0])),
    "ray_serve": RayServe(np.array([0.5, 0.9])),
}
N_PER_BLOCK = 7


def wild(seed, *, n_steps=60, gaps=0.1):
    """Two workloads of rough demand with unknown steps; one ends early."""
    rng = np.random.default_rng(seed)
    demand = 8.0 * np.exp(np.cumsum(0.3 * rng.standard_normal((2, n_steps)), axis=1))
    demand[rng.random(demand.shape) < gaps] = np.nan
    is_live = np.ones(demand.shape, dtype=bool)
    is_live[1, n_steps - 10 :] = False
    return demand, is_live


def blocks(n_steps):
    return np.arange(n_steps) // N_PER_BLOCK


def refined(course, n):
    """The same course in sub-steps, `n` of them a step."""
    return replace(
        course,
        history=np.repeat(course.history, n, axis=1),
        demand=np.repeat(course.demand, n, axis=1),
        is_live=np.repeat(course.is_live, n, axis=1),
        capacity_factor=np.repeat(course.capacity_factor, n, axis=1),
        step_s=course.step_s / n,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), lead_s=st.sampled_from([0.0, 15.0, 60.0, 90.0, 250.0]))
def test_a_cadence_of_one_step_gives_the_figures_of_the_step_simulator(name, seed, lead_s):
    demand, is_live = wild(seed)
    course = make_course(demand, lead_s=lead_s, initial=8, is_live=is_live)
    ours = simulate_native(POLICIES[name], course, NativePace(60.0, blocks(60)))
    theirs = simulate_grid(POLICIES[name], course)
    known = np.isfinite(demand) & is_live
    for found, steps in (
        (ours.held_s, theirs.asked),
        (ours.out_s, theirs.violation_ratio * known),
        (ours.shortage, theirs.unserved * known),
    ):
        np.testing.assert_allclose(found, 60.0 * block_sums(steps, N_PER_BLOCK), rtol=1e-5)


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.sampled_from([2, 3, 4]),
    lead_s=st.sampled_from([15.0, 90.0, 130.0]),
)
def test_sub_steps_add_up_to_their_steps(name, seed, n, lead_s):
    demand, is_live = wild(seed)
    course = make_course(demand, lead_s=lead_s, initial=8, is_live=is_live)
    whole = simulate_native(POLICIES[name], course, NativePace(60.0, blocks(60)))
    pace = NativePace(60.0, np.repeat(blocks(60), n))
    parts = simulate_native(POLICIES[name], refined(course, n), pace)
    for field in ("held_s", "out_s", "shortage"):
        np.testing.assert_allclose(getattr(parts, field), getattr(whole, field), rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    cadence_s=st.sampled_from([2.0, 7.0, 15.0, 60.0, 120.0, 300.0]),
    n_before=st.integers(0, 13),
    seed=st.integers(0, 1000),
)
def test_no_sample_is_shown_before_it_is_complete(cadence_s, n_before, seed):
    demand, is_live = wild(seed, gaps=0.0)
    history = np.arange(2.0 * n_before).reshape(2, n_before)
    course = make_course(demand, history=history, is_live=is_live)
    columns = cadence_columns(course, cadence_s)
    for k in (1, 5, 11):
        n_complete = int(k * cadence_s // 60.0)
        later = demand.copy()
        later[:, n_complete:] = 1e6
        changed = cadence_columns(make_course(later, history=history, is_live=is_live), cadence_s)
        np.testing.assert_array_equal(columns.until(k), changed.until(k))
        if cadence_s <= 60.0 and n_complete:
            np.testing.assert_array_equal(columns.until(k)[:, -1], demand[:, n_complete - 1])


def test_a_slower_policy_sees_means_of_what_is_known():
    course = make_course([[1.0, 3.0, np.nan, 5.0, np.nan, np.nan]])
    shown = cadence_columns(course, 120.0).until(3)
    np.testing.assert_array_equal(shown, [[2.0, 5.0, np.nan]])


def test_a_cadence_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="cadence_s=90"):
        cadence_columns(make_course([[1.0, 2.0]]), 90.0)
    assert whole_cadence(90.0, 60.0) == 120.0
    assert whole_cadence(15.0, 60.0) == 15.0


def test_decisions_fall_where_the_clock_says():
    course = make_course([[1.0, 2.0, 3.0]])
    assert decision_numbers(course, 30.0) == [0, 2, 4, 6]
    assert decision_numbers(course, 120.0) == [0, 1, 1, 2]
    assert decision_numbers(course, 7.0) == [0, 9, 18, 26]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cadence_s=st.sampled_from([15.0, 30.0, 60.0]))
def test_an_oracle_that_looks_as_far_as_a_start_takes_never_violates(seed, cadence_s):
    demand, is_live = wild(seed)
    demand = np.minimum(demand, 90.0)
    lead_s = 2.0 * cadence_s
    course = make_course(demand, lead_s=lead_s, initial=90, is_live=is_live)
    pace = NativePace(cadence_s, blocks(60))
    run = simulate_native(OracleGrid(lead_s), course, pace, n_future=3)
    np.testing.assert_array_equal(run.out_s, 0.0)


def test_a_faster_oracle_is_cheaper():
    """With starts of half a step nothing has to be asked for a whole step ahead."""
    course = make_course([[1.0, 9.0] * 20], lead_s=30.0, initial=9)
    held = [
        simulate_native(
            OracleGrid(30.0), course, NativePace(cadence_s, blocks(40)), n_future=2
        ).held_s.sum()
        for cadence_s in (30.0, 60.0)
    ]
    assert held[0] < held[1]
