"""The generator: determinism, units of its promises, shapes seen in public traces."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.fleet import FleetOptions, generate_fleet
from services.simulator.fleet.profiles import CLOSED_LOOP


def test_same_seed_same_bytes_and_another_seed_differs():
    small = FleetOptions(n_workloads=5, n_history=100, n_replay=20)
    a, b = generate_fleet(small), generate_fleet(small)
    assert a.values.tobytes() == b.values.tobytes()
    assert a.observed.tobytes() == b.observed.tobytes()
    assert a.workloads == b.workloads
    other = generate_fleet(FleetOptions(seed=8, n_workloads=5, n_history=100, n_replay=20))
    assert not np.array_equal(a.demand, other.demand)


def test_default_fleet(fleet):
    assert fleet.demand.shape == (24, 2016 + 288)
    assert fleet.step_at(fleet.n_history).isoformat() == "2026-01-12T00:00:00+00:00"
    assert len({w.key for w in fleet.workloads}) == 24
    assert {w.kind for w in fleet.workloads} == {"llm", "diffusion", "vision"}
    assert {w.gpu_type for w in fleet.workloads} == {"H100", "A100", "L4"}
    assert np.all(fleet.demand >= 0)
    assert np.isfinite(fleet.values).all()


def test_at_least_eight_indicators_on_three_levels(fleet):
    for workload in fleet.workloads:
        spec = workload.to_spec(extra=CLOSED_LOOP)
        assert len(spec.indicators) >= 8
        assert {i.level for i in spec.indicators} == {1, 2, 3}
        assert spec.demand == workload.demand


def test_the_demand_column_is_the_demand(fleet):
    for i, w in enumerate(fleet.workloads):
        j = [spec.name for spec in w.indicators].index(w.demand)
        np.testing.assert_array_equal(fleet.values[i, :, j], fleet.demand[i])


def test_mean_replicas_of_the_history(fleet):
    mean = fleet.demand[:, : fleet.n_history].mean(axis=1) / fleet.capacity
    assert np.all(mean > 3.5)
    assert np.all(mean < 26)
    assert 8 < mean.mean() < 13


def test_clients_run_ahead_of_demand(fleet):
    llm = [i for i, w in enumerate(fleet.workloads) if w.kind == "llm"]
    gain = []
    for i in llm:
        clients = np.diff(np.log(fleet.values[i, :, 1]))
        demand = np.diff(np.log(fleet.demand[i]))
        ahead = max(np.corrcoef(clients[:-k], demand[k:])[0, 1] for k in (1, 2, 3))
        behind = max(np.corrcoef(clients[k:], demand[:-k])[0, 1] for k in (1, 2, 3))
        gain.append(ahead - behind)
    assert np.mean(gain) > 0.1


def test_gaps_are_unobserved_and_rare(fleet):
    share = 1 - fleet.observed.mean()
    assert 0 < share < 0.01


@pytest.mark.parametrize("step_s", [60, 120, 600])
def test_any_step_length_gives_the_same_kind_of_fleet(step_s):
    n = 2 * 86_400 // step_s
    fleet = generate_fleet(FleetOptions(n_workloads=6, step_s=step_s, n_history=n, n_replay=n // 2))
    mean = fleet.demand[:, :n].mean(axis=1) / fleet.capacity
    assert 4 < mean.mean() < 20
    assert fleet.replay_hours == 24
