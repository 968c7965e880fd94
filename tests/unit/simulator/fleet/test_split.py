"""A fleet of which one service has pools: what stays, and what is added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.simulator.fleet import Fleet, FleetOptions, generate_fleet, unsplit, with_pools
from services.simulator.fleet.split import PREFILL_CAPACITY, PREFILL_LOAD


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    options = FleetOptions(seed=3, n_workloads=4, step_s=600, n_history=24, n_replay=12)
    return generate_fleet(options)


def test_the_first_llm_service_gets_a_prefill_pool_and_nothing_else_changes(fleet: Fleet) -> None:
    scaled = with_pools(fleet)
    assert scaled.services is fleet
    assert scaled.owner.tolist() == [0, 1, 2, 3, 0]
    assert scaled.pools == ("decode", "", "", "", "prefill")
    assert scaled.targets_of(0) == [0, 4]
    assert [scaled.has_pools(i) for i in range(4)] == [True, False, False, False]
    assert scaled.targets.workloads[1:4] == fleet.workloads[1:]
    np.testing.assert_array_equal(scaled.targets.demand[:4], fleet.demand)


def test_a_pool_carries_its_own_load(fleet: Fleet) -> None:
    scaled = with_pools(fleet)
    decode, prefill = scaled.targets.workloads[0], scaled.targets.workloads[4]
    service = fleet.workloads[0]
    assert decode == replace(service, name=f"{service.name}-decode")
    assert (prefill.name, prefill.demand) == (f"{service.name}-prefill", PREFILL_LOAD)
    names = [spec.name for spec in service.indicators]
    load = fleet.values[0, :, names.index(PREFILL_LOAD)]
    np.testing.assert_array_equal(scaled.targets.demand[4], load)
    assert prefill.max_replicas >= load.max() / PREFILL_CAPACITY
    nodes = {pool.gpu_type: pool.n_nodes for pool in scaled.targets.node_pools()}
    before = {pool.gpu_type: pool.n_nodes for pool in fleet.node_pools()}
    assert nodes["A100"] > before.get("A100", 0)


def test_targets_are_summed_or_the_largest_taken_by_service(fleet: Fleet) -> None:
    scaled = with_pools(fleet)
    values = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
    assert scaled.total(values).tolist() == [11.0, 2.0, 3.0, 4.0]
    assert scaled.largest(values).tolist() == [10.0, 2.0, 3.0, 4.0]
    assert scaled.total(np.ones((5, 2))).tolist() == [[2.0, 2.0]] + [[1.0, 1.0]] * 3


def test_a_fleet_without_an_llm_service_has_no_pools(fleet: Fleet) -> None:
    plain = replace(
        fleet,
        workloads=tuple(replace(workload, kind="vision") for workload in fleet.workloads),
    )
    for scaled in (with_pools(plain), unsplit(fleet)):
        assert scaled.targets is scaled.services
        assert scaled.pools == ("",) * 4
        assert scaled.owner.tolist() == [0, 1, 2, 3]
