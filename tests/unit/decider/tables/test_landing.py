"""Landing weights are shares of time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import ReplicaState
from decider.tables.landing import landing_weights, stuck_starts
from tests.unit.decider.shards import STEP_S, noisy, shard, workload


@given(
    lead_s=st.lists(st.floats(0, 2000), min_size=8, max_size=8),
    ages=st.lists(st.floats(0, 500), max_size=30),
    elapsed=st.floats(0, 0.99),
)
@settings(max_examples=80, deadline=None)
def test_weights_are_shares_of_time(lead_s: list[float], ages: list[float], elapsed: float) -> None:
    state = ReplicaState(5 + len(ages), 5, tuple(ages))
    request = shard(noisy(50.0, n_paths=3), [workload(replicas=state)], lead_s=np.array(lead_s))
    weights = landing_weights(request, np.array([elapsed]))
    # A decision owns exactly one step of time; a drop acts for the lead time before it.
    assert weights.own_first.sum() == pytest.approx(1.0)
    assert weights.drop_first.sum() == pytest.approx(np.mean(lead_s) / STEP_S)
    assert weights.own_later.sum() == pytest.approx(1.0)
    assert weights.drop_later.sum() == pytest.approx(np.mean(lead_s) / STEP_S)
    np.testing.assert_allclose(weights.arrival.sum(axis=2), 1.0, atol=1e-9)
    assert weights.landed.max() == len(ages)


def test_capacity_that_lands_part_way_leaves_the_first_part_uncovered() -> None:
    """Lead time 90 s of a 300 s step: 30 % of the first step cannot be helped."""
    request = shard(noisy(50.0), [workload()], lead_s=90.0)
    weights = landing_weights(request, np.zeros(1))
    assert weights.own_first[0, :2, 0].tolist() == pytest.approx([0.7, 0.3])
    assert weights.drop_first[0, 0, 0] == pytest.approx(0.3)


def test_a_start_that_lands_soon_does_not_wait_for_many_made_later() -> None:
    replicas = ReplicaState(32, 0, starting_age_s=(2 * STEP_S,) + 31 * (STEP_S,))
    request = shard(noisy(10.0), [workload(replicas=replicas)], lead_s=2.5 * STEP_S)
    weights = landing_weights(request, np.zeros(1))
    landed = (weights.landed[0] * weights.arrival[0]).sum(axis=1)
    np.testing.assert_allclose(landed[:3], [0.5, 1.0 + 31 / 2, 32.0], rtol=0.01)


def test_starts_that_new_ones_would_be_there_before_are_stuck() -> None:
    """Of four that hang, two that have just begun, and five for three of which no GPU is there."""
    state = ReplicaState(15, 4, (9_000.0,) * 4 + (10.0, 20.0), (5.0,) * 5, schedulable_gpus=2)
    fine = ReplicaState(15, 4, (100.0,) * 11)
    lead_s = 180.0 * np.exp(0.3 * np.linspace(-1.5, 1.5, 8))
    request = shard(
        np.stack([noisy(50.0)] * 3),
        [workload("a", replicas=state), workload("b", replicas=fine), workload("c")],
        lead_s=lead_s,
    )
    assert stuck_starts(request).tolist() == [7, 0, 0]
