"""What occupancy tells of a full replica: exact where its law holds, wide where it is far."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider.belief.miss_learning import learn_misses
from decider.belief.miss_prior import MissPrior
from decider.belief.occupancy import (
    LEAST_MINUTES,
    MOST_OCCUPANCY,
    OWN_SIGMA,
    ROOM,
    TIME,
    FullUse,
    OccupancyLaw,
    full_use,
    restated_capacity,
    use_log_likelihood,
)
from decider.errors import InvalidRequest
from decider.miss_draws import MissDraws
from decider.types import FloatArray

N_MINUTES = 60
FULL_LOAD = 4000.0
SHARE = 0.03


def on_second_load(load: FloatArray) -> FloatArray:
    """(N, 2) loads of a pool that has the second alone."""
    return np.column_stack([np.zeros(load.size), load])


def occupancy_of(load: FloatArray, by: OccupancyLaw = ROOM) -> FloatArray:
    return np.asarray(by.full * (load / FULL_LOAD) ** by.power)


def full_load_of(law: FullUse) -> float:
    """The load at which a replica is full, by the mean of a law of the second load."""
    return float(law.loads[1] / np.exp(law.log_use))


@pytest.mark.parametrize("by", [ROOM, TIME])
@given(top=st.floats(0.05, 1.0), noise=st.floats(0.01, 0.3))
def test_the_edge_is_told_from_below_where_the_law_holds(
    by: OccupancyLaw, top: float, noise: float
) -> None:
    rng = np.random.default_rng(7)
    load = top * FULL_LOAD * np.linspace(0.6, 1.0, N_MINUTES)
    taken = occupancy_of(load, by) * np.exp(noise * rng.standard_normal(load.size))
    law = full_use(on_second_load(load), taken, by)
    assert law is not None
    off = np.log(full_load_of(law) / FULL_LOAD)
    assert abs(off) < 3.0 * law.sigma
    assert law.sigma >= OWN_SIGMA


@pytest.mark.parametrize("by", [ROOM, TIME])
@pytest.mark.parametrize("noise", [0.1, 0.3])
@pytest.mark.parametrize(("low", "high"), [(0.05, 0.2), (0.3, 0.9), (0.5, 1.5)])
def test_readings_that_scatter_do_not_move_the_edge(
    low: float, high: float, noise: float, by: OccupancyLaw
) -> None:
    """Picked by their readings, minutes that were fuller by chance would bring it down by 18 %."""
    rng = np.random.default_rng(7)
    edges = []
    for _ in range(40):
        use = rng.uniform(low, high, N_MINUTES)
        taken = np.where(use < 1.03, by.full * use**by.power, 0.98)  # beyond its edge it is full
        taken *= np.exp(noise * rng.standard_normal(use.size) - noise**2 / 2)
        law = full_use(on_second_load(FULL_LOAD * use), np.minimum(taken, 1.0), by)
        assert law is not None
        edges.append(full_load_of(law))
    assert np.mean(edges) == pytest.approx(FULL_LOAD, rel=0.06)


@pytest.mark.parametrize("by", [ROOM, TIME])
def test_the_nearer_to_full_the_more_is_known(by: OccupancyLaw) -> None:
    sigmas = []
    for top in (0.1, 0.3, 0.6, 0.95):
        load = top * FULL_LOAD * np.linspace(0.8, 1.0, N_MINUTES)
        law = full_use(on_second_load(load), occupancy_of(load, by), by)
        assert law is not None
        sigmas.append(law.sigma)
    assert sigmas == sorted(sigmas, reverse=True)
    assert sigmas[0] > (2.0 if by is ROOM else 1.3) * sigmas[-1]


def test_time_tells_more_of_a_replica_far_from_full_than_room_does() -> None:
    """It rises as the load does; how fast room does is known less well."""
    load = 0.1 * FULL_LOAD * np.linspace(0.8, 1.0, N_MINUTES)
    sigmas = {}
    for by in (ROOM, TIME):
        law = full_use(on_second_load(load), occupancy_of(load, by), by)
        assert law is not None
        sigmas[by.power] = law.sigma
    assert sigmas[TIME.power] < 0.6 * sigmas[ROOM.power]


def test_minutes_near_to_full_are_read_and_others_are_not() -> None:
    load = FULL_LOAD * np.concatenate([np.full(40, 0.1), np.full(10, 0.8)])
    taken = occupancy_of(load)
    taken[:40] *= 3.0  # of other content: it would tell of an edge at two fifths
    law = full_use(on_second_load(load), taken)
    assert law is not None
    assert full_load_of(law) == pytest.approx(FULL_LOAD, rel=1e-9)


@pytest.mark.parametrize("taken", [0.0, 0.005, MOST_OCCUPANCY, 0.99, np.nan])
def test_what_tells_of_no_edge_is_left_out(taken: float) -> None:
    load = on_second_load(np.full(N_MINUTES, 1000.0))
    assert full_use(load, np.full(N_MINUTES, taken)) is None
    few = np.full(N_MINUTES, taken)
    few[: LEAST_MINUTES - 1] = 0.3
    assert full_use(load, few) is None
    few[LEAST_MINUTES - 1] = 0.3
    assert full_use(load, few) is not None


def test_steps_without_a_load_of_the_pool_tell_nothing() -> None:
    assert full_use(np.zeros((N_MINUTES, 2)), np.full(N_MINUTES, 0.3)) is None


def draws_with(second: FloatArray) -> MissDraws:
    ones = np.ones(second.size)
    parts = (9000.0 * ones, 12.0 * ones, 0.002 * ones, 60.0 * ones, 2.0 * ones)
    return MissDraws(*parts, second[:, None])


def test_draws_are_weighed_by_their_edge() -> None:
    law = FullUse(np.array([0.0, 2000.0]), float(np.log(0.5)), 0.2)
    second = FULL_LOAD * np.exp(np.array([-0.2, 0.0, 0.2, 0.4]))
    told = use_log_likelihood([law], draws_with(second))
    np.testing.assert_allclose(told, [-0.5, 0.0, -0.5, -2.0], atol=1e-9)
    np.testing.assert_array_equal(use_log_likelihood([], draws_with(second)), np.zeros(4))


def test_what_is_stated_of_the_pool_alone_is_restated() -> None:
    law = FullUse(np.array([0.0, 2000.0]), float(np.log(0.5)), 0.2)
    stated = np.array([9000.0, 500.0])
    np.testing.assert_allclose(restated_capacity([law], stated), [9000.0, FULL_LOAD])
    np.testing.assert_array_equal(restated_capacity([], stated), stated)


def test_two_loads_of_a_pool_are_restated_by_the_same_factor() -> None:
    law = FullUse(np.array([0.0, 1000.0, 30.0]), float(np.log(0.5)), 0.2)
    found = restated_capacity([law], np.array([7.0, 500.0, 60.0]))
    np.testing.assert_allclose(found, [7.0, 2000.0, 240.0])


def test_an_edge_that_no_miss_has_shown_is_learned_though_another_was_stated() -> None:
    """Decode at a quarter of its edge, stated at an eighth of it: what the promise rests on."""
    rng = np.random.default_rng(3)
    load = np.column_stack(
        [rng.uniform(3000, 5000, 80), 0.25 * FULL_LOAD * np.linspace(0.7, 1, 80)]
    )
    total, missed = np.full(80, 60.0), np.zeros(80)
    law = full_use(np.where([False, True], load, 0.0), occupancy_of(load[:, 1]))
    assert law is not None
    demand, *further = restated_capacity([law], np.array([9000.0, FULL_LOAD / 8]))
    told = MissPrior.stated(demand, 0.0, SHARE, further)
    told = MissPrior(*(told.mean, told.root, demand, SHARE, tuple(further)), seen=(law,))
    untold = MissPrior.stated(9000.0, 0.0, SHARE, (FULL_LOAD / 8,))
    edges = []
    for prior in (told, untold):
        found = learn_misses(prior, load, missed, total, 256)
        assert not found.needs_refit
        edges.append(np.quantile(found.draws.further[:, 0], [0.1, 0.5, 0.9]))
    assert edges[0][0] < FULL_LOAD < edges[0][2]
    assert edges[0][2] / edges[0][0] < 2.5
    assert edges[1][1] < 0.45 * FULL_LOAD


@pytest.mark.parametrize(
    ("loads", "log_use", "sigma"),
    [
        (np.array([0.0, 0.0]), 0.0, 0.1),
        (np.array([-1.0, 2.0]), 0.0, 0.1),
        (np.array([np.nan, 2.0]), 0.0, 0.1),
        (np.array([1.0]), np.nan, 0.1),
        (np.array([1.0]), 0.0, 0.0),
    ],
)
def test_a_law_of_nothing_is_refused(loads: FloatArray, log_use: float, sigma: float) -> None:
    with pytest.raises(InvalidRequest, match="must be"):
        FullUse(loads, log_use, sigma)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"loads \(3, 2\), occupancy \(2,\)"):
        full_use(np.ones((3, 2)), np.ones(2))
