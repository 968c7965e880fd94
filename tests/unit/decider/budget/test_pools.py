"""A scarce budget and the pools of a service: none is raised by breaking the promise elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import Control, DecideConfig, Decision, ReplicaState, ShardRequest, decide_shard
from decider.stored.inputs import inputs_to_bytes
from decider.stored.replay import decision_bytes, replay_service
from tests.unit.decider.pool_cases import service, service_response, two_pools
from tests.unit.decider.shards import NOW_S, noisy
from tests.unit.decider.tables.soft_cases import sla

CONFIG = DecideConfig()


def scarce(
    levels: tuple[float, float], counts: tuple[int, int], seed: int, *, is_soft: bool
) -> ShardRequest:
    """A service that holds the whole budget: no GPU is free."""
    one = noisy(1.0, seed, n_paths=100, cv=0.3)
    other = noisy(1.0, seed + 1, n_paths=100, cv=0.3)
    paths = np.stack([levels[0] * one, levels[1] * (one if seed % 2 else other)])
    owners = [
        replace(w, replicas=ReplicaState(n, n))
        for w, n in zip(two_pools(sla("TimeFraction")), counts, strict=True)
    ]
    return service(
        paths, service_response(seed) if is_soft else None, owners, budgets={"H100": sum(counts)}
    )


@pytest.mark.slow
@given(
    first=st.integers(4, 30),
    second=st.integers(4, 30),
    load=st.tuples(st.floats(20.0, 300.0), st.floats(20.0, 300.0)),
    seed=st.integers(0, 100),
    is_soft=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_without_free_gpus_an_exchange_never_breaks_the_promise(
    first: int, second: int, load: tuple[float, float], seed: int, is_soft: bool
) -> None:
    request = scarce(load, (first, second), seed, is_soft=is_soft)
    decisions = decide_shard(request, CONFIG, NOW_S)
    assert sum(d.final for d in decisions) <= first + second
    one, other = decisions
    if (one.final - one.current) * (other.final - other.current) < 0:
        worst = max(one.risk_level or 0.0, _unmoved(request, decisions))
        assert (one.risk_after or 0.0) <= worst + 1e-9
    for row, d in enumerate(decisions):
        again = replay_service(inputs_to_bytes(request, row, d, CONFIG, NOW_S))
        assert [decision_bytes(a) for a in again] == [decision_bytes(b) for b in decisions]


def _unmoved(request: ShardRequest, decisions: tuple[Decision, ...]) -> float:
    """Joint risk had nobody been raised, and nobody been cut by the budget."""
    still = tuple(replace(w, control=Control(scale_in_only=True)) for w in request.workloads)
    kept = decide_shard(replace(request, workloads=still, gpu_budgets={}), CONFIG, NOW_S)
    return kept[0].risk_after or 0.0


def test_a_pool_with_replicas_to_spare_lends_them() -> None:
    request = scarce((200.0, 40.0), (20, 30), 4, is_soft=False)
    first, second = decide_shard(request, CONFIG, NOW_S)
    assert first.final > 20
    assert second.final < 30
    assert (first.risk_after or 1.0) < (first.risk_before or 0.0)


def test_the_minimum_of_a_schedule_is_not_lent_to_another_pool() -> None:
    """It comes before any budget, as a pool's own minimum does."""
    request = scarce((50.0, 180.0), (10, 25), 0, is_soft=False)
    first, second = request.workloads
    day = Control(schedule="day", schedule_min=15)
    for held in (
        replace(first, control=day),
        replace(first, limits=replace(first.limits, min_replicas=15)),
    ):
        one, other = decide_shard(replace(request, workloads=(held, second)), CONFIG, NOW_S)
        assert (one.final, other.final) == (15, 20)


def test_what_is_taken_back_says_why() -> None:
    seen = set()
    for seed in range(0, 40):
        request = scarce((150.0, 150.0), (16, 22), seed, is_soft=True)
        for d in decide_shard(request, CONFIG, NOW_S):
            if "the promise would break" in d.guard_trace[-1].detail:
                seen.add(d.workload)
                assert d.pools is not None
                assert d.fleet_cap == d.final
    assert seen in (set(), {"svc/prefill", "svc/decode"})
