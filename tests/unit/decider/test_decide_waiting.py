"""Decisions while requests wait: laws, what is said of it, storage, and the closed loop."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from safetensors.numpy import load as load_tensors, save as save_tensors

from decider import DecideConfig, Decision, Limits, Reason, ReplicaState, decide_shard
from decider.errors import InvalidConfig, InvalidRequest
from decider.explain import decision_summary, decision_to_dict
from decider.stored.input_bytes import unpacked
from decider.stored.inputs import inputs_to_bytes
from decider.stored.replay import decision_bytes, inputs_from_bytes, replay_decision
from decider.types import RISK_KINDS, RiskKind, RiskState
from tests.unit.decider.pool_cases import service, service_response, two_pools
from tests.unit.decider.queue_loop import QueueLoop, bad_steps
from tests.unit.decider.shards import NOW_S, STEP_S, noisy, observed, shard, workload
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard

CONFIG = DecideConfig()
FORGETFUL = replace(CONFIG, max_backlog_steps=0.0)
kinds = pytest.mark.parametrize("kind", RISK_KINDS)
waits = st.floats(0, 400)


def owner(kind: RiskKind = "TimeFraction", epsilon: float | None = 0.01, **changes):
    given_ = {"sla": sla(kind, epsilon), "limits": Limits(0, 500), "history": observed(100.0)}
    return workload(**(given_ | {"waiting_load": 0.0} | changes))


def decided(lead_steps: float = 0.2, config: DecideConfig = CONFIG, **changes) -> Decision:
    request = soft_shard(
        noisy(100.0, cv=0.15), [response()], [owner(**changes)], lead_s=lead_steps * STEP_S
    )
    return decide_shard(request, config, NOW_S)[0]


@kinds
def test_a_queue_that_is_not_known_is_not_guessed_at(kind: RiskKind) -> None:
    """Few replicas and a long lead time: a queue would grow, but none was seen."""
    held = {"kind": kind, "replicas": ReplicaState(5, 5), "waiting_load": None}
    with_memory, without = (decided(3.0, c, **held) for c in (CONFIG, FORGETFUL))
    assert decision_bytes(with_memory) == decision_bytes(without)
    seen = decided(3.0, **(held | {"waiting_load": 0.0}))
    assert decision_bytes(seen) != decision_bytes(without)


@kinds
def test_without_a_queue_and_with_ample_replicas_nothing_is_remembered(kind: RiskKind) -> None:
    held = {"kind": kind, "replicas": ReplicaState(30, 30)}
    for lead_steps in (0.2, 3.0):
        with_memory, without = (decided(lead_steps, c, **held) for c in (CONFIG, FORGETFUL))
        assert decision_bytes(with_memory) == decision_bytes(without)


def test_a_workload_without_a_response_has_no_queue() -> None:
    plain = shard(noisy(100.0), [workload(history=observed(100.0))])
    waiting = replace(plain, workloads=(replace(plain.workloads[0], waiting_load=80.0),))
    first, second = (decide_shard(one, CONFIG, NOW_S)[0] for one in (plain, waiting))
    assert decision_bytes(first) == decision_bytes(second)


@pytest.mark.slow
@given(
    less=waits,
    more=waits,
    ready=st.integers(0, 30),
    kind=st.sampled_from(RISK_KINDS),
    epsilon=st.sampled_from([0.001, 0.02, None]),
    lead_steps=st.sampled_from([0.2, 2.5]),
    price=st.sampled_from([None, 2.0, 5.0]),
)
@settings(max_examples=30, deadline=None)
def test_a_queue_never_asks_for_fewer(
    less: float,
    more: float,
    ready: int,
    kind: RiskKind,
    epsilon: float | None,
    lead_steps: float,
    price: float | None,
) -> None:
    """At a price of risk more of a queue may be worth less (0025), but never less than none."""
    held = {
        "kind": kind,
        "epsilon": epsilon,
        "replicas": ReplicaState(ready, ready),
        "risk": RiskState(log_multiplier=price),
    }
    none, some, many = (
        decided(lead_steps, waiting_load=load, **held) for load in (0.0, less, less + more)
    )
    assert none.raw <= min(some.raw, many.raw)
    if less > 0:
        assert some.counterfactuals["nothing_waiting"] == none.raw
    if epsilon is None:
        assert some.raw <= many.raw


@kinds
def test_the_floor_holds_what_came_last_and_what_waits(kind: RiskKind) -> None:
    """Whatever is forecast."""

    def floor(waiting_load: float, seen: float) -> Decision:
        given_ = owner(kind, history=observed(seen), waiting_load=waiting_load)
        return decide_shard(soft_shard(np.zeros((50, 6)), [response()], [given_]), CONFIG, NOW_S)[0]

    assert floor(60.0, 100.0).raw == floor(0.0, 160.0).raw > floor(0.0, 100.0).raw
    assert floor(60.0, 100.0).binding_constraint == "reactive_floor"
    assert floor(1e9, 100.0).raw == floor(0.0, 200.0).raw


def test_a_set_that_the_queue_fills_is_not_made_smaller() -> None:
    """The floor being off, and nothing forecast."""
    config = replace(CONFIG, reactive_floor_ratio=0.0)
    held = {"replicas": ReplicaState(24, 24), "limits": Limits(15, 500)}
    reasons = [
        decide_shard(
            soft_shard(np.zeros((50, 6)), [response()], [owner(waiting_load=load, **held)]),
            config,
            NOW_S,
        )[0].reason
        for load in (0.0, 100.0)
    ]
    assert reasons == [Reason.SCALE_DOWN_RISK_ALLOWS, Reason.HOLD_CONSOLIDATION]


def test_a_dead_service_asks_for_what_twice_the_demand_needs_and_no_more() -> None:
    dead = {"replicas": ReplicaState(0, 0), "epsilon": None}
    twice = owner(epsilon=None, replicas=ReplicaState(0, 0), history=observed(200.0))
    request = soft_shard(noisy(200.0, cv=0.15), [response()], [twice], lead_s=3.0 * STEP_S)
    most = decide_shard(request, FORGETFUL, NOW_S)[0].raw
    found = decided(3.0, waiting_load=1e9, **dead).raw
    assert found == decided(3.0, waiting_load=1e12, **dead).raw
    assert found <= most + 1


@kinds
def test_a_cold_start_counts_what_it_leaves_waiting(kind: RiskKind) -> None:
    cold = {"kind": kind, "replicas": ReplicaState(4, 4)}
    slow, forgetful = (decided(3.0, c, **cold).raw for c in (CONFIG, FORGETFUL))
    assert slow >= forgetful + 4
    assert decided(0.2, **cold).raw == decided(0.2, FORGETFUL, **cold).raw


def test_a_decision_says_what_waits_and_what_it_cost() -> None:
    found = decided(waiting_load=60.0, waiting_requests=37.0)
    record = decision_to_dict(found)
    assert record["queue"] == {"requests": 37.0, "load": 60.0}
    without = found.counterfactuals["nothing_waiting"]
    assert without == decided().raw < found.raw
    assert f"37 requests waiting ({without} replicas without)" in decision_summary(found)

    ample = decided(waiting_load=1e-3, waiting_requests=1.0)
    assert ample.counterfactuals["nothing_waiting"] == ample.raw
    assert "waiting" not in decision_summary(ample)
    assert "a load of 60 waiting" in decision_summary(decided(waiting_load=60.0))
    assert "queue" not in decision_to_dict(decided())
    assert "nothing_waiting" not in decided().counterfactuals


def test_at_its_most_a_workload_is_not_said_to_have_replicas_for_the_queue() -> None:
    """It holds its most with and without the queue, whatever lies beyond."""
    full = decided(waiting_load=60.0, limits=Limits(0, 8))
    assert full.raw > 8
    assert full.counterfactuals["nothing_waiting"] == full.raw
    assert "waiting" not in decision_summary(full)


def test_a_fallback_rung_answers_as_it_did() -> None:
    shadowed = decided(is_model_trusted=False, waiting_load=60.0)
    assert shadowed.raw == decided(is_model_trusted=False).raw
    assert shadowed.counterfactuals == {}


@pytest.mark.slow
@given(seed=st.integers(0, 200))
@settings(max_examples=10, deadline=None)
def test_queues_do_not_depend_on_company_and_replay(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.uniform(5, 900, 4)
    paths = np.stack([noisy(level, seed + i) for i, level in enumerate(levels)])
    owners = [
        replace(
            owner(kind, replicas=ReplicaState(n := int(rng.integers(0, 40)), n)),
            workload=f"w{i}",
            history=observed(float(levels[i])),
            waiting_load=float(rng.choice([0.0, 0.5])) * float(levels[i]),
        )
        for i, kind in enumerate((*RISK_KINDS, "TimeFraction"))
    ]
    drawn = [response(seed), response(seed + 1, slope=30.0), response(seed + 2), None]
    request = soft_shard(paths, drawn, owners, lead_s=2.2 * STEP_S)
    for row, decision in enumerate(decide_shard(request, CONFIG, NOW_S)):
        alone = soft_shard(paths[row], [drawn[row]], [owners[row]], lead_s=2.2 * STEP_S)
        assert decision_bytes(decide_shard(alone, CONFIG, NOW_S)[0]) == decision_bytes(decision)
        blob = inputs_to_bytes(request, row, decision, CONFIG, NOW_S)
        assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)
        (stored,) = inputs_from_bytes(blob)[0].workloads
        assert stored.waiting_load == owners[row].waiting_load


def test_the_queue_of_a_pool_raises_that_pool_and_replays() -> None:
    paths = np.stack([noisy(100.0), noisy(200.0, 1)])
    idle = service(paths, service_response(), two_pools(sla(), spec=8))
    waiting = replace(idle.workloads[0], waiting_load=80.0, history=observed(100.0))
    busy = replace(idle, workloads=(waiting, idle.workloads[1]))
    quiet, queued = (decide_shard(one, CONFIG, NOW_S) for one in (idle, busy))
    assert queued[0].raw >= quiet[0].raw + 3
    assert queued[0].counterfactuals["nothing_waiting"] == quiet[0].raw
    assert queued[1].queue is None
    for row, decision in enumerate(queued):
        blob = inputs_to_bytes(busy, row, decision, CONFIG, NOW_S)
        assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)


def test_bytes_without_a_queue_do_not_know_of_any() -> None:
    plain = shard(noisy(100.0))
    (decision,) = decide_shard(plain, CONFIG, NOW_S)
    raw = unpacked(inputs_to_bytes(plain, 0, decision, CONFIG, NOW_S))
    assert b"waiting" not in raw
    assert b"backlog" not in raw
    soft = soft_shard(noisy(100.0), [response()], [owner(waiting_load=None)])
    (decision,) = decide_shard(soft, CONFIG, NOW_S)
    assert b"waiting" not in unpacked(inputs_to_bytes(soft, 0, decision, CONFIG, NOW_S))


def test_what_was_decided_before_queues_were_remembered_replays_so() -> None:
    cold = owner(replicas=ReplicaState(4, 4))
    request = soft_shard(noisy(100.0), [response()], [cold], lead_s=3.0 * STEP_S)
    (decision,) = decide_shard(request, FORGETFUL, NOW_S)
    assert decision_bytes(decision) != decision_bytes(decide_shard(request, CONFIG, NOW_S)[0])
    raw = unpacked(inputs_to_bytes(request, 0, decision, CONFIG, NOW_S))
    outer = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
    header = json.loads(outer["header"])
    del header["config"]["max_backlog_steps"]
    older = save_tensors(load_tensors(raw), metadata={"header": json.dumps(header)})
    assert decision_bytes(replay_decision(zlib.compress(older))) == decision_bytes(decision)


@pytest.mark.parametrize("load", [-1.0, float("nan"), float("inf")])
def test_impossible_queues_are_refused(load: float) -> None:
    with pytest.raises(InvalidRequest, match=r"w: waiting_load=.* must be finite and >= 0"):
        owner(waiting_load=load)
    with pytest.raises(InvalidConfig, match="max_backlog_steps"):
        DecideConfig(max_backlog_steps=load)


def burst(t: int) -> float:
    """Thrice the demand for three steps."""
    return 300.0 if 8 <= t < 11 else 100.0


def test_after_a_burst_the_queue_is_worked_off_sooner_with_a_memory() -> None:
    steep = response(1, slope=40.0)
    loops = [
        QueueLoop(burst, 3, c, t, draws=steep).run(24)
        for c, t in ((CONFIG, True), (FORGETFUL, False))
    ]
    remembered, forgot = (bad_steps(loop, range(8, 24)) for loop in loops)
    assert remembered <= forgot - 4
    assert sum(loops[0].counts) < 1.4 * sum(loops[1].counts)


def test_a_cold_start_is_out_of_sla_for_less_time_with_a_memory() -> None:
    steep = response(1, slope=40.0)
    loops = [
        QueueLoop(lambda _t: 100.0, 4, c, t, ready=2, draws=steep).run(18)
        for c, t in ((CONFIG, True), (FORGETFUL, False))
    ]
    remembered, forgot = (bad_steps(loop, range(18)) for loop in loops)
    assert remembered <= forgot - 4


@kinds
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_hung_service_keeps_its_replicas_while_requests_wait(
    kind: RiskKind, level: float
) -> None:
    """What is served falls to nothing then, and so does a demand that is counted by it."""
    history = observed(*[100.0] * 7, *[0.0] * 5)
    held = {"sla": sla(kind), "limits": Limits(1, 60), "replicas": ReplicaState(16, 16)}

    def final(waiting: float, config: DecideConfig = CONFIG) -> int:
        own = workload(history=history, waiting_load=waiting, **held)
        request = soft_shard(noisy(level, cv=0.15), [response()], [own])
        return decide_shard(request, config, NOW_S)[0].final

    assert final(400.0) == 16
    assert final(0.0) < 6
    assert final(400.0, replace(CONFIG, revision=7)) < 6
