"""The grid simulator against the engine, step by step, and its own laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.simulator import SimulationSetup, simulate
from services.simulator.grid_run import simulate_grid
from services.simulator.policies.grid import Solo
from services.simulator.policies.oracle import OracleGrid
from services.simulator.policies.reactive.hpa import HpaGrid
from services.simulator.policies.reactive.kpa import Kpa
from services.simulator.policies.trailing_percentile import TrailingPercentileGrid
from tests.unit.simulator.courses import ROOMY, Scripted, Spy, course_of, engine_leads, make_course
from tests.unit.simulator.fleets import make_fleet

SEED = 5

NAN = float("nan")


def wavy(W, T, seed=0):
    rng = np.random.default_rng(seed)
    base = 6 + 4 * np.sin(2 * np.pi * np.arange(T) / 90)
    return base * rng.lognormal(0, 0.25, (W, T)) * rng.uniform(0.5, 1.5, (W, 1))


def wavy_fleet(median_s, sigma, *, gap=0.0):
    demand = wavy(3, 260, seed=3)
    observed = np.random.default_rng(8).random(demand.shape) >= gap
    return make_fleet(
        demand, n_history=60, median_s=median_s, sigma=sigma, fail=sigma / 10, observed=observed
    )


def scripts(G, W, T, seed):
    """Counts that hold for some steps, jump, and fall back."""
    rng = np.random.default_rng(seed)
    held = rng.integers(1, 15, (G, W, T))
    is_new = rng.random((G, W, T)) < 0.5
    is_new[:, :, 0] = True
    last = np.maximum.accumulate(np.where(is_new, np.arange(T), 0), axis=2)
    return np.take_along_axis(held, last, axis=2)


POLICIES = {
    "trailing": TrailingPercentileGrid(600.0, 90.0, 0.1),
    "hpa": HpaGrid(60.0),
    "kpa": Kpa(0.7),
    "scripted": Scripted(scripts(1, 3, 200, seed=1)),
}

LEADS = {
    "within a step": (25.0, 0.0),
    "one step": (60.0, 0.0),
    "some steps": (150.0, 0.0),
    "random": (90.0, 0.8),
    "random and long": (400.0, 0.6),
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("lead", LEADS)
def test_a_run_equals_the_engine_s(name, lead):
    fleet, initial = wavy_fleet(*LEADS[lead], gap=0.05), np.array([10.0, 8.0, 12.0])
    policy = POLICIES[name]
    parts = [policy] * 3
    if isinstance(policy, Scripted):
        parts = [Scripted(policy.counts[:, w : w + 1]) for w in range(3)]
    setup = SimulationSetup(fleet, initial, SEED, ROOMY)
    theirs = simulate(name, [Solo(part) for part in parts], setup)
    course = course_of(fleet, initial, engine_leads(fleet, SEED))
    ours = simulate_grid(policy, course)
    np.testing.assert_array_equal(ours.asked[0], theirs.spec)
    step_s = course.step_s
    np.testing.assert_allclose(ours.violation_ratio[0], theirs.violation_s / step_s, atol=1e-6)
    np.testing.assert_allclose(ours.unserved[0], theirs.shortage / step_s, atol=1e-5)
    np.testing.assert_allclose(ours.ready_mean[0], theirs.ready_mean, atol=1e-5)
    # enough GPUs: what is asked for is held, starting or ready
    np.testing.assert_allclose(ours.asked[0] * step_s, theirs.gpu_s, rtol=1e-6)
    assert theirs.violation_s.sum() > 0


def test_an_oracle_sees_the_same_future():
    fleet, initial = wavy_fleet(130.0, 0.0), np.full(3, 20.0)
    run = simulate_grid(
        OracleGrid(144.0), course_of(fleet, initial, engine_leads(fleet, SEED)), n_future=4
    )
    assert run.violation_ratio.max() == 0
    assert run.asked[0, :, :-1].mean() < 12


class TestByHand:
    def test_a_start_part_way_through_a_step(self):
        # asked for at 0 s, ready at 90 s: 60 s, then 30 s of the second step are out of SLA
        run = simulate_grid(Scripted(np.full((1, 1, 3), 2)), make_course([1.5, 1.5, 1.5]))
        np.testing.assert_allclose(run.violation_ratio[0, 0], [1, 0.5, 0])
        np.testing.assert_allclose(run.unserved[0, 0], [0.5, 0.25, 0])
        np.testing.assert_allclose(run.ready_mean[0, 0], [1, 1.5, 2])

    def test_exactly_enough_is_enough(self):
        # 3 x 0.1 over 0.1 is a little more than 3 in floating point
        course = make_course([3 * 0.1, 0.3001], capacity=np.array([0.1]), initial=3)
        run = simulate_grid(Scripted(np.full((1, 1, 2), 3)), course)
        assert run.violation_ratio[0, 0].tolist() == [0, 1]
        assert run.unserved[0, 0].tolist() == [0, pytest.approx(0.0001)]

    def test_each_start_has_its_own_time(self):
        course = make_course([3.0, 3.0], lead_s=[999.0, 15.0, 45.0])
        run = simulate_grid(Scripted(np.full((1, 1, 2), 3)), course)
        # start 1 takes 15 s, start 2 takes 45 s (start 0 was the initial replica)
        np.testing.assert_allclose(run.ready_mean[0, 0], [(15 + 2 * 30 + 3 * 15) / 60, 3])
        np.testing.assert_allclose(run.violation_ratio[0, 0], [0.75, 0])

    def test_scaling_down_takes_the_youngest_start_first(self):
        # one start at 0 s and one at 60 s, both need 150 s; one is stopped at 120 s
        counts = np.array([[[2, 3, 2, 2]]])
        run = simulate_grid(Scripted(counts), make_course([0.0] * 4, lead_s=150.0))
        np.testing.assert_allclose(run.ready_mean[0, 0], [1, 1, 1.5, 2])

    def test_a_start_that_was_stopped_does_not_come_back(self):
        counts = np.array([[[2, 1, 2, 2, 2]]])
        run = simulate_grid(Scripted(counts), make_course([0.0] * 5, lead_s=[0.0, 100.0, 110.0]))
        # start 1 is stopped at 60 s, start 2 is asked for at 120 s and ready at 230 s
        np.testing.assert_allclose(run.ready_mean[0, 0], [1, 1, 1, 1 + 10 / 60, 2])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), lead_s=st.floats(0, 500))
def test_a_rising_request_is_provisioned_after_its_lead_time(seed, lead_s):
    """Asking for more each step never restarts the clock of what was asked for before."""
    rng = np.random.default_rng(seed)
    counts = 1 + np.cumsum(rng.integers(0, 3, 20))
    run = simulate_grid(Scripted(counts[None, None]), make_course(np.ones(20), lead_s=lead_s))
    asked = np.concatenate([[1], counts])
    edges = np.arange(20)[:, None] * 60.0 + np.linspace(0, 60, 600, endpoint=False) + 0.05
    step = np.floor((edges - lead_s) / 60.0).astype(int)
    ready = asked[np.clip(step + 1, 0, 20)]
    np.testing.assert_allclose(run.ready_mean[0, 0], ready.mean(axis=1), atol=0.02)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), longer=st.floats(0, 300))
def test_a_longer_lead_time_never_reduces_violations(seed, longer):
    rng = np.random.default_rng(seed)
    course = make_course(rng.uniform(0, 12, (2, 30)), lead_s=rng.uniform(0, 300, (2, 7)))
    policy = Scripted(scripts(3, 2, 30, seed))
    slow = replace(course, lead_s=course.lead_s + longer)
    early, late = (simulate_grid(policy, c) for c in (course, slow))
    assert np.all(late.violation_ratio >= early.violation_ratio - 1e-6)
    assert np.all(late.unserved >= early.unserved - 1e-5)
    assert np.all(late.ready_mean <= early.ready_mean + 1e-5)
    np.testing.assert_array_equal(late.asked, early.asked)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_violation_is_a_share_and_shortage_needs_one(seed):
    rng = np.random.default_rng(seed)
    demand = np.where(rng.random((3, 40)) < 0.1, NAN, rng.uniform(0, 15, (3, 40)))
    course = make_course(
        demand,
        lead_s=rng.lognormal(4.5, 0.8, (3, 11)),
        is_live=rng.random((3, 40)) < 0.8,
        capacity_factor=rng.uniform(0.7, 1.3, (3, 40)),
    )
    run = simulate_grid(Scripted(scripts(4, 3, 40, seed)), course)
    assert run.violation_ratio.min() >= 0
    assert run.violation_ratio.max() <= 1 + 1e-6
    assert np.all((run.unserved > 0) <= (run.violation_ratio > 0))
    assert np.all(run.ready_mean <= run.asked + 1e-5)
    gone = ~course.is_live
    for array in (run.asked, run.violation_ratio, run.unserved, run.ready_mean):
        assert not array[:, gone].any()
    assert not run.violation_ratio[:, np.isnan(demand)].any()
    assert run.violation_ratio.any()


class TestWhatPoliciesAreTold:
    def test_unknown_demand_is_no_violation_and_no_zero(self):
        views = []
        course = make_course([5.0, NAN, 5.0], initial=2, lead_s=60.0)
        run = simulate_grid(Spy(TrailingPercentileGrid(60.0, 100.0, 0.0), views), course)
        assert np.isnan(views[2].demand[0, 1])
        assert views[2].demand[0, 0] == 5
        # it holds through the gap instead of going to zero
        assert run.asked[0, 0].tolist() == [2, 5, 5]
        assert run.violation_ratio[0, 0].tolist() == [1, 0, 0]
        assert np.isnan(views[2].last_violation[0, 0])
        assert views[1].last_violation[0, 0] == 1

    def test_demand_that_was_not_measured_counts_but_is_not_shown(self):
        views = []
        course = make_course([5.0, 5.0, 5.0], seen=np.array([[NAN, NAN, 5.0]]))
        run = simulate_grid(Spy(TrailingPercentileGrid(60.0, 100.0, 0.0), views), course)
        assert np.isnan(views[2].demand[0, :2]).all()
        assert np.isnan(views[2].last_violation).all()
        assert run.violation_ratio[0, 0].tolist() == [1, 1, 1]

    def test_a_workload_that_does_not_exist_shows_no_demand_and_costs_nothing(self):
        views = []
        live = np.array([[False, True, True, False]])
        course = make_course([5.0, 5.0, 5.0, 5.0], is_live=live)
        run = simulate_grid(Spy(TrailingPercentileGrid(60.0, 100.0, 0.0), views), course)
        assert np.isnan(views[1].demand[0, 0])
        assert np.isnan(views[1].last_violation[0, 0])
        assert run.asked[0, 0].tolist() == [0, 1, 5, 0]
        assert run.violation_ratio[0, 0].tolist() == [0, 1, 1, 0]

    def test_the_true_capacity_changes_the_need_and_nothing_that_is_told(self):
        demand = wavy(2, 50)
        course = make_course(demand, initial=6, lead_s=30.0)
        worse = replace(course, capacity_factor=np.full(demand.shape, 0.5))
        policy, seen = HpaGrid(np.array([50.0, 80.0])), ([], [])
        runs = [
            simulate_grid(Spy(policy, views), c)
            for c, views in zip((course, worse), seen, strict=True)
        ]
        np.testing.assert_array_equal(runs[0].asked, runs[1].asked)
        for one, other in zip(*seen, strict=True):
            np.testing.assert_array_equal(one.capacity, other.capacity)
            np.testing.assert_array_equal(one.demand, other.demand)
        np.testing.assert_array_equal(worse.need(), np.ceil(demand / 0.5 * (1 - 1e-9)))
        assert np.all(runs[1].violation_ratio >= runs[0].violation_ratio)
        assert runs[1].violation_ratio.sum() > runs[0].violation_ratio.sum()

    def test_nobody_is_shown_the_step_that_begins(self):
        views = []
        course = make_course(np.arange(5.0), history=np.array([[9.0, 8.0]]))
        simulate_grid(Spy(HpaGrid(60.0), views), course)
        for t, view in enumerate(views):
            assert view.demand[0].tolist() == [9.0, 8.0, *range(t)]
            assert view.future is None
            assert view.now_s == 60.0 * t


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_grid_is_its_settings_run_one_by_one(seed):
    rng = np.random.default_rng(seed)
    course = make_course(
        wavy(3, 60, seed), lead_s=rng.lognormal(4.5, 0.7, (3, 50)), initial=[3, 5, 8]
    )
    windows, margins = np.array([60.0, 600.0, 600.0]), np.array([0.0, 0.1, 0.5])
    grids = [
        (
            TrailingPercentileGrid(windows, 95.0, margins),
            [TrailingPercentileGrid(w, 95.0, m) for w, m in zip(windows, margins, strict=True)],
        ),
        (HpaGrid(np.array([40.0, 70.0, 90.0])), [HpaGrid(t) for t in (40.0, 70.0, 90.0)]),
    ]
    for grid, singles in grids:
        whole = simulate_grid(grid, course)
        assert whole.asked.shape == (3, 3, 60)
        for g, single in enumerate(singles):
            one = simulate_grid(single, course)
            assert whole.labels[g] == one.labels[0]
            for name in ("asked", "violation_ratio", "unserved", "ready_mean"):
                np.testing.assert_array_equal(getattr(whole, name)[g], getattr(one, name)[0])

    @pytest.mark.parametrize("is_truth_measured", [True, False])
    def test_what_is_measured_is_what_is_told_about_the_last_step(self, is_truth_measured):
        views = []
        course = make_course(
            [4.0, 4.0, 4.0],
            initial=4,
            capacity_factor=np.array([[0.5, 1.0, 2.0]]),
            is_truth_measured=is_truth_measured,
        )
        counts = np.array([[[4, 4, 3]]])
        run = simulate_grid(Spy(Scripted(counts), views), course)
        assert run.violation_ratio[0, 0].tolist() == [1, 0, 0]
        assert run.believed_ratio[0, 0].tolist() == [0, 0, 1]
        measured = run.violation_ratio if is_truth_measured else run.believed_ratio
        np.testing.assert_array_equal(run.measured_ratio, measured)
        assert [v.last_violation[0, 0] for v in views[1:]] == measured[0, 0, :2].tolist()

    def test_a_policy_that_is_told_the_truth_believes_what_is_true(self):
        views = []
        factor = np.array([[0.5, 1.0, 2.0]])
        course = make_course(
            [4.0, 4.0, 4.0],
            initial=4,
            capacity_factor=factor,
            told_factor=factor,
            is_truth_measured=False,
        )
        run = simulate_grid(Spy(Scripted(np.array([[[4, 4, 1]]])), views), course)
        assert [v.capacity[0] for v in views] == [0.5, 1.0, 2.0]
        assert run.violation_ratio[0, 0].tolist() == [1, 0, 1]
        np.testing.assert_array_equal(run.believed_ratio, run.violation_ratio)
