"""A forecast that is not trusted: a rung below answers, and what it asked for is recorded."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from safetensors.numpy import load as load_tensors, save as save_tensors

from decider import (
    DecideConfig,
    Decision,
    Limits,
    Reason,
    ReplicaState,
    RiskState,
    Sla,
    SpotReplicas,
    TrailingRule,
    decide_shard,
)
from decider.errors import InvalidConfig
from decider.explain import decision_to_dict
from decider.stored.input_bytes import unpacked
from decider.stored.inputs import inputs_to_bytes
from decider.stored.replay import decision_bytes, inputs_from_bytes, replay_decision
from tests.unit.decider.shards import NOW_S, STEP_S, noisy, observed, shard, workload

CONFIG = DecideConfig()
DEMAND = observed(*[80.0, 90.0] * 10)
WHY = "the model's counts cost more"


def distrusted(**changes: Any):
    return workload(history=DEMAND, is_model_trusted=False, trust_reason=WHY, **changes)


def decide(owner: Any, paths: np.ndarray | None = None, config: DecideConfig = CONFIG):
    return decide_shard(shard(noisy(150.0) if paths is None else paths, [owner]), config, NOW_S)[0]


def test_the_trailing_rung_answers_and_the_trace_says_why() -> None:
    decision = decide(distrusted())
    assert decision.rung == "trailing_percentile"
    assert decision.raw == 10  # 90 with a margin of 10 % on 10 each
    assert decision.reason is Reason.HOLD_FALLBACK
    assert decision.guard_trace[0].detail == f"the model is not trusted: {WHY}"
    assert (decision.risk_after, decision.plan, decision.counterfactuals) == (None, (), {})


def test_what_the_model_asked_for_is_what_it_would_have_been_given() -> None:
    trusted = decide(workload(history=DEMAND))
    assert trusted.rung == "forecast"
    assert trusted.model_replicas is None
    shadow = decide(distrusted())
    assert shadow.model_replicas == trusted.raw > 15
    assert decision_to_dict(shadow)["model_replicas"] == trusted.raw
    assert "model_replicas" not in decision_to_dict(trusted)


def test_what_the_model_asked_for_because_spot_nodes_may_go_is_told_apart() -> None:
    """It is judged beside a rung that holds nothing for them."""
    seen: dict[str, Any] = {"history": DEMAND, "sla": Sla(0.001)}
    on_spot = {"replicas": ReplicaState(12, 12, spot=SpotReplicas(12, 3, 40.0, 400.0))}
    shadow = {"is_model_trusted": False, "trust_reason": WHY}

    def slow(**changes: Any) -> Decision:
        owner = workload(**(seen | {"replicas": ReplicaState(12, 12)} | changes))
        return decide_shard(shard(noisy(150.0), [owner], lead_s=300.0), CONFIG, NOW_S)[0]

    elsewhere, found, trusted = slow(**shadow), slow(**shadow, **on_spot), slow(**on_spot)
    assert found.model_held > 0
    assert found.model_replicas is not None
    assert found.model_replicas - found.model_held == elsewhere.model_replicas
    assert decision_to_dict(found)["model_held"] == found.model_held
    assert "model_held" not in decision_to_dict(elsewhere)
    assert trusted.model_held == 0
    assert trusted.spot is not None
    assert trusted.spot.held == found.model_held


def test_the_floor_is_part_of_what_the_model_asked_for() -> None:
    useless = np.zeros((50, 6))
    assert decide(distrusted(), useless).model_replicas == 9
    off = replace(CONFIG, reactive_floor_ratio=0.0)
    assert decide(distrusted(), useless, off).model_replicas == 1


def test_the_rule_that_was_judged_is_the_one_that_answers() -> None:
    history = observed(*[200.0] * 12, *[80.0] * 20)
    long = replace(distrusted(), history=history, trailing_rule=TrailingRule(32, 1.0, 0.0))
    short = replace(long, trailing_rule=TrailingRule(12, 1.0, 0.5))
    assert decide(long).raw == 20
    assert decide(short).raw == 12


def test_without_a_usable_forecast_there_is_nothing_to_record() -> None:
    broken = np.full((50, 6), np.nan)
    decision = decide(distrusted(), broken)
    assert decision.model_replicas is None
    assert decision.guard_trace[0].detail.startswith("the forecast holds NaN")
    stale = decide(distrusted(forecast_origin_s=NOW_S - 20 * STEP_S))
    assert stale.model_replicas is None
    assert "stale" in stale.guard_trace[0].detail


def test_without_recent_demand_the_ladder_goes_on_down() -> None:
    owner = replace(distrusted(), history=observed(), limits=Limits(1, 60, static_replicas=14))
    decision = decide(owner)
    assert (decision.rung, decision.raw) == ("static", 14)
    assert decision.guard_trace[0].detail == (
        f"the model is not trusted: {WHY}; demand is unknown or stale"
    )


def test_the_price_of_risk_goes_on_with_the_models_own_counts() -> None:
    """Else the model would be judged by a price that was frozen when it was demoted."""
    state = RiskState(log_multiplier=3.0)
    trusted = decide(workload(history=DEMAND, risk=state))
    shadow = decide(distrusted(risk=state))
    assert trusted.final == trusted.raw
    assert shadow.next_log_multiplier == trusted.next_log_multiplier != 3.0
    assert shadow.log_multiplier is None


def test_a_distrusted_neighbour_changes_nothing_for_the_others() -> None:
    paths = np.stack([noisy(150.0, 1), noisy(150.0, 2)])
    own = workload("a", history=DEMAND)
    alone = decide_shard(shard(paths[:1], [own]), CONFIG, NOW_S)[0]
    beside, _ = decide_shard(shard(paths, [own, distrusted()]), CONFIG, NOW_S)
    assert decision_bytes(beside) == decision_bytes(alone)


@given(
    st.integers(0, 100_000),
    st.sampled_from([None, TrailingRule(12, 0.9, 0.25)]),
    st.sampled_from([None, 5, 40]),
)
@settings(max_examples=20, deadline=None)
def test_decisions_of_distrusted_models_replay_to_the_same_bytes(
    seed: int, rule: TrailingRule | None, budget: int | None
) -> None:
    rng = np.random.default_rng(seed)
    owners = [
        replace(
            distrusted(trailing_rule=rule, risk=RiskState(log_multiplier=2.0)),
            workload=f"w{i}",
            history=observed(*rng.uniform(0, 200, 20)),
            is_model_trusted=i == 2,
        )
        for i in range(3)
    ]
    paths = np.stack([noisy(float(rng.uniform(1, 300)), seed + i) for i in range(3)])
    request = shard(paths, owners, budgets={"H100": budget})
    for row, decision in enumerate(decide_shard(request, CONFIG, NOW_S)):
        blob = inputs_to_bytes(request, row, decision, CONFIG, NOW_S)
        (back,) = inputs_from_bytes(blob)[0].workloads
        assert back.is_model_trusted is (row == 2)
        assert (back.trust_reason, back.trailing_rule) == (WHY, rule)
        assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)


def test_inputs_from_before_there_was_a_gate_are_trusted() -> None:
    request = shard(noisy(150.0), [workload(history=DEMAND)])
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    blob = inputs_to_bytes(request, 0, decision, CONFIG, NOW_S)
    raw = unpacked(blob)
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(json.loads(raw[8 : 8 + size])["__metadata__"]["header"])
    for name in ("is_model_trusted", "trust_reason", "trailing_rule"):
        del header["workload"][name]
    old = zlib.compress(save_tensors(load_tensors(raw), metadata={"header": json.dumps(header)}))
    assert decision_bytes(replay_decision(old)) == decision_bytes(decision)


@pytest.mark.parametrize("rule", [(0, 0.9, 0.0), (12, 1.1, 0.0), (12, 0.9, -0.1)])
def test_impossible_rules_are_refused(rule: tuple[int, float, float]) -> None:
    with pytest.raises(InvalidConfig):
        TrailingRule(*rule)
