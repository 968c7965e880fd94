"""Fleets by the minute: what is replayed, and what is known of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.supply.demand import (
    GPU_TYPE,
    GPUS_PER_NODE,
    MADE,
    SERVEGEN,
    STEP_S,
    in_minutes,
    supply_tasks,
)
from services.lab.bench.supply.options import SupplyOptions
from tests.unit.lab.bench.supply.small import N_HISTORY, task, with_gap


def test_a_quick_run_has_made_up_demand_of_one_gpu_type_alone() -> None:
    (found,) = supply_tasks(SupplyOptions(is_quick=True))
    assert found.source == MADE
    assert {w.gpu_type for w in found.fleet.workloads} == {GPU_TYPE}
    assert found.fleet.step_s == STEP_S
    assert found.fleet.n_replay == 120
    assert found.n_warm_up == 30
    assert found.need.shape == (3, 120)
    assert max(w.gpus_per_replica for w in found.fleet.workloads) <= GPUS_PER_NODE


def test_real_demand_is_cut_into_minutes_that_keep_the_mean_of_its_steps() -> None:
    _, found = supply_tasks(SupplyOptions(days=1 / 24))
    fleet = found.fleet
    assert found.source == SERVEGEN
    assert fleet.step_s == STEP_S
    assert fleet.n_replay == 180
    assert fleet.n_workloads == 6
    assert all(len(w.indicators) == 1 for w in fleet.workloads)
    assert np.isfinite(found.need).mean() > 0.5
    assert found.most_nodes * GPUS_PER_NODE >= sum(w.max_replicas for w in fleet.workloads)


def test_another_seed_is_another_walk_within_the_same_steps() -> None:
    coarse = replace(task().fleet, step_s=600)
    moved = coarse.demand * np.random.default_rng(0).uniform(0.8, 1.2, coarse.demand.shape)
    coarse = replace(coarse, demand=moved)
    one, same, other = (in_minutes(coarse, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.demand, same.demand)
    assert not np.array_equal(one.demand, other.demand)
    assert one.n_steps == 10 * coarse.n_steps - (10 * N_HISTORY - one.n_history)
    means = one.demand[:, one.n_history :].reshape(2, -1, 10).mean(axis=2)
    assert means == pytest.approx(coarse.demand[:, coarse.n_history :])


def test_steps_that_are_no_minutes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="steps of 90 s are no whole minutes"):
        in_minutes(replace(task().fleet, step_s=90), 1)


def test_an_unknown_minute_is_not_zero() -> None:
    found = with_gap(task(), 3, 5)
    assert np.isnan(found.need[0, 3:5]).all()
    assert np.isnan(found.seen[0, N_HISTORY + 3])
    assert (found.need[1] == 4.0).all()


def test_every_policy_begins_with_a_quarter_more_than_the_last_hour_needed() -> None:
    assert task(32.0).initial == (4, 4)
    assert task(0.0).initial == (1, 1)
