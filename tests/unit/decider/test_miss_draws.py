"""The response of one workload: from load to the share that misses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider import equivalent_demand
from decider.errors import InvalidRequest
from decider.miss_draws import MissDraws


def draws(**given: float) -> MissDraws:
    values = {"capacity": 10.0, "slope": 8.0, "floor": 0.01, "concentration": 50.0} | given
    return MissDraws(**{name: np.full(3, value) for name, value in values.items()})


def test_half_of_what_can_be_cured_is_missed_at_the_capacity() -> None:
    assert draws(floor=0.2).miss(np.array([10.0])) == pytest.approx(0.2 + 0.8 * 0.5)


def test_it_never_falls_as_the_load_grows_from_the_floor_to_everything() -> None:
    miss = draws().miss(np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 200)]))
    assert (np.diff(miss, axis=1) >= 0).all()
    assert miss[:, 0] == pytest.approx(0.01)
    assert miss[:, -1] == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.9])
def test_the_load_within_a_share_misses_just_that(share: float) -> None:
    one = draws()
    load = one.load_within(share)
    assert one.curable(load)[np.arange(3), np.arange(3)] == pytest.approx(share)


def test_an_endless_slope_is_a_sharp_edge() -> None:
    sharp = draws(slope=1e6, floor=0.0).miss(np.array([9.99, 10.01]))
    assert sharp[:, 0] == pytest.approx(0.0, abs=1e-12)
    assert sharp[:, 1] == pytest.approx(1.0)


def test_the_array_form_comes_back() -> None:
    one = draws()
    again = MissDraws.from_array(one.to_array())
    assert np.array_equal(again.to_array(), one.to_array())


@pytest.mark.parametrize(
    ("name", "value"), [("capacity", 0.0), ("slope", -1.0), ("floor", 1.0), ("concentration", 0.0)]
)
def test_what_no_response_has_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=name):
        draws(**{name: value})


def test_wrong_shapes_and_shares_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"expected \(P, 4\)"):
        MissDraws.from_array(np.ones((3, 3)))
    with pytest.raises(InvalidRequest, match="share=1"):
        draws().load_within(1.0)


def vector_draws(n_further: int = 2) -> MissDraws:
    one = draws()
    further = np.array([[400.0, 2.0, 9.0]] * 3)[:, :n_further] * np.array([[1.0], [1.1], [0.8]])
    sharing = np.array([1.0, 2.0, 9.0])
    return MissDraws(one.capacity, one.slope, one.floor, one.concentration, sharing, further)


@pytest.mark.parametrize("n_further", [1, 2, 3])
def test_several_loads_miss_what_their_equivalent_demand_does(n_further: int) -> None:
    one = vector_draws(n_further)
    load = np.random.default_rng(0).uniform(0, 1, (50, 4))[:, : 1 + n_further]
    load *= np.array([10.0, 400.0, 2.0, 9.0])[: 1 + n_further]
    load[0] = 0.0
    equivalent = one.equivalent(load)
    for p in range(3):
        capacity = np.concatenate([one.capacity[p : p + 1], one.further[p]])
        expected = equivalent_demand(load, capacity, float(one.sharing[p]))
        assert equivalent[p] == pytest.approx(expected)
        assert one.curable(load)[p] == pytest.approx(draws().curable(equivalent[p])[p])
    assert one.miss(load)[:, 0] == pytest.approx(0.01)


def test_without_further_loads_a_column_is_the_load_itself() -> None:
    load = np.linspace(0.0, 30.0, 40)
    one = draws()
    assert np.array_equal(one.miss(load[:, None]), one.miss(load))
    assert np.array_equal(one.equivalent(load), np.repeat(load[None], 3, axis=0))
    assert one.n_further == 0
    assert one.further.shape == (3, 0)


@pytest.mark.parametrize("n_further", [1, 2, 3])
def test_the_array_form_of_several_loads_comes_back(n_further: int) -> None:
    one = vector_draws(n_further)
    again = MissDraws.from_array(one.to_array())
    assert one.to_array().shape == (3, 5 + n_further)
    assert np.array_equal(again.to_array(), one.to_array())
    assert again.n_further == n_further
    assert np.array_equal(one.rows(np.array([2, 0])).to_array(), one.to_array()[[2, 0]])


def test_impossible_loads_are_refused() -> None:
    one = vector_draws()
    alone = (one.capacity, one.slope, one.floor, one.concentration)
    with pytest.raises(InvalidRequest, match=r"load has shape \(5,\), must be \(N, 3\)"):
        one.miss(np.ones(5))
    with pytest.raises(InvalidRequest, match=r"sharing has shape \(2,\), must be \(P=3,\)"):
        MissDraws(*alone, np.ones(2), one.further)
    with pytest.raises(InvalidRequest, match=r"further has shape \(2, 2\)"):
        MissDraws(*alone, one.sharing, one.further[:2])
    with pytest.raises(InvalidRequest, match="sharing must be finite and >= 1"):
        MissDraws(*alone, 0.5 * one.sharing, one.further)
    with pytest.raises(InvalidRequest, match="further must be finite and > 0"):
        MissDraws(*alone, one.sharing, -one.further)


def with_variants(*worth: float) -> MissDraws:
    one = draws()
    return replace(one, worth=np.tile(np.array(worth), (3, 1)))


@given(
    st.lists(st.floats(0.2, 3.0), min_size=1, max_size=3),
    st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
    st.floats(0.5, 30.0),
)
def test_a_mix_carries_the_sum_of_its_variants(
    worth: list[float], shares: list[float], load: float
) -> None:
    """Stated 10 replicas shared out over the variants: what they carry is the sum of each one's."""
    mix = np.array([shares[: len(worth)]]) / 3.0
    carried = 1.0 - mix.sum() + (mix[0] * np.array(worth)).sum()
    found = with_variants(*worth).miss(np.array([load]), mix)
    assert found == pytest.approx(draws().miss(np.array([load / carried])))


