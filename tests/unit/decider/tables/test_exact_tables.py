"""Integrated tables against counting over 100,000 points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import ndtri

from decider import Limits, ReplicaState, StepQuantiles, capacity_draws
from decider.tables.candidates import CandidateGrid, candidate_range
from decider.tables.demand_law import DemandLaw
from decider.tables.exact_tables import Integrand, exact_tables
from decider.tables.pairing import Spreading
from tests.unit.decider.shards import workload
from tests.unit.decider.tables.exact_cases import LEVELS, brute, steps_of

FACTORS = Spreading(3, 0.5).factors()


def grid_of(low: float, high: float, n: int = 1) -> CandidateGrid:
    around = np.broadcast_to(np.array([low, high])[None, :, None], (n, 2, 1))
    one = workload(limits=Limits(0, 5000), replicas=ReplicaState(int(high), int(high)))
    return candidate_range((one,) * n, around, 64).grid()


def tables_of(steps: StepQuantiles, capacity: np.ndarray, grid: CandidateGrid):
    of = Integrand(DemandLaw.of([steps]), FACTORS, capacity[None], grid)
    return exact_tables(of, np.array([True]))


def lognormal(mean: float, sigma: float) -> np.ndarray:
    return mean * np.exp(sigma * ndtri(LEVELS))


@pytest.mark.parametrize("mean", [1.5, 8.0, 40.0, 150.0])
@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.8])
def test_known_capacity_is_within_one_in_a_thousand(mean: float, sigma: float) -> None:
    grid = grid_of(0.3 * mean, 6.0 * mean)
    steps = steps_of(lognormal(mean, sigma), lognormal(0.5 * mean, sigma))
    found, capacity = tables_of(steps, np.full(64, 1.3), grid), np.full(1, 1.3)
    for h in range(2):
        counted = brute(steps.values[:, h], FACTORS, capacity, grid.counts[0])
        assert found.violation[0, h] == pytest.approx(counted.violation, abs=1e-3)
        assert found.shortage[0, h] == pytest.approx(counted.shortage, abs=1e-3 * mean)


@pytest.mark.parametrize("cv", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("mean", [1.5, 40.0])
def test_uncertain_capacity_is_within_two_in_a_thousand(mean: float, cv: float) -> None:
    capacity = capacity_draws(1.0, cv, 64)[::-1]
    grid = grid_of(0.2 * mean, 6.0 * mean)
    steps = steps_of(lognormal(mean, 0.3))
    found = tables_of(steps, capacity, grid)
    counted = brute(steps.values[:, 0], FACTORS, capacity, grid.counts[0])
    assert found.violation[0, 0] == pytest.approx(counted.violation, abs=2e-3)
    assert found.unmet[0, 0] == pytest.approx(counted.unmet, abs=2e-3)


def test_the_unmet_share_is_of_the_horizon_s_mean_step() -> None:
    steps = steps_of(lognormal(20.0, 0.3), lognormal(60.0, 0.3))
    grid = grid_of(5.0, 200.0)
    found = tables_of(steps, np.ones(4), grid)
    parts = [brute(steps.values[:, h], FACTORS, np.ones(1), grid.counts[0]).unmet for h in (0, 1)]
    means = np.array([20.0, 60.0])
    for h in (0, 1):
        assert found.unmet[0, h] == pytest.approx(parts[h] * means[h] / means.mean(), abs=2e-3)


def test_demand_that_just_fits_is_no_violation() -> None:
    steps = steps_of(np.full(LEVELS.size, 20.0))
    found = tables_of(steps, np.ones(4), grid_of(17.0, 24.0))
    counts = grid_of(17.0, 24.0).counts[0]
    assert (found.violation[0, 0][counts >= 20] == 0.0).all()
    assert (found.violation[0, 0][counts < 20] > 0.999).all()


def test_without_demand_nothing_is_missed_on_no_replicas() -> None:
    found = tables_of(steps_of(np.zeros(LEVELS.size)), np.ones(4), grid_of(0.0, 3.0))
    assert (found.violation == 0.0).all()
    assert (found.shortage == 0.0).all()


@pytest.mark.parametrize("cv", [0.0, 0.1])
def test_half_the_steps_without_demand_is_half_of_them_missed_on_none(cv: float) -> None:
    values = np.where(LEVELS > 0.5, 10.0, 0.0)
    capacity, grid = capacity_draws(1.0, cv, 64), grid_of(0.0, 30.0)
    of = Integrand(DemandLaw.of([steps_of(values)]), np.ones(1), capacity[None], grid)
    found = exact_tables(of, np.array([False]))
    assert grid.counts[0, 0] == 0
    assert found.violation[0, 0, 0] == pytest.approx(0.5, abs=1e-3)
    assert np.isnan(found.unmet).all()


@given(
    seed=st.integers(0, 10_000),
    sigma=st.floats(0.0, 1.5),
    cv=st.sampled_from([0.0, 0.05, 0.4]),
    lift=st.floats(-30.0, 50.0),
)
@settings(max_examples=60, deadline=None)
def test_more_replicas_miss_no_more(seed: int, sigma: float, cv: float, lift: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.sort(lift + 20.0 * rng.lognormal(0.0, sigma, LEVELS.size))
    grid = grid_of(0.0, float(np.clip(values[-1], 1.0, 900.0)))
    found = tables_of(steps_of(values), capacity_draws(1.0, cv, 64), grid)
    for table in (found.violation, found.unmet, found.shortage):
        assert (np.diff(table[0, 0]) <= 0).all()
        assert (table >= 0).all()
    assert (found.violation <= 1.0).all()


def test_a_table_does_not_depend_on_its_company() -> None:
    steps = [steps_of(lognormal(m, 0.3)) for m in (5.0, 80.0, 900.0)]
    capacity = np.stack([capacity_draws(1.0, cv, 64) for cv in (0.0, 0.1, 0.1)])
    ends = np.array([[2.0, 20.0], [20.0, 300.0], [400.0, 3000.0]])[:, :, None]
    one = workload(limits=Limits(0, 5000), replicas=ReplicaState(3, 3))
    grid = candidate_range((one,) * 3, ends, 64).grid()
    by_demand = np.array([True, False, True])
    together = exact_tables(Integrand(DemandLaw.of(steps), FACTORS, capacity, grid), by_demand)
    for row in range(3):
        alone_grid = candidate_range((one,), ends[row : row + 1], 64).grid()
        part = slice(row, row + 1)
        law = DemandLaw.of(steps[row : row + 1])
        alone = exact_tables(Integrand(law, FACTORS, capacity[part], alone_grid), by_demand[part])
        size = int(grid.last[row]) + 1
        for name in ("violation", "unmet", "shortage"):
            whole = getattr(together, name)[row, :, :size]
            assert whole.tobytes() == getattr(alone, name)[0, :, :size].tobytes()
