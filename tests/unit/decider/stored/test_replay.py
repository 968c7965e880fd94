"""The same inputs give the same bytes, in any shard and after storage."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from safetensors.numpy import load as load_tensors, save as save_tensors

from decider import (
    Control,
    DecideConfig,
    DirectionRules,
    History,
    Limits,
    RatePolicy,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    decide_shard,
)
from decider.config import FallbackConfig
from decider.errors import ReplayMismatch
from decider.stored.input_bytes import unpacked
from decider.stored.inputs import inputs_to_bytes
from decider.stored.replay import decision_bytes, inputs_from_bytes, replay_decision
from tests.unit.decider.shards import NOW_S, noisy, observed, shard, workload
from tests.unit.decider.tables.load_cases import bound, load_shard, several
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard


def mixed_shard(seed: int, n: int = 5, budgets: dict[str, int | None] | None = None):
    rng = np.random.default_rng(seed)
    owners, paths = [], []
    for i in range(n):
        ready = int(rng.integers(0, 15))
        ages = tuple(float(a) for a in rng.uniform(0, 200, int(rng.integers(0, 4))))
        owners.append(
            workload(
                f"w{i}",
                replicas=ReplicaState(ready + len(ages), ready, ages),
                limits=Limits(0, int(rng.integers(15, 400))),
                sla=Sla([0.01, None, 0.05][i % 3], ["TimeFraction", "DemandFraction"][i % 2]),
                history=observed(*rng.uniform(0, 150, 5)),
                risk=RiskState(log_multiplier=[None, 3.0][int(rng.integers(2))]),
            )
        )
        paths.append(noisy(float(rng.uniform(1, 2000 if i == 4 else 200)), seed + i))
    lead = np.exp(np.log(90) + 0.4 * rng.standard_normal((n, 8)))
    capacity = 10 * np.exp(0.1 * rng.standard_normal((n, 8)))
    return shard(np.stack(paths), owners, lead_s=lead, capacity=capacity, budgets=budgets)


@given(
    seed=st.integers(0, 10_000),
    budget=st.sampled_from([None, 5, 40, 10_000]),
)
@settings(max_examples=15, deadline=None)
def test_every_decision_replays_to_the_same_bytes(seed: int, budget: int | None) -> None:
    config = DecideConfig()
    request = mixed_shard(seed, budgets={"H100": budget})
    decisions = decide_shard(request, config, NOW_S + 7.0)
    for row, decision in enumerate(decisions):
        blob = inputs_to_bytes(request, row, decision, config, NOW_S + 7.0)
        assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)


@given(seed=st.integers(0, 10_000), budget=st.sampled_from([None, 5, 40, 10_000]))
@settings(max_examples=15, deadline=None)
def test_decisions_by_a_response_replay_in_a_mixed_shard(seed: int, budget: int | None) -> None:
    config, request = DecideConfig(), with_responses(mixed_shard(seed, budgets={"H100": budget}))
    for row, decision in enumerate(decide_shard(request, config, NOW_S + 7.0)):
        blob = inputs_to_bytes(request, row, decision, config, NOW_S + 7.0)
        assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)
        (stored,) = inputs_from_bytes(blob)[0].responses or (None,)
        response = request.response(row)
        assert (stored is None) == (response is None)
        if stored is not None and response is not None:
            np.testing.assert_array_equal(stored.to_array(), response.to_array())


def test_inputs_tell_what_the_paths_of_a_response_were_spread_by() -> None:
    """Before decision record 0073 it was what the paths of all others are spread by."""
    request = with_responses(mixed_shard(3))
    now, before = DecideConfig(), DecideConfig(response_spread_sigma=DecideConfig().spread_sigma)
    old, new = (decide_shard(request, config, NOW_S) for config in (before, now))
    assert decision_bytes(old[0]) != decision_bytes(new[0])
    for config, decisions in ((before, old), (now, new)):
        for row, decision in enumerate(decisions):
            blob = inputs_to_bytes(request, row, decision, config, NOW_S)
            assert b"response_spread_sigma" not in unpacked(blob), "the release before reads it"
            assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)


@pytest.mark.parametrize("has_rise", [True, False])
def test_a_rise_within_the_minute_replays_and_of_earlier_decisions_there_was_none(
    has_rise: bool,
) -> None:
    """As many steps are kept as the last demand follows from."""
    rng = np.random.default_rng(1)
    seen = np.array([*(100.0 * (1.0 + 0.1 * rng.standard_normal(60))), 250.0])
    owner = workload(history=History(seen, NOW_S), forecast_origin_s=NOW_S - 15.0)
    request = replace(shard(np.zeros((50, 12)), [owner], lead_s=15.0), step_s=15.0)
    deviations = 2.5 if has_rise else np.inf
    config = replace(DecideConfig(), fallback=FallbackConfig(rise_deviations=deviations))
    (decision,) = decide_shard(request, config, NOW_S)
    assert decision.raw == (23 if has_rise else 14)
    raw = unpacked(inputs_to_bytes(request, 0, decision, config, NOW_S))
    tensors = load_tensors(raw)
    assert tensors["demand"].size == 24
    outer = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
    header = json.loads(outer["header"])
    if not has_rise:
        del header["config"]["fallback"]["rise_deviations"]
        del header["config"]["fallback"]["n_scatter"]
    blob = zlib.compress(save_tensors(tensors, metadata={"header": json.dumps(header)}))
    assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)


@pytest.mark.parametrize(("change_cost_step_s", "stored"), [(60.0, 2.0), (0.0, 0.5)])
def test_costs_of_changes_replay_and_earlier_decisions_by_those_of_their_step(
    change_cost_step_s: float, stored: float
) -> None:
    """Before decision record 0100 they were half a step, however short."""
    owner = workload(forecast_origin_s=NOW_S - 15.0)
    request = replace(shard(noisy(100.0), [owner], lead_s=15.0), step_s=15.0)
    config, other = (DecideConfig(change_cost_step_s=s) for s in (change_cost_step_s, 30.0))
    (decision,), (otherwise,) = (decide_shard(request, c, NOW_S) for c in (config, other))
    assert decision_bytes(decision) != decision_bytes(otherwise), "the costs matter here"
    blob = inputs_to_bytes(request, 0, decision, config, NOW_S)
    assert b"change_cost_step_s" not in unpacked(blob), "the release before reads it"
    back = inputs_from_bytes(blob)[1]
    assert (back.start_cost_steps, back.stop_cost_steps) == (stored, stored)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)


def far_reaching() -> ShardRequest:
    """Starts outlast the forecast, and the history has an outlier."""
    seen = 100.0 * noisy(1.0, 3, n_paths=1, horizon=120, cv=0.02)[0]
    seen[40] *= 100.0
    owner = workload(history=observed(*seen))
    return replace(shard(noisy(100.0, 5, cv=0.02), [owner], lead_s=20 * 300.0), reach=24)


def of_a_wide_range() -> ShardRequest:
    paths = noisy(100.0, 1)
    paths[0] *= 60.0
    return shard(paths, [workload(limits=Limits(1, 5_000), risk=RiskState(log_multiplier=4.0))])


def near_zero() -> ShardRequest:
    """Distances from the mean that are scaled fall below zero."""
    return shard(noisy(100.0, 2, cv=1.0), [workload(limits=Limits(1, 50))])


@pytest.mark.parametrize("made", [far_reaching, of_a_wide_range, near_zero])
@pytest.mark.parametrize("revision", [1, 2])
def test_a_decision_replays_by_the_tables_that_it_was_made_by(
    made: Callable[[], ShardRequest], revision: int
) -> None:
    """Before decision record 0109 they were others, and nothing was stored of it."""
    request = made()
    configs = [DecideConfig(revision=n, reactive_floor_ratio=0.0) for n in (revision, 3 - revision)]
    (decision,), (otherwise,) = (decide_shard(request, config, NOW_S) for config in configs)
    assert decision_bytes(decision) != decision_bytes(otherwise), "the tables matter here"
    blob = inputs_to_bytes(request, 0, decision, configs[0], NOW_S)
    assert (b"revision" in unpacked(blob)) == (revision > 1), "an earlier release wrote nothing"
    assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)


def test_tables_of_a_later_release_are_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    request = shard(noisy(100.0))
    (decision,) = decide_shard(request, DecideConfig(), NOW_S)
    blob = inputs_to_bytes(request, 0, decision, DecideConfig(), NOW_S)
    monkeypatch.setattr("decider.stored.replay.REVISION", 1)
    with pytest.raises(ReplayMismatch, match="revision=8: this version decides by 1 at most"):
        replay_decision(blob)


def test_steps_of_a_minute_or_more_do_not_know_of_rises() -> None:
    request = shard(noisy(100.0))
    (decision,) = decide_shard(request, DecideConfig(), NOW_S)
    raw = unpacked(inputs_to_bytes(request, 0, decision, DecideConfig(), NOW_S))
    assert b"rise_deviations" not in raw
    assert b"n_scatter" not in raw


def with_responses(request: ShardRequest) -> ShardRequest:
    """Every workload of a shard with a response, but for the second."""
    owners = tuple(
        replace(w, sla=replace(w.sla, good_share=0.95), requests_per_step=[np.inf, 400.0][i % 2])
        for i, w in enumerate(request.workloads)
    )
    drawn = [None if i == 1 else response(i) for i in range(len(owners))]
    return soft_shard(request.paths, drawn, list(owners), like=request)


def test_without_a_response_the_bytes_do_not_know_of_any() -> None:
    plain = shard(noisy(100.0))
    none = replace(
        plain,
        workloads=(replace(plain.workloads[0], requests_per_step=50.0),),
        responses=(None,),
    )
    (decision,) = decide_shard(plain, DecideConfig(), NOW_S)
    first, second = (
        inputs_to_bytes(given, 0, decision, DecideConfig(), NOW_S) for given in (plain, none)
    )
    assert first == second
    assert b"requests_per_step" not in unpacked(first)


def test_the_same_request_gives_the_same_bytes() -> None:
    first, second = (decide_shard(mixed_shard(1), DecideConfig(), NOW_S) for _ in range(2))
    assert [decision_bytes(d) for d in first] == [decision_bytes(d) for d in second]


def test_every_field_of_the_inputs_survives_storage() -> None:
    rules = DirectionRules(60.0, "Min", (RatePolicy("Pods", 3, 15.0),), 0.1)
    owner = workload(
        limits=Limits(1, 50, rules, rules, static_replicas=4),
        control=Control(paused_until_s=NOW_S + 5, schedule="night", schedule_max=9),
        history=History(
            np.array([1.0, np.nan, 3.25]), NOW_S, ((NOW_S - 5, -2),), ((NOW_S - 9, 4),)
        ),
        risk=RiskState(0.1, 2.5, 100.0, 3.3),
    )
    request = shard(noisy(100.0), [owner])
    config = DecideConfig(first_step_ratio=3.0, epsilons=(0.02,))
    (decision,) = decide_shard(request, config, NOW_S)
    back, back_config, now_s, _ = inputs_from_bytes(
        inputs_to_bytes(request, 0, decision, config, NOW_S)
    )
    # costs of changes are stored as they are for its own step
    assert back_config == replace(config, change_cost_step_s=0.0)
    assert now_s == NOW_S
    (stored,) = back.workloads
    blank = History()
    assert replace(stored, history=blank) == replace(owner, history=blank)
    np.testing.assert_array_equal(stored.history.demand, [3.25])  # the newest alone is looked at
    assert stored.history.changes == owner.history.changes
    np.testing.assert_array_equal(back.paths, request.paths)


def test_what_is_measured_is_stored_and_without_an_objective_nothing_of_it() -> None:
    """The bytes of a workload that has none stay what they were before there were objectives."""
    measured = workload(
        sla=Sla(0.01, good_share=0.95),
        risk=RiskState(measured_missed=3.0, measured_total=40.0, measured_steps=40.0),
    )
    headers = []
    for owner in (measured, workload()):
        request = shard(noisy(100.0), [owner])
        (decision,) = decide_shard(request, DecideConfig(), NOW_S)
        blob = inputs_to_bytes(request, 0, decision, DecideConfig(), NOW_S)
        stored = inputs_from_bytes(blob)[0].workloads[0]
        assert (stored.risk, stored.sla) == (owner.risk, owner.sla)
        headers.append(unpacked(blob))
    for name in (b"measured_steps", b"good_share"):
        assert [name in header for header in headers] == [True, False]


@pytest.mark.parametrize("blob", [b"", b"nonsense", b"\x80\x04pickle"])
def test_foreign_bytes_are_a_named_error(blob: bytes) -> None:
    with pytest.raises(ReplayMismatch, match="not a decision's inputs"):
        replay_decision(blob)


@pytest.mark.parametrize("sharing", ["long_run", "step"])
def test_the_first_format_is_read_where_it_shares_risk_as_now(
    monkeypatch: pytest.MonkeyPatch, sharing: str
) -> None:
    """Of its settings `sharing` and two of the risk control are no more."""
    request, config = shard(noisy(100.0)), DecideConfig()
    (decision,) = decide_shard(request, config, NOW_S)
    was = asdict(config) | {"sharing": sharing}
    was["risk"] |= {"pool_gain": 0.003, "exhausted_ratio": 0.5}
    del was["fallback"]["last_demand_s"], was["max_backlog_steps"]
    monkeypatch.setattr("decider.stored.inputs.FORMAT", 1)
    monkeypatch.setattr("decider.stored.inputs._settings", lambda *_: was)
    blob = inputs_to_bytes(request, 0, decision, config, NOW_S)
    if sharing == "long_run":
        assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)
        return
    with pytest.raises(ReplayMismatch, match="sharing='step'"):
        replay_decision(blob)


def test_another_format_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    request = shard(noisy(100.0))
    (decision,) = decide_shard(request, DecideConfig(), NOW_S)
    monkeypatch.setattr("decider.stored.inputs.FORMAT", 99)
    blob = inputs_to_bytes(request, 0, decision, DecideConfig(), NOW_S)
    with pytest.raises(ReplayMismatch, match="format 99"):
        replay_decision(blob)


def test_inputs_with_several_loads_replay() -> None:
    paths = noisy(100.0).astype(np.float16).astype(float)
    scales = (2.0, 3.7, 1e-3)
    further = np.stack([noisy(300.0, 1), noisy(1.5, 2)]).astype(np.float16).astype(float)
    further *= np.array(scales[1:])[:, None, None]
    for draws in (several(), None):
        owner = bound(sla=sla() if draws else workload().sla)
        plain = workload("plain", sla=owner.sla)
        one = load_shard(2.0 * paths, further, owner, draws)
        both = ShardRequest(
            (plain, owner),
            np.repeat(one.paths, 2, axis=0),
            np.repeat(one.capacity_draws, 2, axis=0),
            np.repeat(one.lead_time_draws_s, 2, axis=0),
            one.step_s,
            responses=(None, draws),
            further_paths=(None, further),
        )
        decisions = decide_shard(both, DecideConfig(), NOW_S)
        assert decisions[1].bound_by
        blob = inputs_to_bytes(both, 1, decisions[1], DecideConfig(), NOW_S)
        assert decision_bytes(replay_decision(blob)) == decision_bytes(decisions[1])
        back = inputs_from_bytes(blob)[0]
        assert back.workloads[0].further_capacity == owner.further_capacity
        np.testing.assert_array_equal(back.further_paths[0], further)
        # A workload of the same shard that has none is stored as it was before there were any.
        without = replace(both, responses=(), further_paths=())
        blobs = [
            inputs_to_bytes(given, 0, decisions[0], DecideConfig(), NOW_S)
            for given in (both, replace(without, workloads=(plain, plain)))
        ]
        assert blobs[0] == blobs[1]


def test_what_was_carried_is_stored_and_an_earlier_revision_does_not_look_at_it() -> None:
    """Decision record 0125: before it no scale-in was held for what replicas had carried."""
    request = shard(noisy(10.0))
    (first,) = request.workloads
    seen = History(np.full(12, 10.0), NOW_S)
    owner = replace(first, carried_load=1e-3, replicas=ReplicaState(40, 40), history=seen)
    request = replace(request, workloads=(owner,))
    (held,) = decide_shard(request, DecideConfig(), NOW_S)
    (before,) = decide_shard(request, DecideConfig(revision=3), NOW_S)
    assert held.final == 40
    assert before.final < 40
    blob = inputs_to_bytes(request, 0, held, DecideConfig(), NOW_S)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(held)
    plain = inputs_to_bytes(
        replace(request, workloads=(replace(owner, carried_load=None),)),
        0,
        before,
        DecideConfig(revision=3),
        NOW_S,
    )
    assert b"carried" not in unpacked(plain)
    assert b"borrowed" not in unpacked(plain)


@pytest.mark.parametrize("name", ["is_response_borrowed", "is_relearning"])
def test_that_it_is_so_is_stored_with_the_decision(name: str) -> None:
    request = shard(noisy(10.0))
    owner = replace(request.workloads[0], **{name: True})
    request = replace(request, workloads=(owner,))
    (made,) = decide_shard(request, DecideConfig(), NOW_S)
    blob = inputs_to_bytes(request, 0, made, DecideConfig(), NOW_S)
    assert getattr(inputs_from_bytes(blob)[0].workloads[0], name)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(made)
