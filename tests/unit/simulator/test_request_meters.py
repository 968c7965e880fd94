"""Counters of requests: they only rise, follow the replicas, and repeat by seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from services.kernel.domain.objective import LOST, READY, WAITING
from services.simulator.fleet import FleetOptions, generate_fleet, unsplit, with_pools
from services.simulator.request_meters import RequestMeters, past_requests
from services.simulator.served_fleet import ServedFleet, draw_served_fleet

W, R = 3, 24
TOTAL, GOOD = "sli_ttft_total", "sli_ttft_good"


def served() -> ServedFleet:
    options = FleetOptions(seed=5, n_workloads=W, step_s=600, n_history=12, n_replay=R)
    return draw_served_fleet(unsplit(generate_fleet(options)))


def course(ready: float) -> dict[str, np.ndarray]:
    """(R, W) readings after each step by name."""
    meters, rows = RequestMeters(served()), []
    for step in range(R):
        meters.count(step, np.full(W, ready))
        rows.append({**meters.counters(), **meters.gauges()})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def test_counters_begin_at_nothing_and_only_rise() -> None:
    begin = RequestMeters(served()).counters()
    assert set(begin) == {TOTAL, GOOD, LOST}
    assert not any(values.any() for values in begin.values())
    for ready in (0.0, 3.0, 30.0):
        found = course(ready)
        for name in (TOTAL, GOOD, LOST):
            assert (np.diff(found[name], axis=0) >= 0).all()
        assert (np.diff(found[TOTAL], axis=0) >= 20).all()
        assert (found[GOOD] <= found[TOTAL]).all()
        assert not found[LOST].any()


def test_more_replicas_never_miss_more_nor_wait_longer() -> None:
    runs = [course(ready) for ready in (0.0, 1.0, 2.5, 6.0, 20.0)]
    for few, many in pairwise(runs):
        np.testing.assert_array_equal(few[TOTAL], many[TOTAL])
        assert (np.diff(few[GOOD], axis=0) <= np.diff(many[GOOD], axis=0)).all()
        assert (few[WAITING] >= many[WAITING]).all()
    assert not runs[0][GOOD].any()
    assert runs[-1][GOOD].sum() > 0.9 * runs[-1][TOTAL].sum()


def test_who_waits_from_step_to_step_is_in_the_gauge() -> None:
    """Longer than those who only miss: by Little's law that is a matter of half a second."""
    found, rates = course(1.0), served().requests.T / served().step_s
    queues = found[WAITING] > 0.5 * rates
    assert queues.any()
    calm = course(200.0)[WAITING]
    assert (calm <= 0.5 * rates).all()


def test_what_was_kept_of_a_history_is_what_the_meters_count() -> None:
    fleet, ready = served(), np.full((W, R), 3.0)
    past, counted = past_requests(fleet, ready), course(3.0)
    assert set(past) == {TOTAL, GOOD, LOST, WAITING, READY}
    for name in (TOTAL, GOOD, LOST):
        per_step = np.diff(counted[name], axis=0, prepend=0.0)
        np.testing.assert_allclose(past[name], per_step.T / fleet.step_s, atol=1e-9)
    np.testing.assert_allclose(past[WAITING], counted[WAITING].T)
    np.testing.assert_array_equal(past[READY], ready)


def test_of_a_service_with_two_targets_nobody_knows_which_were_ready() -> None:
    options = FleetOptions(seed=5, n_workloads=W, step_s=600, n_history=12, n_replay=R)
    fleet = draw_served_fleet(with_pools(generate_fleet(options)))
    ready = past_requests(fleet, np.full((W + 1, R), 3.0))[READY]
    is_split = np.bincount(fleet.owner) == 2
    assert is_split.sum() == 1
    assert np.isnan(ready[is_split]).all()
    assert (ready[~is_split] == 3.0).all()


def test_the_same_seed_counts_the_same() -> None:
    first, again = course(4.0), course(4.0)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
