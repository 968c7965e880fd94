"""Several loads of a path as one demand: exact, joint, and nothing new where there is one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import Limits, ReplicaState, decide_shard, equivalent_demand
from decider.config import DecideConfig
from decider.tables.candidates import candidate_range
from decider.tables.load_paths import LoadPaths, UsablePaths
from decider.tables.pairing import Spreading, paired_draws
from decider.tables.scenarios import make_scenarios, step_tables
from decider.tables.soft_response import soft_responses, top_need
from decider.tables.soft_tables import soften
from decider.types import RISK_KINDS, FloatArray, RiskKind, ShardRequest
from tests.unit.decider.shards import NOW_S, noisy, workload
from tests.unit.decider.tables.load_cases import (
    STATED,
    bound,
    further_paths,
    load_shard,
    several,
)
from tests.unit.decider.tables.soft_cases import one_risk, response, sla, soft_shard

CONFIG = DecideConfig()


def by_hand(request: ShardRequest, spreading: Spreading) -> FloatArray:
    """(N, H) equivalent demand, scenario by scenario, in double precision."""
    paths, further = request.paths[0], request.further_paths[0]
    assert further is not None
    loads = spreading.scenarios(np.concatenate([paths[None], further]))
    n = loads.shape[1]
    draws = request.responses[0] if request.responses else None
    capacity = request.capacity_draws[0]
    rows = []
    for s in range(n):
        if draws is None:
            p = paired_draws(capacity.size, n)[s]
            own, sharing = np.array([capacity[p], *request.workloads[0].further_capacity]), np.inf
        else:
            p = paired_draws(draws.capacity.size, n)[s]
            own = np.array([draws.capacity[p], *draws.further[p]])
            sharing = float(draws.sharing[p])
        rows.append(equivalent_demand(loads[:, s].T, own, sharing))
    return np.array(rows)


@given(
    seed=st.integers(0, 500),
    n_further=st.integers(1, 3),
    n_pairs=st.integers(1, 3),
    sharing=st.sampled_from([None, 1.0, 3.0, 50.0]),
)
@settings(max_examples=25, deadline=None)
def test_scenarios_hold_what_each_path_takes_with_its_draw(
    seed: int, n_further: int, n_pairs: int, sharing: float | None
) -> None:
    paths = noisy(100.0, seed, n_paths=15, horizon=3, cv=0.4)
    paths[:4, 1] = 0.0
    further = further_paths(paths, n_further, seed)
    further[:, 2:6, 2] = 0.0
    draws = several(seed, n_further, sharing=sharing)
    for given_draws in (draws, None):
        owner = bound(n_further, sla=sla() if given_draws else workload().sla)
        request = load_shard(paths, further, owner, given_draws)
        spread = Spreading(n_pairs, 0.0 if given_draws else 0.5)  # a response is soft by itself
        found = make_scenarios(request, request.paths, Spreading(n_pairs, 0.5), {0: further})
        np.testing.assert_allclose(found.demand[0], by_hand(request, spread), rtol=3e-6)
        assert np.array_equal(found.raw[0], spread.scenarios(request.paths)[0])


def tables(request: ShardRequest):
    """Scenarios, grid and the soft tables of a shard of one."""
    further = request.further_paths[0]
    assert further is not None
    scenarios = make_scenarios(request, request.paths, Spreading(1, 0.5), {0: further})
    soft = soft_responses(request)
    top = top_need(soft, scenarios.demand)
    grid = candidate_range(request.workloads, scenarios.need, 64, top_need=top).grid()
    return scenarios, grid, soften(soft, scenarios, grid, step_tables(scenarios, grid))


@given(seed=st.integers(0, 500), kind=st.sampled_from(RISK_KINDS), n_further=st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_tables_are_what_brute_force_says(seed: int, kind: RiskKind, n_further: int) -> None:
    """The expectation over joint paths and draws; `unmet` weighs by requests, not by use."""
    paths = noisy(100.0, seed, n_paths=12, horizon=2, cv=0.4)
    owner = bound(
        n_further,
        sla=sla(kind),
        limits=Limits(0, 100),
        replicas=ReplicaState(0, 0),
        requests_per_step=30.0,
    )
    draws = several(seed, n_further)
    request = load_shard(paths, further_paths(paths, n_further, seed), owner, draws)
    _, grid, found = tables(request)
    equivalent, counts = by_hand(request, Spreading()), grid.counts[0]
    total = draws.concentration * (1 - 1 / 30) / (1 + draws.concentration / 30)
    picked = paired_draws(draws.capacity.size, 12)
    risk = np.array(
        [
            [
                [
                    one_risk(draws, int(p), owner, float(total[p]), equivalent[s, h], int(k))
                    for k in counts
                ]
                for h in range(2)
            ]
            for s, p in enumerate(picked)
        ]
    )
    np.testing.assert_allclose(found.violation[0], risk.mean(axis=0), atol=1e-3)
    weight = (paths / paths.mean())[:, :, None]
    np.testing.assert_allclose(found.unmet[0], (risk * weight).mean(axis=0), atol=1e-3)


def test_without_a_response_unmet_is_the_demand_that_arrives_while_any_load_is_too_much() -> None:
    paths = noisy(100.0, 3, n_paths=40, horizon=2, cv=0.3)
    request = load_shard(paths, further_paths(paths), bound())
    scenarios, grid, found = tables(request)
    for k, count in enumerate(grid.counts[0]):
        is_out = scenarios.need[0] > count
        unmet = (is_out * paths).mean(axis=0) / paths.mean()
        np.testing.assert_allclose(found.unmet[0, :, k], unmet, atol=1e-9)
        np.testing.assert_allclose(found.violation[0, :, k], is_out.mean(axis=0), atol=1e-9)


def test_the_tightest_stated_capacity_is_exact_at_the_edge() -> None:
    """20 replicas hold 20 times what one holds of each load, to the last bit."""
    paths = np.full((4, 2), 0.1)
    further = np.array(STATED)[:, None, None] * np.full((3, 4, 2), 20.0)
    request = load_shard(paths, further, bound(3))
    scenarios = make_scenarios(request, request.paths, Spreading(1, 0.0), {0: further})
    assert (scenarios.need == 20.0).all()


def decided(paths: FloatArray, further: FloatArray, sharing: float | None = None) -> int:
    owner = bound(further.shape[0], sla=sla(), limits=Limits(1, 400))
    draws = several(n_further=further.shape[0], spread=0.0, sharing=sharing)
    return decide_shard(load_shard(paths, further, owner, draws), CONFIG, NOW_S)[0].final


def test_paths_permuted_together_decide_the_same_and_one_alone_another() -> None:
    """Where loads are high together, they use more: their joint law decides."""
    rng = np.random.default_rng(0)
    base = np.exp(0.35 * rng.standard_normal((200, 6)))
    paths, further = 100.0 * base, 400.0 * 10.0 * base[None]
    order = rng.permutation(200)
    together = decided(paths, further, sharing=1.0)
    # Paths are paired with spread factors in their order: to one replica.
    assert abs(decided(paths[order], further[:, order], sharing=1.0) - together) <= 1
    assert decided(paths, further[:, order], sharing=1.0) <= together - 3
    opposed = further[:, np.argsort(paths[:, 0])[::-1][np.argsort(np.argsort(paths[:, 0]))]]
    assert decided(paths, opposed, sharing=1.0) < together


def test_with_equal_draws_and_one_scenario_a_path_the_order_of_paths_is_nothing() -> None:
    paths = noisy(100.0, 5, n_paths=60, horizon=4, cv=0.3)
    further, order = further_paths(paths), np.random.default_rng(0).permutation(60)
    owner, draws = bound(sla=sla()), several(spread=0.0)
    first = tables(load_shard(paths, further, owner, draws))[2]
    second = tables(load_shard(paths[order], further[:, order], owner, draws))[2]
    np.testing.assert_allclose(first.violation, second.violation, atol=1e-5)
    np.testing.assert_allclose(first.unmet, second.unmet, atol=1e-5)


def test_more_of_any_load_never_takes_fewer_replicas_and_more_sharing_never_fewer() -> None:
    paths = noisy(100.0, 1, cv=0.2)
    further = further_paths(paths)
    least = decided(paths, further, sharing=2.0)
    assert decided(1.3 * paths, further, sharing=2.0) >= least
    for g in range(2):
        more = further.copy()
        more[g] *= 1.3
        assert decided(paths, more, sharing=2.0) >= least
    at_one, at_fifty = (decided(paths, further, sharing=s) for s in (1.0, 50.0))
    assert at_one > least > at_fifty


def test_loads_that_are_nothing_change_no_more_than_rounding() -> None:
    """Rows without further loads are untouched by one with them, byte for byte."""
    paths = np.stack([noisy(100.0, i) for i in range(2)])
    owners = [workload("plain", sla=sla()), bound(sla=sla())]
    draws = [response(1), several(2)]
    request = soft_shard(paths, draws, owners)  # type: ignore[arg-type]
    further = np.zeros((2, *paths.shape[1:]))
    mixed = make_scenarios(request, request.paths, Spreading(3, 0.5), {1: further})
    alone = make_scenarios(request, request.paths, Spreading(3, 0.5))
    assert mixed.demand[0].tobytes() == alone.demand[0].tobytes()
    assert mixed.need[0].tobytes() == alone.need[0].tobytes()
    np.testing.assert_allclose(mixed.demand[1], alone.demand[1], rtol=1e-6)
    assert alone.raw is alone.demand


def test_shares_of_a_step_are_those_of_each_load_alone() -> None:
    paths = noisy(100.0, 2, n_paths=20, horizon=3)
    further = further_paths(paths)
    request = load_shard(paths, further, bound())
    loads = LoadPaths.of(request, 0, UsablePaths(paths, further), Spreading())
    shares = loads.shares(1)
    assert shares[0] == pytest.approx(paths[:, 1] / 10.0)
    assert shares[2] == pytest.approx(further[1, :, 1] / STATED[1])
