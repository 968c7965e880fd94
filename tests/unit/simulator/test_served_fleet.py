"""A fleet served by a response: its ratios, what misses, and what the seed decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.simulator.fleet import Fleet, FleetOptions, generate_fleet
from services.simulator.served_fleet import (
    GOOD_SHARE,
    HIGHEST_RATIO,
    LEAST_REQUESTS,
    LOWEST_RATIO,
    draw_served_fleet,
)

W, R = 8, 48


def make(seed: int = 3) -> Fleet:
    options = FleetOptions(seed=seed, n_workloads=W, step_s=600, n_history=24, n_replay=R)
    return generate_fleet(options)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return make()


def test_ratios_keep_their_bounds_and_every_fourth_drifts(fleet: Fleet) -> None:
    ratio = draw_served_fleet(fleet).ratio
    assert ((ratio >= LOWEST_RATIO) & (ratio <= HIGHEST_RATIO)).all()
    is_drifting = (ratio != ratio[:, :1]).any(axis=1)
    assert np.flatnonzero(is_drifting).tolist() == [3, 7]
    assert np.abs(np.diff(np.log(ratio))).max() < 0.05


def test_the_tolerated_share_misses_at_the_ratio_of_the_stated_load(fleet: Fleet) -> None:
    served = draw_served_fleet(fleet)
    for step in (0, R - 1):
        load = fleet.capacity * served.ratio[:, step]
        mean = served.truth.mean(load, served.half[:, step], np.arange(W))
        assert mean == pytest.approx(1.0 - GOOD_SHARE)


def test_a_step_has_requests_at_the_fleets_rates_and_never_too_few(fleet: Fleet) -> None:
    quiet = replace(fleet, values=0.0 * fleet.values)
    assert (draw_served_fleet(quiet).truth.requests == LEAST_REQUESTS).all()
    rates = fleet.values[:, fleet.n_history :, 0]
    requests = draw_served_fleet(fleet).truth.requests
    np.testing.assert_array_equal(requests, np.maximum(np.rint(rates * 600.0), LEAST_REQUESTS))


def test_more_replicas_never_miss_more_and_none_miss_everything(fleet: Fleet) -> None:
    served = draw_served_fleet(fleet)
    for step in range(0, R, 8):
        missed = np.stack([served.missed(step, np.full(W, n)) for n in np.arange(0.0, 40.0, 0.5)])
        assert (np.diff(missed, axis=0) <= 0).all()
        np.testing.assert_array_equal(missed[0], served.truth.requests[:, step])


def test_a_step_is_bad_when_more_than_the_tolerated_share_missed(fleet: Fleet) -> None:
    served = draw_served_fleet(fleet)
    ready = np.maximum(fleet.demand[:, fleet.n_history :] / fleet.capacity[:, None], 0.1)
    missed = np.stack([served.missed(step, ready[:, step]) for step in range(R)], axis=1)
    share = missed / served.truth.requests
    is_bad = served.is_bad(ready)
    assert share[is_bad].min() > 0.05 >= share[~is_bad].max()
    assert 0 < is_bad.mean() < 1
    assert not served.is_bad(3.0 * ready).all(axis=1).any()


def test_the_seed_decides_everything(fleet: Fleet) -> None:
    first, again, other = (draw_served_fleet(one) for one in (fleet, make(), make(seed=4)))
    np.testing.assert_array_equal(first.half, again.half)
    np.testing.assert_array_equal(first.truth.luck, again.truth.luck)
    assert (first.ratio != other.ratio).all()
    fewer = generate_fleet(
        FleetOptions(seed=3, n_workloads=2, step_s=600, n_history=24, n_replay=R)
    )
    np.testing.assert_array_equal(draw_served_fleet(fewer).ratio, first.ratio[:2])