def test_the_first_variant_alone_is_a_workload_without_variants() -> None:
    load = np.array([4.0, 10.0])
    assert np.array_equal(with_variants(0.6).miss(load, np.zeros((2, 1))), draws().miss(load))


def test_the_response_at_a_mix_counts_reference_replicas_by_the_worth_in_use() -> None:
    """Ten stated replicas, half of them of a variant of 0.6: 8 if it is known, else 10."""
    one, mix = with_variants(0.6), np.array([0.5])
    demand = 70.0
    truth = one.miss(np.array([demand / 10.0]), mix[None])
    for worth, counted in ((0.6, 8.0), (1.0, 10.0)):
        of_mix = one.at_mix(mix, np.array([worth]))
        assert of_mix.n_variants == 0
        assert of_mix.miss(np.array([demand / counted])) == pytest.approx(truth)


def test_several_loads_scale_alike_at_a_mix() -> None:
    further = np.full((3, 1), 200.0)
    one = replace(with_variants(0.5), further=further, sharing=np.full(3, 2.0))
    load, mix = np.array([[5.0, 90.0]]), np.array([[0.4]])
    of_mix = one.at_mix(mix[0], np.ones(1))
    assert of_mix.miss(load) == pytest.approx(one.miss(load, mix))


@pytest.mark.parametrize("n_further", [0, 2])
def test_the_array_form_of_variants_comes_back(n_further: int) -> None:
    one = replace(
        with_variants(0.6, 1.1), further=np.full((3, n_further), 7.0), sharing=np.full(3, 2.0)
    )
    again = MissDraws.from_array(one.to_array(), 2)
    assert np.array_equal(again.to_array(), one.to_array())
    assert again.n_further == n_further
    assert again.rows(np.array([0])).worth.tolist() == [[0.6, 1.1]]


def test_a_mix_that_fits_no_variants_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"mix has shape \(0, 0\)"):
        with_variants(0.6).miss(np.array([5.0]))
    with pytest.raises(InvalidRequest, match=r"must be \(V=1,\)"):
        with_variants(0.6).at_mix(np.zeros(2), np.ones(2))
    with pytest.raises(InvalidRequest, match="worth must be"):
        with_variants(0.0)
