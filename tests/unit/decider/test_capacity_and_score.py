"""Capacity draws, particle update; exact accounting of a step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider.belief.capacity import capacity_draws, needed, replicas_needed, reweight
from decider.errors import InvalidRequest
from decider.score import (
    ReplicaInterval,
    StepPrice,
    score_step,
)


@given(st.floats(1, 1e5), st.floats(0, 0.5))
def test_draws_have_the_stated_mean_and_spread(mean: float, cv: float) -> None:
    draws = capacity_draws(mean, cv, 512)
    assert draws.mean() == pytest.approx(mean, rel=0.01)
    assert draws.std() / draws.mean() == pytest.approx(cv, abs=0.02)


def test_a_capacity_of_zero_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="mean=0"):
        capacity_draws(0.0, 0.1, 8)


@given(st.integers(0, 500), st.floats(0.01, 1e4))
def test_a_load_of_whole_replicas_needs_exactly_those(n: int, capacity: float) -> None:
    assert needed(n * capacity, capacity) == n
    assert replicas_needed(np.array([n * capacity]), np.array([capacity]))[0] == n


def test_reweighting_moves_particles_to_the_evidence() -> None:
    draws = capacity_draws(10.0, 0.3, 2000)
    evidence = -0.5 * ((draws - 8.0) / 0.5) ** 2
    moved = reweight(draws, evidence)
    assert moved.size == draws.size
    assert moved.mean() == pytest.approx(8.1, abs=0.15)
    np.testing.assert_array_equal(reweight(draws, np.zeros(2000)), draws)
    with pytest.raises(InvalidRequest, match="shapes differ"):
        reweight(draws, np.zeros(3))


PRICE = StepPrice(10.0, 2, 3.0)


def test_a_step_is_weighed_by_time() -> None:
    parts = [ReplicaInterval(0, 60, 8, 10), ReplicaInterval(60, 300, 10, 10)]
    outcome = score_step(95.0, parts, PRICE)
    assert outcome is not None
    assert outcome.violation_ratio == pytest.approx(0.2)
    assert outcome.shortage == pytest.approx(15.0 * 0.2)
    assert outcome.ready_mean == pytest.approx(9.6)
    assert outcome.needed_replicas == 10
    assert outcome.gpu_hours == pytest.approx(10 * 2 * 300 / 3600)
    assert outcome.cost_usd == pytest.approx(outcome.gpu_hours * 3.0)


def test_starting_replicas_cost_and_do_not_serve() -> None:
    outcome = score_step(95.0, [ReplicaInterval(0, 300, 0, 10)], PRICE)
    assert outcome is not None
    assert outcome.violation_ratio == 1.0
    assert outcome.gpu_hours > 0


@pytest.mark.parametrize("demand", [None, float("nan")])
def test_an_unknown_demand_is_no_violation_and_no_zero(demand: float | None) -> None:
    outcome = score_step(demand, [ReplicaInterval(0, 300, 1, 1)], PRICE)
    assert outcome is not None
    assert outcome.violation_ratio is None
    assert outcome.demand is None


def test_a_step_without_any_known_replicas_has_no_outcome() -> None:
    assert score_step(95.0, [], PRICE) is None
