"""Loads beside the demand: read from rows, added up, told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from decider import MissDraws
from services.decision.rows.loads import (
    added_up,
    binding_shares,
    further_capacity,
    missing_loads,
    missing_words,
    stacked,
    to_further_paths,
)
from services.kernel.domain import WorkloadSpec

OUT, KV = "output_tokens_per_s", "kv_token_seconds"


def spec(*further: str) -> WorkloadSpec:
    named = further or (OUT, KV)
    return WorkloadSpec.model_validate(
        {
            "target": "Deployment/w",
            "demand": "load_rps",
            "indicators": [{"name": name, "level": 1} for name in ("load_rps", OUT, KV)],
            "capacity": {
                "per_replica": 10.0,
                "also_bound_by": [
                    {"indicator": n, "per_replica": {OUT: 200.0, KV: 4000.0}[n]} for n in named
                ],
            },
        }
    )


ALONE = WorkloadSpec.model_validate(spec().model_dump() | {"capacity": {"per_replica": 10.0}})


def row(**changes: Any) -> Any:
    """A forecast of S = 3 paths over H = 2 steps; its loads stand in another order."""
    paths = np.arange(12, dtype=np.float16).reshape(2, 3, 2)
    known = {
        "n_paths": 3,
        "n_horizon": 2,
        "paths": b"there",
        "further_names": [KV, OUT],
        "further_paths": paths.tobytes(),
        "further_scales": [2.0, 0.5],
    }
    return known | changes


def test_paths_come_in_the_order_of_the_spec_each_in_its_scale() -> None:
    found = to_further_paths(row(), spec())
    assert found is not None
    np.testing.assert_array_equal(found[0], [[3.0, 3.5], [4.0, 4.5], [5.0, 5.5]])
    np.testing.assert_array_equal(found[1], 2.0 * np.arange(6).reshape(3, 2))
    one = to_further_paths(row(), spec(KV))
    assert one is not None
    assert one.shape == (1, 3, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"further_names": None, "further_paths": None, "further_scales": None},
        {"further_names": [OUT]},
        {"further_paths": b"short"},
        {"further_paths": None},
        {"further_scales": [1.0]},
        {"paths": None},
    ],
)
def test_a_row_that_lacks_some_or_is_broken_has_none(changes: dict[str, Any]) -> None:
    assert to_further_paths(row(**changes), spec()) is None


def test_a_workload_of_one_load_has_no_further_paths() -> None:
    assert to_further_paths(row(), ALONE) is None
    assert further_capacity(ALONE) == ()
    assert further_capacity(spec()) == (200.0, 4000.0)


def test_what_is_missing_is_named() -> None:
    assert missing_loads(row(further_names=[OUT]), spec()) == [KV]
    assert missing_loads(row(further_names=None), spec()) == [OUT, KV]
    assert missing_loads(row(further_paths=b"short"), spec()) == [OUT, KV]
    assert missing_words([KV], spec(), is_observed=False) == (
        f"nothing is known of {KV}: decided by load_rps alone"
    )
    assert "observed so far" in missing_words([KV], spec(), is_observed=True)


def test_loads_are_put_side_by_side_by_their_steps() -> None:
    at_s = np.array([0.0, 60.0, 120.0])
    further = {OUT: (np.array([60.0, 120.0, 180.0]), np.array([5.0, 6.0, 7.0]))}
    found = stacked((at_s, np.array([1.0, 2.0, 3.0])), further, spec())
    np.testing.assert_array_equal(found[:, 0], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(found[:, 1], [np.nan, 5.0, 6.0])
    assert np.isnan(found[:, 2]).all()


def response(sharing: float) -> MissDraws:
    n = 3
    further = np.column_stack([np.full(n, 100.0), np.full(n, 4000.0)])
    return MissDraws(
        np.array([9.0, 10.0, 11.0]), np.full(n, 12.0), np.zeros(n), np.full(n, 60.0),
        np.full(n, sharing), further,
    )  # fmt: skip


def test_without_a_response_the_tightest_stated_capacity_binds() -> None:
    loads = np.array([[10.0, 100.0, 0.0], [10.0, 800.0, 0.0], [10.0, 100.0, 16000.0]])
    np.testing.assert_allclose(added_up(loads, spec()), [10.0, 40.0, 40.0])


def test_with_a_response_it_is_the_median_of_its_draws() -> None:
    loads = np.array([[10.0, 100.0, 0.0]])
    found = added_up(loads, spec(), response(1.0))
    np.testing.assert_allclose(found, [10.0 + 10.0 * 1.0])


def test_a_response_to_other_loads_is_not_used() -> None:
    alone = response(1.0)
    draws = MissDraws(alone.capacity, alone.slope, alone.floor, alone.concentration)
    loads = np.array([[10.0, 800.0, 0.0]])
    np.testing.assert_allclose(added_up(loads, spec(), draws), [40.0])


@pytest.mark.parametrize("draws", [None, response(2.0)])
@given(loads=arrays(float, (4, 3), elements=st.floats(0.0, 1e6)))
def test_no_load_makes_the_others_less_and_an_unknown_one_makes_them_unknown(
    draws: MissDraws | None, loads: np.ndarray[Any, Any]
) -> None:
    found = added_up(loads, spec(), draws)
    assert (found >= loads[:, 0] * (1.0 - 1e-9)).all()
    loads[1, 2], loads[2, 1] = np.nan, -1.0
    less = added_up(loads, spec(), draws)
    np.testing.assert_array_equal(np.isnan(less), [False, True, True, False])
    np.testing.assert_array_equal(less[[0, 3]], found[[0, 3]])


def test_nothing_known_adds_up_to_nothing_known() -> None:
    assert np.isnan(added_up(np.full((2, 3), np.nan), spec())).all()


def test_the_load_that_takes_most_of_its_own_capacity_binds() -> None:
    loads = np.array([[5.0, 300.0], [5.0, 50.0], [5.0, 90.0]])
    capacity = np.array([[10.0, 200.0], [10.0, 100.0]])
    np.testing.assert_allclose(binding_shares(loads, capacity), [3 / 6, 3 / 6])
