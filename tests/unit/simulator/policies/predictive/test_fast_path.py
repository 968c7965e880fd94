"""The planner with the fast path: the planner's at its steps, never below it between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.simulator.native_run import NativePace, simulate_native
from services.simulator.policies.predictive.fast_path import FastPath
from services.simulator.policies.predictive.predicted import ForecastQuantile
from tests.unit.simulator.courses import Spy, make_course

N = 5
PLANNER = ForecastQuantile(np.array([0.5, 0.95]), 0.1)


def bursts(seed=0, n_steps=120):
    """Sub-steps of a minute whose level changes within steps of five."""
    rng = np.random.default_rng(seed)
    level = np.exp(0.8 * rng.standard_normal(n_steps * N // 4 + 1))
    demand = 8.0 * np.repeat(level, 4)[: n_steps * N]
    return make_course(np.minimum(demand, 80.0), lead_s=60.0, initial=10)


def paths_of(course):
    """Honest forecasts of steps that know nothing of what happens within."""
    rng = np.random.default_rng(1)
    n = course.n_steps // N
    paths = 8.0 * np.exp(0.8 * rng.standard_normal((n, 1, 100, 4)))
    return lambda step: paths[min(step, n - 1)]


def raced(policy, course, cadence_s, paths):
    block = np.arange(course.n_steps) // (course.n_steps // 2)
    return simulate_native(policy, course, NativePace(cadence_s, block), paths)


def test_without_errors_learned_it_is_the_planner():
    course = bursts(n_steps=5)
    paths = paths_of(course)
    slow = raced(PLANNER, course, 300.0, paths)
    fast = raced(FastPath(PLANNER, N, 60.0), course, 60.0, lambda k: paths(k // N))
    for name in ("out_s", "shortage", "held_s"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name))


def test_bursts_within_a_step_are_met_that_the_planner_sleeps_through():
    course = bursts()
    paths = paths_of(course)
    slow = raced(PLANNER, course, 300.0, paths)
    fast = raced(FastPath(PLANNER, N, 60.0), course, 60.0, lambda k: paths(k // N))
    later = (..., 1)
    assert fast.out_s[later].sum() < 0.8 * slow.out_s[later].sum()
    assert (fast.held_s[later] >= slow.held_s[later]).all()


def test_the_planner_is_asked_at_steps_with_means_and_what_was_measured_of_them():
    course, views = bursts(n_steps=8), []
    paths = paths_of(course)
    raced(FastPath(Spy(PLANNER, views), N, 60.0), course, 60.0, lambda k: paths(k // N))
    assert [view.step_s for view in views] == [300.0] * 8
    means = course.demand.reshape(1, -1, N).mean(axis=2)
    np.testing.assert_allclose(views[-1].demand, means[:, :7])
    assert views[0].last_violation is None
    assert ((views[-1].last_violation >= 0) & (views[-1].last_violation <= 1)).all()


def test_unknown_demand_leaves_the_count_where_it_was():
    course = bursts()
    blind = replace(course, seen=np.full(course.demand.shape, np.nan))
    paths = paths_of(course)
    slow = raced(PLANNER, blind, 300.0, paths)
    fast = raced(FastPath(PLANNER, N, 60.0), blind, 60.0, lambda k: paths(k // N))
    np.testing.assert_array_equal(fast.held_s, slow.held_s)


def price_of(replicas):
    """The same worth of a sub-step out of SLA for every setting and workload."""
    return lambda view: np.full(view.shape, float(replicas))


def test_on_trial_it_acts_where_that_pays_and_nowhere_else():
    """Bursts that are worth fifty replicas are met; where they are worth nothing, nothing is."""
    course = bursts()
    paths = paths_of(course)
    slow = raced(PLANNER, course, 300.0, paths)
    dear, cheap = (
        raced(
            FastPath(PLANNER, N, 60.0, price=price_of(worth)), course, 60.0, lambda k: paths(k // N)
        )
        for worth in (50.0, 0.0)
    )
    np.testing.assert_array_equal(cheap.held_s, slow.held_s)
    assert dear.out_s[..., 1].sum() < 0.85 * slow.out_s[..., 1].sum()
