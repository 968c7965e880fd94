"""The generator: determinism, units of its promises, shapes seen in public traces."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.fleet import FleetOptions, generate_fleet
from services.simulator.fleet.calibration import DAILY_RANGE_LOG, STEP_CHANGE_LOG
from services.simulator.fleet.profiles import CLOSED_LOOP
from services.simulator.fleet.signals import DAY_S, burst_shape, ou_noise, weekly_cycle


@pytest.fixture(scope="module")
def fleet():
    return generate_fleet(FleetOptions())


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


def test_bounds_let_every_demand_be_served(fleet):
    needed = np.ceil(fleet.demand / fleet.capacity[:, None])
    assert np.all(needed.max(axis=1) <= [w.max_replicas for w in fleet.workloads])


def test_the_cluster_holds_everyone_s_peak_at_once(fleet):
    peak = fleet.needed_replicas().max(axis=1)
    for pool in fleet.node_pools():
        wanted = sum(
            n * w.gpus_per_replica
            for n, w in zip(peak, fleet.workloads, strict=True)
            if w.gpu_type == pool.gpu_type
        )
        total = pool.n_nodes * pool.gpus_per_node
        assert 1.1 * wanted <= total <= 1.1 * wanted + pool.gpus_per_node


def test_step_changes_are_of_the_size_seen_in_servegen(fleet):
    llm = [i for i, w in enumerate(fleet.workloads) if w.kind == "llm"]
    log = np.log(fleet.demand[llm])
    # two steps of 300 s are one step of the trace
    change = np.abs(log[:, 2:] - log[:, :-2]).ravel()
    p50, p95, _ = np.percentile(change, [50, 95, 99])
    assert 0.6 * STEP_CHANGE_LOG[0] < p50 < 1.5 * STEP_CHANGE_LOG[0]
    assert 0.3 * STEP_CHANGE_LOG[1] < p95 < 1.2 * STEP_CHANGE_LOG[1]
    # heavier than a normal: p99 of |x| over p50 is 3.8 there
    assert np.percentile(change, 99.5) / p50 > 4.16


def test_days_are_as_deep_as_in_servegen(fleet):
    log = np.log(fleet.demand[:, :2016]).reshape(24, 7, 288)
    day = np.median(log, axis=1)
    smooth = day.reshape(24, 24, 12).mean(axis=2)
    depth = smooth.max(axis=1) - smooth.min(axis=1)
    assert 0.7 * DAILY_RANGE_LOG[0] < np.median(depth) < 1.3 * DAILY_RANGE_LOG[1]


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


def test_workloads_share_some_of_their_noise(fleet):
    hourly = np.log(fleet.demand[:, : 168 * 12]).reshape(24, 168, 12).mean(axis=2)
    change = np.diff(hourly, axis=1)
    # shocks, not cycles: remove each hour of day's mean change
    cycle = change[:, :144].reshape(24, 6, 24).mean(axis=1)
    shocks = change[:, :144] - np.tile(cycle, (1, 6))
    correlation = np.corrcoef(shocks)
    off = correlation[~np.eye(24, dtype=bool)]
    assert off.mean() > 0.05


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


@pytest.mark.parametrize(
    "bad",
    [
        {"step_s": 59},
        {"step_s": 601},
        {"n_workloads": 0},
        {"replay_start_s": 7},
        {"epsilon": 0.0},
        {"n_history": 1},
    ],
)
def test_wrong_options_are_named(bad):
    with pytest.raises(ValueError, match="must be"):
        FleetOptions(**bad)


class TestSignals:
    def test_weekend(self):
        monday_noon = 1_768_176_000 + 43_200.0
        days = monday_noon + DAY_S * np.arange(7)
        level = weekly_cycle(days, -1.0)
        assert np.allclose(level[:5], 0.0, atol=0.05)
        assert np.allclose(level[5:], -1.0, atol=0.05)

    def test_ou_noise_keeps_variance_and_correlation_at_any_step(self):
        for step_s in (60.0, 300.0):
            x = ou_noise(np.random.default_rng(1), (40, 4000), step_s, 3600.0)
            assert 0.85 < x.var() < 1.15
            lag = round(3600 / step_s)
            pairs = np.corrcoef(x[:, :-lag].ravel(), x[:, lag:].ravel())[0, 1]
            assert abs(pairs - np.exp(-1)) < 0.06

    def test_a_burst_begins_at_its_start_and_peaks_at_one(self):
        t = np.arange(0.0, 7200.0, 10.0)
        shape = burst_shape(t, 600.0, 300.0, 1200.0)
        assert np.all(shape[t <= 600] == 0)
        assert shape.max() == 1.0
        assert t[shape.argmax()] == 900.0
