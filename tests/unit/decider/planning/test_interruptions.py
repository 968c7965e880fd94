"""Decisions about replicas on spot nodes: laws, what is said of it, and storage."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    DecideConfig,
    Decision,
    Limits,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    SpotReplicas,
    decide_shard,
    decision_summary,
    decision_to_dict,
    inputs_to_bytes,
)
from decider.planning.interruptions import counts_through_losses
from decider.planning.outlook import look_ahead
from decider.stored.replay import decision_bytes, replay_decision
from decider.tables.survivors import RiskOf, SurvivalLaw
from decider.types import RISK_KINDS, RiskKind
from tests.unit.decider.planning.test_quiet import standing
from tests.unit.decider.shards import NOW_S, noisy, observed, shard, workload

CONFIG = DecideConfig()


def spot_shard(
    spot: SpotReplicas | None,
    *,
    ready: int = 12,
    kind: RiskKind = "TimeFraction",
    epsilon: float | None = 0.01,
    lead_s: float = 300.0,
    most: int = 60,
    log_multiplier: float | None = None,
) -> ShardRequest:
    owner = workload(
        replicas=ReplicaState(ready, ready, spot=spot),
        limits=Limits(1, most),
        sla=Sla(epsilon, kind),
        history=observed(100.0),
        risk=RiskState(log_multiplier=log_multiplier),
    )
    return shard(noisy(100.0), [owner], lead_s=lead_s)


def decided(request: ShardRequest) -> Decision:
    return decide_shard(request, CONFIG, NOW_S)[0]


@pytest.mark.parametrize("kind", RISK_KINDS)
def test_no_interruptions_change_nothing(kind: RiskKind) -> None:
    without = decision_bytes(decided(spot_shard(None, kind=kind)))
    for spot in (SpotReplicas(0, 0, 5.0, 10.0), SpotReplicas(8, 2, 0.0, 10.0)):
        assert decision_bytes(decided(spot_shard(spot, kind=kind))) == without


@given(
    rate=st.floats(1e-4, 2.0),
    factor=st.floats(1.0, 20.0),
    nodes=st.integers(1, 12),
    kind=st.sampled_from(RISK_KINDS),
    epsilon=st.sampled_from([0.001, 0.02, None]),
    lead_s=st.sampled_from([60.0, 900.0]),
    price=st.sampled_from([None, 2.0, 6.0]),
)
@settings(max_examples=40, deadline=None)
def test_more_interruptions_never_ask_for_fewer(
    rate: float,
    factor: float,
    nodes: int,
    kind: RiskKind,
    epsilon: float | None,
    lead_s: float,
    price: float | None,
) -> None:
    given_ = {"kind": kind, "epsilon": epsilon, "lead_s": lead_s, "log_multiplier": price}
    none, few, many = (
        decided(spot_shard(None if not r else SpotReplicas(12, nodes, 100.0 * r, 100.0), **given_))
        for r in (0.0, rate, rate * factor)
    )
    assert none.raw <= few.raw <= many.raw


def test_whole_nodes_are_held_for_a_promise() -> None:
    """A node of four goes once in ten hours: the count must do without it."""
    spot = SpotReplicas(12, 3, 40.0, 400.0)
    without, held = (decided(spot_shard(each, epsilon=0.001)) for each in (None, spot))
    assert without.raw + 3 <= held.raw <= without.raw + 4
    assert held.spot is not None
    assert held.spot.held == held.raw - without.raw


def test_replicas_apart_ask_for_fewer_than_those_that_go_together() -> None:
    apart, together = (decided(spot_shard(SpotReplicas(12, n, 40.0, 400.0))) for n in (12, 3))
    assert apart.raw < together.raw


def test_starts_that_take_no_time_need_nothing_held() -> None:
    spot = SpotReplicas(12, 3, 40.0, 400.0)
    quick = {"lead_s": 0.5}
    assert decided(spot_shard(spot, **quick)).raw == decided(spot_shard(None, **quick)).raw


def test_where_prices_alone_decide_nothing_is_held() -> None:
    spot = SpotReplicas(12, 3, 40.0, 400.0)
    held = decided(spot_shard(spot, epsilon=None))
    assert held.raw == decided(spot_shard(None, epsilon=None)).raw
    assert held.spot is not None
    assert held.spot.held == 0


def test_what_adds_little_near_the_level_asks_for_nothing() -> None:
    """A count that risks almost what it may: a replica more, and back, at each such moment."""
    rare = SpotReplicas(12, 12, 4.0, 400.0)
    request = spot_shard(rare, epsilon=0.02)
    outlook = look_ahead(request, standing(request), CONFIG)
    level = float(outlook.level[0])
    risks = {n: outlook.own_risk(0, n) for n in range(8, 16)}
    near = max((n for n in risks if risks[n] <= level), key=lambda n: risks[n])
    tight = replace(outlook, level=np.array([1.02 * risks[near]]))
    assert tight.risk_with_losses(0, near) > tight.level[0]
    assert counts_through_losses(request, tight, np.array([near])) == {0: near}


def test_a_replica_that_runs_goes_only_where_it_would_not_be_back_at_once() -> None:
    """Eleven are wanted. Thirteen bear the interruptions, fourteen what is twice as much."""
    found = {}
    for n in (12, 13, 14, 15, 20):
        request = spot_shard(SpotReplicas(n, n, 400.0, 400.0), ready=n, epsilon=0.02)
        outlook = look_ahead(request, standing(request), CONFIG)
        found[n] = counts_through_losses(request, outlook, np.array([11]))[0]
    assert found == {12: 13, 13: 13, 14: 14, 15: 14, 20: 14}


def test_the_bound_is_the_most_that_is_held() -> None:
    held = decided(spot_shard(SpotReplicas(12, 1, 400.0, 400.0), most=14))
    assert held.raw == 14
    assert held.final <= 14


def test_a_bound_far_beyond_what_is_needed_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A law of a hundred thousand nodes took a second of each decision."""
    asked: list[int] = []
    told = SurvivalLaw.expected

    def expected(law: SurvivalLaw, risk_of: RiskOf, replicas: int) -> float:
        asked.append(replicas)
        return told(law, risk_of, replicas)

    monkeypatch.setattr(SurvivalLaw, "expected", expected)
    for epsilon in (0.001, 0.02, None):
        far, near = (
            decided(spot_shard(SpotReplicas(12, 3, 40.0, 400.0), epsilon=epsilon, most=most))
            for most in (100_000, 60)
        )
        assert decision_bytes(far) == decision_bytes(near)
    assert max(asked) < 200


