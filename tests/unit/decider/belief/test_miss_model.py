"""Data and draws of the model of misses: what is refused, what stands for what. No sampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decider.belief.miss_model import MissData, MissPosterior, PooledDraws
from decider.belief.occupancy import FullUse
from decider.errors import InvalidRequest


def data(**given: Any) -> MissData:
    """Three steps of two workloads."""
    values = {
        "missed": np.array([0.0, 1.0, 4.0]),
        "total": np.array([10.0, 10.0, 10.0]),
        "load": np.array([1.0, 2.0, 3.0]),
        "workload": np.array([0, 0, 1]),
        "prior_capacity": np.array([4.0, 8.0]),
        "prior_cv": np.array([0.0, 0.3]),
        "group": np.array([0, 0]),
        "prior_share": np.array([0.05, 0.01]),
    }
    return MissData(**(values | given))


def test_counts_are_whole_and_no_more_are_missed_than_there_were() -> None:
    found = data(missed=np.array([0.4, 9.6, 12.3]), total=np.array([9.8, 10.2, 11.9]))
    assert list(found.missed) == [0, 10, 12]
    assert list(found.total) == [10, 10, 12]


ONE = np.array([1.0])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("missed", np.array([0.0, np.nan, 1.0]), r"missed must be finite and >= 0.*nan at 1"),
        ("total", np.array([1.0, 1.0, -1.0]), "total must be finite and >= 0"),
        ("total", ONE, r"all must be \(N,\)"),
        ("load", np.array([1.0, 0.0, 1.0]), "load must be finite and > 0.*0 at 1"),
        ("workload", np.array([0, 0, 2]), "workload must index the 2 workloads"),
        ("workload", np.array([0, 0]), r"workload must be \(N,\)"),
        ("prior_capacity", np.array([4.0, 0.0]), "prior_capacity must be > 0"),
        ("prior_capacity", ONE, r"prior_cv \(2,\) must be \(W,\)"),
        ("prior_cv", np.array([0.0, -0.1]), "prior_cv must be >= 0"),
        ("prior_share", np.array([0.0, 0.1]), r"prior_share must lie in \(0, 1\)"),
        ("group", np.array([0, -1]), "group must be >= 0"),
    ],
)
def test_impossible_data_are_refused(name: str, value: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        data(**{name: value})


def test_data_without_steps_are_data() -> None:
    none = np.zeros(0)
    found = data(missed=none, total=none, load=none, workload=np.zeros(0, dtype=int))
    assert found.n_groups == 1


def posterior(n_draws: int = 4000) -> MissPosterior:
    rng = np.random.default_rng(0)
    coordinates = rng.standard_normal((n_draws, 4, 2)) * 0.1
    location = np.stack([np.full((n_draws, 1), 0.2), np.full((n_draws, 1), np.log(9.0))], axis=1)
    spread = np.tile([0.1, 0.2], (n_draws, 1))
    capacities, shares = np.array([4.0, 8.0]), np.array([0.05, 0.01])
    return MissPosterior(coordinates, capacities, shares, PooledDraws(location, spread))


def test_draws_of_a_row_stand_at_its_own_capacity_and_share() -> None:
    found = posterior()
    for row, (capacity, share) in enumerate(((4.0, 0.05), (8.0, 0.01))):
        knee = np.log(found.draws(row).load_within(share) / capacity)
        np.testing.assert_allclose(knee, found.coordinates[:, 0, row], atol=1e-9)
    with pytest.raises(InvalidRequest, match="row=2 must index the 2 workloads"):
        found.draws(2)


def test_a_group_says_of_one_more_what_its_workloads_share_and_how_they_differ() -> None:
    one = posterior()
    of = one.pooled
    wider = replace(of, location=of.location + 0.05 * _noise(one))
    law = replace(one, pooled=wider).group_law(0)
    assert law.mean == pytest.approx([0.2, np.log(9.0)], abs=0.005)
    assert np.diag(law.covariance) == pytest.approx([0.1**2 + 0.05**2, 0.2**2 + 0.05**2], rel=0.05)
    with pytest.raises(InvalidRequest, match="group=1 must be one of the 1 groups"):
        one.group_law(1)


def _noise(one: MissPosterior) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(one.pooled.location.shape)


def test_a_workload_with_fewer_loads_has_its_own_first() -> None:
    """Of a fit whose workloads have up to two further loads; a new one may have one of them."""
    one, rng = posterior(), np.random.default_rng(0)
    n_draws = one.coordinates.shape[0]
    location = np.concatenate([one.pooled.location, np.full((n_draws, 2, 1), 0.3)], axis=1)
    spread = np.column_stack([one.pooled.spread, np.full((n_draws, 2), 0.1)])
    more = 0.1 * rng.standard_normal((n_draws, 3, 2))
    found = MissPosterior(
        np.concatenate([one.coordinates, more], axis=1),
        one.prior_capacity,
        one.prior_share,
        PooledDraws(location, spread),
        np.array([[100.0, 0.5], [np.inf, np.inf]]),
    )
    assert [found.draws(row).n_further for row in range(2)] == [2, 0]
    assert np.array_equal(found.draws(1).to_array(), one.draws(1).to_array())
    ratio = np.log(found.draws(0).further / found.draws(0).capacity[:, None] / [25.0, 0.125])
    np.testing.assert_allclose(ratio, more[:, 1:, 0], atol=1e-9)
    law = found.group_law(0)
    assert law.mean == pytest.approx([0.2, np.log(9.0), 0.3, 0.3])
    assert np.sqrt(np.diag(law.covariance)) == pytest.approx([0.1, 0.2, 0.1, 0.1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"further_capacity": np.ones((2, 1))}, r"load \(3,\) must be \(N, 1\+F\)"),
        ({"further_capacity": np.ones((1, 1))}, r"further_capacity \(1, 1\) must be \(W, F\)"),
        ({"further_capacity": -np.ones((2, 1))}, "further_capacity must be > 0"),
        ({"further_capacity": np.ones((2, 1)), "load": np.zeros((3, 2))}, "must be > 0"),
        ({"further_capacity": np.ones((2, 1)), "load": -np.ones((3, 2))}, "load must be .*>= 0"),
        (
            {"full": ((0, FullUse(np.ones(2), 0.0, 0.1)),)},
            r"full: loads of \[2\] must be of 1\+F=1",
        ),
        ({"full": ((2, FullUse(np.ones(1), 0.0, 0.1)),)}, "workload must index the 2 workloads"),
    ],
)
def test_impossible_further_loads_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        data(**given)
