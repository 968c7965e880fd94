"""Requests from rows: a row for each workload, of one with pools a row for each of them."""

from __future__ import annotations

import numpy as np

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
