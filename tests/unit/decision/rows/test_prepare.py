"""Requests from rows: a row for each workload, of one with pools a row for each of them."""

from __future__ import annotations

import numpy as np
import pytest

from decider.planning.exact import integrated
from services.decision.rows.prepare import prepare
from tests.unit.decision.rows.pool_members import (
    NOW,
    TOKENS,
    forecast,
    member,
    pool,
    rows,
    state,
)


def test_the_pools_of_a_workload_are_rows_side_by_side() -> None:
    seen = state(prefill=pool(4), decode=pool(8))
    (found,) = prepare({1: member()}, [forecast()], rows(states={1: [seen]}), NOW)
    assert [m.key for m in found.members] == ["demo/w/prefill", "demo/w/decode"]
    assert found.request.services() == {"demo/w": (0, 1)}
    assert [w.replicas.spec for w in found.request.workloads] == [4, 8]
    assert [w.hardware.gpu_type for w in found.request.workloads] == ["H100", "A100"]
    np.testing.assert_allclose(found.request.paths[1], 50.0 * found.request.paths[0], rtol=1e-3)
    assert {row.service.key for row in found.rows} == {"demo/w"}
    assert found.request.further_paths == found.request.responses == ()


def test_a_pool_of_several_loads_has_further_paths_whether_they_were_forecast_or_not() -> None:
    names = ("request_rate_rps", TOKENS, "kv_tokens")
    further = [{"indicator": TOKENS, "per_replica": 200.0}]
    further += [{"indicator": "kv_tokens", "per_replica": 9000.0}]
    cache, most = (pool.model_dump() for pool in member().spec.pools)
    one = member(
        indicators=[{"name": name, "level": 1} for name in names],
        capacity={"per_replica": 10.0, "also_bound_by": further},
        pools=[cache | {"loads": ["kv_tokens"]}, most | {"loads": [TOKENS, "request_rate_rps"]}],
    )
    (found,) = prepare({1: one}, [forecast()], rows(), NOW)
    places = [w.pool.loads for w in found.request.workloads if w.pool is not None]
    assert places == [(2,), (0, 1)], "in the order of the workload's loads"
    beside = found.request.further(1)
    assert beside is not None
    assert beside.shape == (1, *found.request.paths.shape[1:])
    assert np.isnan(beside).all(), "the forecast lacks kv_tokens: nothing of it is used"
    assert found.request.workloads[1].further_capacity == (200.0,)


def test_a_workload_of_one_target_is_one_row() -> None:
    plain = member(pools=[])
    (found,) = prepare({1: plain}, [forecast()], rows(), NOW)
    (row,) = found.rows
    assert row.service is row.member is plain
    assert (row.given.pool, row.given.further_capacity) == (None, (200.0,))
    assert row.further is not None


WITHOUT_PATHS = {"paths": None, "path_scale": None, "further_names": None, "further_paths": None}


@pytest.mark.parametrize("kind", ["TimeFraction", "DemandFraction", "AnyInWindow"])
@pytest.mark.parametrize("has_further", [False, True])
def test_a_spec_that_needs_no_paths_is_decided_by_the_quantiles(
    kind: str, has_further: bool
) -> None:
    """Its forecast is stored without paths: nothing that counts may come of them."""
    capacity = member().spec.capacity if has_further else {"per_replica": 10.0}
    one = member(pools=[], capacity=capacity, sla={"kind": kind})
    row = forecast() if has_further else forecast() | WITHOUT_PATHS
    levels, values = [0.1, 0.5, 0.9], [[30.0] * 6, [40.0] * 6, [44.0] * 6]
    row |= {"quantile_levels": levels, "quantiles": values}
    (found,) = prepare({1: one}, [row], rows(), NOW)
    assert one.spec.needs_paths == (integrated(found.request, 0) is None)
    assert found.request.paths.shape[1] == row["n_paths"]


def test_a_spec_with_pools_or_an_objective_needs_paths() -> None:
    assert member().spec.needs_paths
    objective = {"goals": [{"metric": "ttft", "threshold_s": 0.5}], "share": 0.95}
    one = member(pools=[], capacity={"per_replica": 10.0}, sla={"objective": objective})
    assert one.spec.needs_paths
