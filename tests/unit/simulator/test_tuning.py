"""Tuning on history: the bounds that spare most of a grid never change the answer."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.simulator.fleet import Fleet, FleetOptions, generate_fleet, unsplit
from services.simulator.fleet_course import history_course
from services.simulator.grid_run import simulate_grid
from services.simulator.policies.reactive.hpa import HpaGrid
from services.simulator.policies.trailing_percentile import TrailingPercentileGrid
from services.simulator.served_fleet import ServedFleet, draw_served_history
from services.simulator.tuning import (
    BATCH,
    MARGINS,
    PERCENTILES,
    WINDOWS_S,
    search_cheapest,
    tune_hpa,
    tune_trailing_percentile,
    violation_rates,
)
from tests.unit.simulator.fleets import make_fleet
from tests.unit.simulator.noisy_fleet import noisy_fleet


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 100_000), epsilon=st.floats(0.0, 0.6), n=st.integers(1, 80))
def test_the_search_finds_what_measuring_everything_finds(seed, epsilon, n):
    rng = np.random.default_rng(seed)
    # few distinct values, so that there are ties
    violation = rng.integers(0, 12, n) / 20.0
    least = np.maximum(violation - rng.integers(0, 3, n) / 20.0, 0.0)
    cost = rng.integers(1, 9, n).astype(float)
    measured = []

    def measure(batch):
        measured.extend(batch.tolist())
        return violation[batch]

    best, rate = search_cheapest(cost, least, measure, epsilon)
    is_within = violation <= epsilon
    if is_within.any():
        assert best == np.argmin(np.where(is_within, cost, np.inf))
    else:
        assert best == np.lexsort((cost, violation))[0]
    assert rate == violation[best]
    assert len(measured) == len(set(measured))


def test_the_search_measures_little_where_the_bounds_are_tight():
    n = 400
    violation = np.linspace(0.5, 0.0, n)
    measured = []

    def measure(batch):
        measured.extend(batch.tolist())
        return violation[batch]

    best, _ = search_cheapest(np.arange(n) + 1.0, 0.98 * violation, measure, 0.1)
    assert violation[best] <= 0.1 < violation[best - 1]
    assert len(measured) <= 2 * BATCH


def test_a_trailing_percentile_is_the_best_of_the_whole_grid():
    fleet = noisy_fleet(5, n_history=200)
    course = history_course(fleet, 200 // 3)
    grid = np.array(list(product(WINDOWS_S, PERCENTILES, MARGINS)))
    run = simulate_grid(TrailingPercentileGrid(*grid.T), course)
    violation = violation_rates(run, course)
    # 2 GPUs at 3.6 USD per hour for steps of 60 s
    cost = run.asked.sum(axis=(1, 2), dtype=float) * 2 * 3.6 / 60
    for epsilon in (0.01, 0.05):
        tuned = tune_trailing_percentile(fleet, epsilon)
        least = cost[violation <= epsilon].min()
        assert tuned.setting.is_met
        assert tuned.setting.cost_usd == pytest.approx(least)
        policy = tuned.policy.policy
        row = np.flatnonzero(
            (grid == (policy.window_s, policy.percentile, policy.margin)).all(axis=1)
        )
        assert violation[row] == tuned.setting.violation_rate
        assert tuned.setting.n_tried == len(grid)


@pytest.mark.slow
def test_what_no_setting_keeps_is_missed_with_the_least_violation():
    rng = np.random.default_rng(0)
    demand = np.where(rng.random((1, 300)) < 0.05, 40.0, 1.0)
    fleet = make_fleet(demand, n_history=240, max_replicas=30)
    setting = tune_trailing_percentile(fleet, 1e-4).setting
    course = history_course(fleet, 80)
    grid = np.array(list(product(WINDOWS_S, PERCENTILES, MARGINS)))
    violation = violation_rates(simulate_grid(TrailingPercentileGrid(*grid.T), course), course)
    assert not setting.is_met
    assert setting.violation_rate == violation.min() > 1e-4
    assert "missed" in setting.label


@pytest.fixture(scope="module")
def served_history() -> tuple[Fleet, ServedFleet]:
    """Services whose replicas bear less than is stated."""
    options = FleetOptions(seed=4, n_workloads=2, step_s=600, n_history=288, n_replay=6)
    scaled = unsplit(replace(generate_fleet(options), has_closed_loop=False))
    past = draw_served_history(scaled)
    return scaled.targets, replace(past, half=0.8 * past.half)


def test_by_what_requests_felt_the_same_promise_asks_for_more(
    served_history: tuple[Fleet, ServedFleet],
) -> None:
    fleet, past = served_history
    for tune in (tune_hpa, tune_trailing_percentile):
        stated, felt = tune(fleet, 0.05), tune(fleet, 0.05, past)
        assert felt.setting.cost_usd > stated.setting.cost_usd


def test_the_bounds_hold_by_what_requests_felt_too(
    served_history: tuple[Fleet, ServedFleet],
) -> None:
    fleet, past = served_history
    setting = tune_trailing_percentile(fleet, 0.05, past).setting
    course = history_course(fleet, fleet.n_history // 3, past)
    grid = np.array(list(product(WINDOWS_S, PERCENTILES, MARGINS)))
    run = simulate_grid(TrailingPercentileGrid(*grid.T), course)
    violation = violation_rates(run, course)
    usd = fleet.gpus_per_replica * fleet.price_usd_per_gpu_hour * fleet.step_s / 3600.0
    cost = (run.asked.sum(axis=2, dtype=float) * usd).sum(axis=1)
    assert setting.cost_usd == pytest.approx(cost[violation <= 0.05].min())


def test_a_lower_target_costs_more_and_violates_less():
    course = history_course(noisy_fleet(9, n_history=400), 100)
    run = simulate_grid(HpaGrid(np.array([55.0, 65.0, 75.0, 90.0])), course)
    assert np.all(np.diff(run.asked.sum(axis=(1, 2))) < 0)
    assert np.all(np.diff(violation_rates(run, course)) > 0)
