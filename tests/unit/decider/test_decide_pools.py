"""Decisions about the pools of a service: their company, the ladder, the record, the replay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    DecideConfig,
    Decision,
    ReplicaState,
    RiskState,
    ShardRequest,
    decide_shard,
    decision_summary,
    decision_to_dict,
)
from decider.stored.input_bytes import unpacked
from decider.stored.inputs import inputs_to_bytes
from decider.stored.replay import decision_bytes, replay_decision, replay_service
from decider.types import RISK_KINDS, RiskKind
from tests.unit.decider.pool_cases import pool, service, service_response, two_pools
from tests.unit.decider.shards import NOW_S, noisy, observed, workload
from tests.unit.decider.tables.soft_cases import response, sla

CONFIG = DecideConfig()


def mixed(seed: int, kind: RiskKind, *, is_soft: bool) -> ShardRequest:
    """A service of two pools, the first with two loads, between plain workloads."""
    rng = np.random.default_rng(seed)
    states = [ReplicaState(int(n) + 2, int(n), (40.0,)) for n in rng.integers(3, 25, 4)]
    shared = {
        "sla": sla(kind, 0.02),
        "risk": RiskState(log_multiplier=[None, 3.0][seed % 2]),
        "requests_per_step": [np.inf, 900.0][seed % 2],
    }
    prefill = pool("prefill", replicas=states[0], **shared)
    assert prefill.pool is not None
    prefill = replace(
        prefill,
        pool=replace(prefill.pool, loads=(0, 2)),
        further_capacity=(40.0,),
        history=observed(90.0),
    )
    owners = [
        workload("plain", sla=sla(kind), replicas=states[2]),
        pool("decode", load=1, replicas=states[1], **shared),
        workload("other", sla=sla(kind), replicas=states[3]),
        prefill,
    ]
    paths = np.stack([noisy(float(rng.uniform(20, 200)), seed + i, n_paths=50) for i in range(4)])
    more = noisy(400.0, seed + 9, n_paths=50)[None]
    given = service(paths, None, owners, lead_s=np.exp(4.5 + 0.4 * rng.standard_normal((4, 8))))
    whole = service_response(seed, n_further=2)
    return replace(
        given,
        further_paths=(None, None, None, more),
        responses=(response(seed), whole, None, whole) if is_soft else (),
    )


def test_what_a_service_that_cannot_keep_its_promise_pays_is_not_up_to_its_company() -> None:
    """Others that looked for a price beyond the usual ones made it try them, too."""
    request = mixed(0, "AnyInWindow", is_soft=True)
    row = 1
    among_others = decide_shard(request, CONFIG, NOW_S)[row]
    alone = replay_decision(inputs_to_bytes(request, row, among_others, CONFIG, NOW_S))
    assert among_others.pools is not None
    assert alone.log_multiplier == among_others.log_multiplier
    assert decision_bytes(alone) == decision_bytes(among_others)


@pytest.mark.slow
@given(seed=st.integers(0, 1000), kind=st.sampled_from(RISK_KINDS), is_soft=st.booleans())
@settings(max_examples=15, deadline=None)
def test_every_pool_replays_to_the_same_bytes_from_one_blob(
    seed: int, kind: RiskKind, is_soft: bool
) -> None:
    request = mixed(seed, kind, is_soft=is_soft)
    decisions = decide_shard(request, CONFIG, NOW_S + 7.0)
    for row, d in enumerate(decisions):
        blob = inputs_to_bytes(request, row, d, CONFIG, NOW_S + 7.0)
        assert decision_bytes(replay_decision(blob)) == decision_bytes(d)
        of_service = [decisions[1], decisions[3]] if d.pools else [d]
        assert [decision_bytes(a) for a in replay_service(blob)] == [
            decision_bytes(b) for b in of_service
        ]


def test_a_plain_workload_s_inputs_do_not_know_of_pools() -> None:
    request = mixed(1, "DemandFraction", is_soft=True)
    plain = decide_shard(request, CONFIG, NOW_S)[0]
    assert b'"pool' not in unpacked(inputs_to_bytes(request, 0, plain, CONFIG, NOW_S))
    assert plain.pools is None
    assert "pool" not in decision_to_dict(plain)


@pytest.mark.parametrize("is_soft", [False, True])
def test_neighbours_are_decided_as_without_the_service(is_soft: bool) -> None:
    request = mixed(4, "DemandFraction", is_soft=is_soft)
    decisions = decide_shard(request, CONFIG, NOW_S)
    one = slice(0, 1)
    (alone,) = decide_shard(
        replace(
            request,
            workloads=request.workloads[one],
            paths=request.paths[one],
            capacity_draws=request.capacity_draws[one],
            lead_time_draws_s=request.lead_time_draws_s[one],
            responses=request.responses[one],
            further_paths=(),
        ),
        CONFIG,
        NOW_S,
    )
    assert decision_bytes(alone) == decision_bytes(decisions[0])


def test_without_a_forecast_of_one_pool_none_is_planned() -> None:
    paths = np.stack([noisy(100.0, 1), noisy(100.0, 2)])
    paths[1, 3, 2] = np.nan
    owners = [replace(w, history=observed(100.0)) for w in two_pools(sla())]
    first, second = decide_shard(service(paths, None, owners), CONFIG, NOW_S)
    assert first.rung == second.rung == "reactive"
    assert "pool decode: the forecast holds NaN" in first.guard_trace[0].detail
    assert first.risk_after is None
    assert first.plan == ()


def test_a_model_that_is_not_trusted_is_planned_with_for_all_pools() -> None:
    paths = np.stack([noisy(100.0, 1), noisy(100.0, 2)])
    owners = [replace(w, history=observed(100.0), is_model_trusted=False) for w in two_pools(sla())]
    request = service(paths, service_response(1), owners)
    decisions = decide_shard(request, CONFIG, NOW_S)
    assert [d.rung for d in decisions] == ["reactive", "reactive"]
    assert all(d.model_replicas is not None for d in decisions)
    assert decisions[0].next_log_multiplier == decisions[1].next_log_multiplier is not None
    blob = inputs_to_bytes(request, 1, decisions[1], CONFIG, NOW_S)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(decisions[1])


def decided(seed: int = 1) -> tuple[Decision, ...]:
    paths = np.stack([noisy(50.0, seed), noisy(300.0, seed + 1)])
    request = service(paths, service_response(seed), two_pools(sla(), spec=14))
    return decide_shard(request, CONFIG, NOW_S)


def test_the_record_tells_of_the_pools_together() -> None:
    first, second = decided()
    assert first.pools is not None
    assert [c.replicas for c in first.pools.counts] == [first.final, second.final]
    assert decision_to_dict(first)["pool"] == {
        "service": "svc",
        "name": "prefill",
        "replicas": {"prefill": first.final, "decode": second.final},
    }
    assert first.bound_by == second.bound_by
    assert sum(first.bound_by) == pytest.approx(1.0)
    assert first.expected_misses is not None
    assert second.expected_misses is not None
    shares = first.expected_misses.by_replicas
    assert shares[first.final] == pytest.approx(
        second.expected_misses.by_replicas[second.final], rel=1e-6
    )
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_the_summary_speaks_of_pools() -> None:
    first, _ = decided()
    words = decision_summary(first)
    assert "pool prefill beside decode" in words
    assert "mostly bound by pool" in words


def test_what_binds_is_named_by_pool() -> None:
    """A pool at its most replicas, far too few: all that is missed falls to its load."""
    paths = np.stack([noisy(50.0, 1), noisy(600.0, 2)])
    owners = two_pools(sla(), spec=14, most=15)
    _, second = decide_shard(service(paths, service_response(1), owners), CONFIG, NOW_S)
    assert second.bound_by[1] > 0.99
    assert "mostly bound by pool decode (load 1)" in decision_summary(second)
