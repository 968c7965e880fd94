"""A fleet served by a response: its ratios, what misses and waits, and what the seed decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.simulator.fleet import Fleet, FleetOptions, generate_fleet, unsplit, with_pools
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.response import SLO_UTILISATION, TIMEOUT_S
from services.simulator.served_fleet import (
    GOOD_SHARE,
    HIGHEST_RATIO,
    LEAST_REQUESTS,
    LOWEST_RATIO,
    ServedFleet,
    draw_served_fleet,
    draw_served_history,
)

W, R = 8, 48


def make(seed: int = 3) -> Fleet:
    options = FleetOptions(seed=seed, n_workloads=W, step_s=600, n_history=24, n_replay=R)
    return generate_fleet(options)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return make()


@pytest.fixture(scope="module")
def served(fleet: Fleet) -> ServedFleet:
    return draw_served_fleet(unsplit(fleet))


def missed(served: ServedFleet, step: int, ready: FloatArray) -> FloatArray:
    """Requests that miss in a step into which nobody waits."""
    return served.serve(step, ready, served.no_queue()).missed


def test_ratios_keep_their_bounds_and_every_fourth_drifts(served: ServedFleet) -> None:
    ratio = served.ratio
    assert ((ratio >= LOWEST_RATIO) & (ratio <= HIGHEST_RATIO)).all()
    is_drifting = (ratio != ratio[:, :1]).any(axis=1)
    assert np.flatnonzero(is_drifting).tolist() == [3, 7]
    assert np.abs(np.diff(np.log(ratio))).max() < 0.05


def test_the_tolerated_share_misses_at_the_ratio_of_the_stated_load(
    fleet: Fleet, served: ServedFleet
) -> None:
    for step in (0, R - 1):
        load = fleet.capacity * served.ratio[:, step]
        mean = served.truth.mean(load, served.half[:, step], np.arange(W))
        assert mean == pytest.approx(1.0 - GOOD_SHARE)


def test_the_history_is_served_as_the_replay_begins_with_a_luck_of_its_own(
    fleet: Fleet, served: ServedFleet
) -> None:
    past = draw_served_history(unsplit(fleet))
    assert past.demand.shape == (W, fleet.n_history)
    np.testing.assert_array_equal(past.demand, fleet.demand[:, : fleet.n_history])
    np.testing.assert_array_equal(past.ratio, np.repeat(served.ratio[:, :1], fleet.n_history, 1))
    np.testing.assert_array_equal(past.half[:, 0], served.half[:, 0])
    for name in ("slope", "floor", "concentration"):
        np.testing.assert_array_equal(getattr(past.truth, name), getattr(served.truth, name))
    n = min(R, fleet.n_history)
    assert not np.isclose(past.truth.luck[:, :n], served.truth.luck[:, :n]).any()


def test_a_course_by_its_factor_has_the_same_response(fleet: Fleet, served: ServedFleet) -> None:
    told = 1.3 * fleet.capacity
    factor = served.true_factor(told)
    np.testing.assert_allclose(served.truth.half(told[:, None] * factor), served.half)


def test_a_step_has_requests_at_the_fleets_rates_and_never_too_few(
    fleet: Fleet, served: ServedFleet
) -> None:
    quiet = replace(fleet, values=0.0 * fleet.values)
    assert (draw_served_fleet(unsplit(quiet)).requests == LEAST_REQUESTS).all()
    rates = fleet.values[:, fleet.n_history :, 0]
    expected = np.maximum(np.rint(rates * 600.0), LEAST_REQUESTS)
    np.testing.assert_array_equal(served.requests, expected)


def test_more_replicas_never_miss_more_and_none_miss_everything(served: ServedFleet) -> None:
    for step in range(0, R, 8):
        found = np.stack([missed(served, step, np.full(W, n)) for n in np.arange(0.0, 40.0, 0.5)])
        assert (np.diff(found, axis=0) <= 0).all()
        np.testing.assert_array_equal(found[0], served.requests[:, step])


def test_a_step_is_bad_when_more_than_the_tolerated_share_missed(
    fleet: Fleet, served: ServedFleet
) -> None:
    ready = np.maximum(fleet.demand[:, fleet.n_history :] / fleet.capacity[:, None], 0.1)
    course = served.course(ready)
    share = np.stack([step.missed for step in course], axis=1) / served.requests
    is_bad = served.is_bad(course)
    assert share[is_bad].min() > 0.05 >= share[~is_bad].max()
    assert 0 < is_bad.mean() < 1
    assert not served.is_bad(served.course(3.0 * ready)).all(axis=1).any()


class TestQueues:
    def test_what_is_not_carried_waits_for_the_next_step_and_delays_it(
        self, served: ServedFleet
    ) -> None:
        full = served.demand[:, 0] / served.full[:, 0]  # replicas that just carry step 0
        short = served.serve(0, full * 0.95, served.no_queue())
        assert short.queue == pytest.approx(0.05 * served.demand[:, 0])
        assert short.waiting == pytest.approx(0.025 * served.requests[:, 0])
        enough = served.demand[:, 1] / served.full[:, 1] * SLO_UTILISATION
        quiet = served.serve(1, enough, served.no_queue())
        queued = served.serve(1, enough, short.queue)
        assert (queued.missed >= quiet.missed).all()
        assert (queued.missed > quiet.missed).any()

    def test_a_queue_is_worked_off_by_replicas_to_spare(self, served: ServedFleet) -> None:
        few = 0.9 * served.demand[:, 0] / served.full[:, 0]
        left = served.serve(0, few, served.no_queue()).queue
        assert (left > 0).all()
        many = 2.0 * served.demand[:, 1] / served.full[:, 1]
        after = served.serve(1, many, left)
        assert not after.queue.any()
        assert (after.waiting > 0).all()
        assert not served.serve(2, many * 9, after.queue).waiting.any()

    def test_nobody_waits_longer_than_a_minute(self, served: ServedFleet) -> None:
        queue = served.no_queue()
        for step in range(5):
            queue = served.serve(step, np.full(W, 0.5), queue).queue
        assert queue == pytest.approx(served.demand[:, 4] * TIMEOUT_S / served.step_s)


class TestPools:
    def test_the_other_services_are_served_as_without_pools(
        self, fleet: Fleet, served: ServedFleet
    ) -> None:
        split = draw_served_fleet(with_pools(fleet))
        np.testing.assert_array_equal(split.ratio[:W], served.ratio)
        np.testing.assert_array_equal(split.truth.luck[:W], served.truth.luck)
        np.testing.assert_array_equal(split.requests, served.requests)
        ready = np.full(W + 1, 6.0)
        np.testing.assert_array_equal(missed(split, 3, ready)[1:], missed(served, 3, ready[:W])[1:])

    def test_a_request_misses_where_either_pool_is_short(self, fleet: Fleet) -> None:
        split = draw_served_fleet(with_pools(fleet))
        ample = 3.0 * split.demand[:, 0] / split.full[:, 0]
        base = missed(split, 0, ample)[0]
        for pool in (0, W):
            short = ample.copy()
            short[pool] *= 0.3
            assert missed(split, 0, short)[0] > base
            none = ample.copy()
            none[pool] = 0.0
            assert missed(split, 0, none)[0] == split.requests[0, 0]

    def test_who_waits_at_a_pool_waits_for_the_service(self, fleet: Fleet) -> None:
        split = draw_served_fleet(with_pools(fleet))
        ready = 2.0 * split.demand[:, 0] / split.full[:, 0]
        ready[W] *= 0.45
        step = split.serve(0, ready, split.no_queue())
        assert step.queue[W] > 0
        assert not step.queue[:W].any()
        assert step.waiting[0] > 0
        assert not step.waiting[1:].any()


def test_the_seed_decides_everything(fleet: Fleet, served: ServedFleet) -> None:
    again, other = (draw_served_fleet(unsplit(one)) for one in (make(), make(seed=4)))
    np.testing.assert_array_equal(served.half, again.half)
    np.testing.assert_array_equal(served.truth.luck, again.truth.luck)
    assert (served.ratio != other.ratio).all()
    fewer = generate_fleet(
        FleetOptions(seed=3, n_workloads=2, step_s=600, n_history=24, n_replay=R)
    )
    np.testing.assert_array_equal(draw_served_fleet(unsplit(fewer)).ratio, served.ratio[:2])
