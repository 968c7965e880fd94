"""Several loads as one use of a replica, and as one demand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from decider import equivalent_demand
from decider.errors import InvalidRequest

CAPACITY = np.array([10.0, 4000.0, 0.5, 7.0])
SHARING = st.floats(1.0, 60.0)
shares = arrays(np.float64, (6, 4), elements=st.floats(0.0, 50.0))


@given(shares, SHARING)
def test_it_grows_with_every_load_and_lies_between_the_largest_and_the_sum(
    share: np.ndarray, sharing: float
) -> None:
    loads = share * CAPACITY
    found = equivalent_demand(loads, CAPACITY, sharing) / CAPACITY[0]
    assert (found >= share.max(axis=1) * (1 - 1e-9)).all()
    assert (found <= share.sum(axis=1) * (1 + 1e-9)).all()
    for g in range(4):
        more = loads + np.eye(4)[g] * CAPACITY
        assert (equivalent_demand(more, CAPACITY, sharing) / 10.0 >= found * (1 - 1e-9)).all()


@given(shares, SHARING, st.floats(1e-3, 1e3))
def test_loads_of_a_replica_are_those_of_all_divided(
    share: np.ndarray, sharing: float, replicas: float
) -> None:
    one = equivalent_demand(share * CAPACITY / replicas, CAPACITY, sharing)
    assert one * replicas == pytest.approx(equivalent_demand(share * CAPACITY, CAPACITY, sharing))


@given(shares)
@settings(max_examples=30)
def test_at_one_shares_add_up_and_without_end_the_tightest_binds(share: np.ndarray) -> None:
    loads = share * CAPACITY
    assert equivalent_demand(loads, CAPACITY, 1.0) == pytest.approx(10.0 * share.sum(axis=1))
    tightest = equivalent_demand(loads, CAPACITY)
    assert tightest == pytest.approx(10.0 * share.max(axis=1))
    assert equivalent_demand(loads, CAPACITY, 1e6) == pytest.approx(tightest, rel=1e-5)


def test_one_load_is_its_own_equivalent_exactly() -> None:
    demand = np.array([0.0, 0.1, 1e9, np.nan])
    for sharing in (1.0, 3.0, math.inf):
        found = equivalent_demand(demand[:, None], CAPACITY[:1], sharing)
        assert np.array_equal(found, demand, equal_nan=True)


@pytest.mark.parametrize("sharing", [1.0, 2.5, math.inf])
def test_an_unknown_load_makes_the_demand_unknown_and_none_of_any_none(sharing: float) -> None:
    loads = np.array([[1.0, np.nan], [np.nan, 2.0], [0.0, 0.0], [0.0, 4000.0]])
    found = equivalent_demand(loads, CAPACITY[:2], sharing)
    assert np.isnan(found[:2]).all()
    assert found[2:] == pytest.approx([0.0, 10.0])


def test_what_no_replica_has_is_refused() -> None:
    loads = np.ones((3, 2))
    with pytest.raises(InvalidRequest, match=r"loads \(3, 2\), capacity \(3,\)"):
        equivalent_demand(loads, np.ones(3))
    with pytest.raises(InvalidRequest, match="must be finite and > 0"):
        equivalent_demand(loads, np.array([1.0, 0.0]))
    with pytest.raises(InvalidRequest, match=r"sharing=0.5 must be >= 1"):
        equivalent_demand(loads, np.ones(2), 0.5)