def test_the_risk_that_is_told_has_the_interruptions_in_it() -> None:
    request = spot_shard(SpotReplicas(12, 3, 40.0, 400.0))
    outlook = look_ahead(request, standing(request), CONFIG)
    plain = replace(outlook, survival={})
    counts = np.array([11])
    assert outlook.risk_at(counts)[0] > plain.risk_at(counts)[0]
    found = counts_through_losses(request, outlook, outlook.first())
    level = outlook.level[0]
    own = outlook.own_risk(0, int(outlook.first()[0]))
    assert outlook.risk_with_losses(0, found[0]) <= max(level, own) + 1e-9
    assert outlook.risk_with_losses(0, found[0] - 1) > max(level, own)


def test_it_is_said() -> None:
    held = decided(spot_shard(SpotReplicas(8, 2, 40.0, 400.0)))
    words = "of 12 replicas 8 run on spot nodes, of which one goes about each 5 h: "
    assert words in decision_summary(held)
    record = decision_to_dict(held)["spot"]
    assert held.spot is not None
    figures = {"replicas": 8, "ready": 12, "nodes": 2, "hours_between": 5.0}
    assert record == figures | {"held": held.spot.held}
    assert "spot" not in decision_to_dict(decided(spot_shard(None)))


@pytest.mark.parametrize("spot", [None, SpotReplicas(8, 2, 40.0, 400.0)])
def test_a_decision_is_made_again_from_what_is_stored(spot: SpotReplicas | None) -> None:
    request = spot_shard(spot)
    made = decided(request)
    blob = inputs_to_bytes(request, 0, made, CONFIG, NOW_S)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(made)


def test_company_does_not_change_it() -> None:
    spot = SpotReplicas(12, 3, 40.0, 400.0)
    alone = spot_shard(spot)
    owners = [workload("other", history=observed(30.0)), alone.workloads[0]]
    paths = np.stack([noisy(30.0, 1), alone.paths[0]])
    both = shard(paths, owners, lead_s=300.0)
    assert decision_bytes(decide_shard(both, CONFIG, NOW_S)[1]) == decision_bytes(decided(alone))


def test_a_record_without_spot_is_what_it_was() -> None:
    header = json.loads(decision_bytes(decided(spot_shard(None))))
    assert "spot" not in header
