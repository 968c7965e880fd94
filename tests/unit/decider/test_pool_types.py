"""Places of pools, what their rows have in common, and their part of a response."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decider import MissDraws, PoolPlace, RiskState, Sla, VariantSet, VariantState, pool_response
from decider.errors import InvalidRequest
from tests.unit.decider.pool_cases import pool, service, service_response, two_pools
from tests.unit.decider.shards import noisy
from tests.unit.decider.tables.soft_cases import sla

PATHS = np.stack([noisy(100.0, 1), noisy(100.0, 2)])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("", "a", (0,)), "must not be empty"),
        (("s", "", (0,)), "must not be empty"),
        (("s", "a", ()), "different ones of 0..3"),
        (("s", "a", (1, 1)), "different ones of 0..3"),
        (("s", "a", (4,)), "different ones of 0..3"),
    ],
)
def test_impossible_places_are_refused(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        PoolPlace(*given)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([("a", 0)], "two pools or more"),
        ([("a", 0), ("a", 1)], "names must differ"),
        ([("a", 0), ("b", 0)], "each in one pool"),
        ([("a", 0), ("b", 2)], "each in one pool"),
    ],
)
def test_pools_share_out_the_loads(places: list[tuple[str, int]], message: str) -> None:
    owners = [pool(name, load=load) for name, load in places]
    with pytest.raises(InvalidRequest, match=message):
        service(PATHS[: len(owners)], None, owners)


@pytest.mark.parametrize(
    "changes",
    [
        {"sla": Sla(0.02, good_share=0.95)},
        {"risk": RiskState(log_level=0.1)},
        {"requests_per_step": 7.0},
        {"forecast_rung": "seasonal"},
        {"forecast_origin_s": 0.0},
        {"is_model_trusted": False},
    ],
)
def test_pools_of_a_service_have_one_promise(changes: dict[str, Any]) -> None:
    owners = two_pools(sla())
    owners[1] = replace(owners[1], **changes)
    with pytest.raises(InvalidRequest, match=f"differ in {next(iter(changes))}"):
        service(PATHS, None, owners)


def test_pools_of_a_service_have_one_response_to_all_of_its_loads() -> None:
    request = service(PATHS, service_response(1), two_pools(sla()))
    with pytest.raises(InvalidRequest, match="differ in their response"):
        replace(request, responses=(service_response(1), service_response(2)))
    with pytest.raises(InvalidRequest, match="its response has 2 further loads, its pools 1"):
        replace(request, responses=(service_response(1, n_further=2),) * 2)


def test_a_pool_has_no_variants() -> None:
    owners = two_pools(sla())
    variants = VariantSet((VariantState("a", "H100", 1, 1.0, 1.0, spec=10),))
    owners[0] = replace(owners[0], variants=variants)
    with pytest.raises(InvalidRequest, match="a pool has no variants"):
        service(PATHS, None, owners)


def test_a_service_s_response_to_some_loads_is_that_without_the_others() -> None:
    whole = service_response(1, n_further=2)
    load = np.array([[3.0, 9.0, 4.0], [0.0, 30.0, 80.0]])
    own = pool_response(whole, (2, 1))
    without = load * np.array([0.0, 1.0, 1.0])
    np.testing.assert_allclose(own.miss(load[:, [2, 1]]), whole.miss(without))
    np.testing.assert_array_equal(own.further[:, 0], whole.further[:, 0])
    first = pool_response(whole, (0,))
    assert isinstance(first, MissDraws)
    assert first.n_further == 0
    with pytest.raises(InvalidRequest, match=r"must be some of 0..2"):
        pool_response(whole, (3,))
