"""Decisions about pools whose replicas are on spot nodes: one promise over all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    DecideConfig,
    Decision,
    Hardware,
    ReplicaState,
    RiskState,
    ShardRequest,
    SpotReplicas,
    decide_shard,
    decision_summary,
    decision_to_dict,
    inputs_to_bytes,
)
from decider.planning.interruptions import SMALL, counts_through_losses
from decider.planning.outlook import Outlook, look_ahead
from decider.stored.replay import decision_bytes, replay_decision, replay_service
from decider.tables.survivors import RiskOf, SurvivalLaw
from decider.types import RISK_KINDS, RiskKind
from tests.unit.decider.planning.test_quiet import standing
from tests.unit.decider.pool_cases import service, service_response, two_pools
from tests.unit.decider.shards import NOW_S, noisy, observed
from tests.unit.decider.tables.soft_cases import sla

CONFIG = DecideConfig()
OFTEN = SpotReplicas(12, 3, 40.0, 400.0)
"""Three nodes of four replicas, each of which goes about once in ten hours."""


def spot_service(
    *spot: SpotReplicas | None,
    kind: RiskKind = "TimeFraction",
    epsilon: float | None = 0.01,
    prices: tuple[float, float] = (2.0, 2.0),
    is_soft: bool = False,
    most: int = 60,
    lead_s: float = 300.0,
    log_multiplier: float | None = None,
    seed: int = 1,
) -> ShardRequest:
    """Prefill and decode with the same load, 12 replicas each."""
    owners = [
        replace(
            one,
            replicas=ReplicaState(12, 12, spot=on_spot),
            hardware=Hardware("H100", 1, price),
            history=observed(100.0),
            risk=RiskState(log_multiplier=log_multiplier),
        )
        for one, on_spot, price in zip(
            two_pools(sla(kind, epsilon), spec=12, most=most), spot, prices, strict=True
        )
    ]
    paths = np.stack([noisy(100.0, seed), noisy(100.0, seed + 1)])
    drawn = service_response(seed) if is_soft else None
    if drawn is not None:
        drawn = replace(drawn, further=drawn.further / 2.0)
    return service(paths, drawn, owners, lead_s=lead_s)


def decided(request: ShardRequest) -> tuple[Decision, ...]:
    return decide_shard(request, CONFIG, NOW_S)


def raw(request: ShardRequest) -> list[int]:
    return [one.raw for one in decided(request)]


def outlook_of(request: ShardRequest) -> Outlook:
    return look_ahead(request, standing(request), CONFIG)


@pytest.mark.parametrize("kind", RISK_KINDS)
def test_no_interruptions_change_nothing(kind: RiskKind) -> None:
    without = [decision_bytes(d) for d in decided(spot_service(None, None, kind=kind))]
    for spot in (SpotReplicas(0, 0, 5.0, 10.0), SpotReplicas(8, 2, 0.0, 10.0)):
        found = decided(spot_service(spot, spot, kind=kind))
        assert [decision_bytes(d) for d in found] == without


@given(
    rates=st.tuples(*(st.sampled_from([0.0, 0.01, 0.3, 2.0]) for _ in range(2))),
    nodes=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kind=st.sampled_from(RISK_KINDS),
    epsilon=st.sampled_from([0.001, 0.02, None]),
    is_soft=st.booleans(),
    price=st.sampled_from([None, 3.0]),
    most=st.sampled_from([16, 60]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_what_is_held_keeps_the_joint_promise(
    rates: tuple[float, float],
    nodes: tuple[int, int],
    kind: RiskKind,
    epsilon: float | None,
    is_soft: bool,
    price: float | None,
    most: int,
    seed: int,
) -> None:
    spot = [SpotReplicas(12, n, 100.0 * rate, 100.0) for n, rate in zip(nodes, rates, strict=True)]
    request = spot_service(
        *spot,
        kind=kind,
        epsilon=epsilon,
        is_soft=is_soft,
        log_multiplier=price,
        most=most,
        seed=seed,
    )
    outlook = outlook_of(request)
    wanted = outlook.first()
    found = counts_through_losses(request, outlook, wanted)
    assert set(found) == ({0, 1} if any(rates) else set())
    if not found:
        return
    held = np.array([found[0], found[1]])
    assert (held >= wanted).all()
    assert (held <= np.maximum(wanted, most)).all()
    (one,) = outlook.services
    level = outlook.level_of_step(request, 0)
    allowed = max(level, outlook.joint_risk(one, wanted, 0.0))

    def is_kept(counts: np.ndarray) -> bool:
        total = outlook.joint_risk(one, counts)
        return total <= allowed + 1e-9 or total - outlook.joint_risk(one, counts, 0.0) <= (
            SMALL * level + 1e-9
        )

    if (held < most).all():
        assert is_kept(held)
    if (held > np.maximum(wanted, 12)).any():  # 12 run: those are not let go for a little
        assert not is_kept(wanted)


def test_whole_nodes_are_held_for_the_pool_that_is_on_spot_nodes() -> None:
    without = raw(spot_service(None, None, epsilon=0.001))
    first, second = raw(spot_service(OFTEN, None, epsilon=0.001))
    assert without[0] + 3 <= first <= without[0] + 5
    assert without[1] <= second <= without[1] + 1


def test_both_hold_what_keeps_the_promise_of_both() -> None:
    request = spot_service(OFTEN, OFTEN)
    outlook = outlook_of(request)
    wanted = outlook.first()
    found = counts_through_losses(request, outlook, wanted)
    assert found[0] > wanted[0]
    assert found[1] > wanted[1]
    (one,) = outlook.services
    level = outlook.level[0]
    assert outlook.joint_risk(one, np.array([found[0], found[1]])) <= level + 1e-9
    assert outlook.joint_risk(one, np.array([found[0] - 1, found[1] - 1])) > level
    assert outlook.joint_risk(one, np.array([found[0], found[1]]), 0.0) < level


def test_the_dearer_pool_holds_less() -> None:
    spot = SpotReplicas(12, 12, 1200.0, 400.0)
    dear, cheap = raw(spot_service(spot, spot, prices=(8.0, 1.0)))
    assert dear < cheap
    alike = raw(spot_service(spot, spot, prices=(2.0, 2.0)))
    assert dear < alike[0]
    assert cheap > alike[1]


def test_where_one_pool_cannot_keep_it_the_other_is_not_raised_for_nothing() -> None:
    always = SpotReplicas(12, 1, 400.0, 400.0)
    first, second = raw(spot_service(always, None, most=30, lead_s=3600.0))
    assert first == 30
    assert second <= raw(spot_service(None, None, most=30, lead_s=3600.0))[1] + 3


def test_where_prices_alone_decide_nothing_is_held() -> None:
    assert raw(spot_service(OFTEN, OFTEN, epsilon=None)) == raw(
        spot_service(None, None, epsilon=None)
    )


def test_starts_that_take_no_time_need_nothing_held() -> None:
    assert raw(spot_service(OFTEN, OFTEN, lead_s=0.5)) == raw(spot_service(None, None, lead_s=0.5))


def test_the_risk_that_is_told_has_the_interruptions_in_it() -> None:
    outlook = outlook_of(spot_service(OFTEN, None))
    plain = replace(outlook, survival={})
    counts = np.array([11, 11])
    with_losses, without = outlook.risk_at(counts), plain.risk_at(counts)
    assert with_losses[0] == with_losses[1] > without[0]


def test_a_promise_that_no_count_keeps_through_interruptions_is_said() -> None:
    """A start of an hour, a node that goes each hour, 14 replicas at most."""
    always = SpotReplicas(12, 1, 400.0, 400.0)
    request = spot_service(always, None, most=14, lead_s=3600.0)
    outlook = outlook_of(request)
    assert not outlook.is_feasible.any()
    assert outlook_of(spot_service(None, None, most=14, lead_s=3600.0)).is_feasible.all()


def test_what_interruptions_add_to_a_count_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was looked for some hundred times for each pool of a decision."""
    outlook, asked = outlook_of(spot_service(OFTEN, OFTEN)), list[tuple[int, int]]()
    find = SurvivalLaw.expected

    def note(law: SurvivalLaw, risk_of: RiskOf, replicas: int) -> float:
        asked.append((id(law), replicas))
        return find(law, risk_of, replicas)

    monkeypatch.setattr(SurvivalLaw, "expected", note)
    request = spot_service(OFTEN, OFTEN)
    assert counts_through_losses(request, outlook, outlook.first())
    assert len(asked) == len(set(asked)) > 0


def test_it_is_said_of_each_pool() -> None:
    held, beside = decided(spot_service(OFTEN, None))
    assert held.spot is not None
    assert held.spot.held == held.raw - raw(spot_service(None, None))[0]
    assert beside.spot is None
    assert "of 12 replicas 12 run on spot nodes" in decision_summary(held)
    assert "spot nodes" not in decision_summary(beside)
    assert decision_to_dict(held)["spot"] == {
        "replicas": 12,
        "ready": 12,
        "nodes": 3,
        "hours_between": pytest.approx(10.0 / 3.0, rel=0.01),
        "held": held.spot.held,
    }


@pytest.mark.parametrize("is_soft", [False, True])
def test_both_are_made_again_from_what_is_stored(is_soft: bool) -> None:
    request = spot_service(OFTEN, SpotReplicas(6, 2, 3.0, 90.0), is_soft=is_soft)
    made = decided(request)
    for row, one in enumerate(made):
        blob = inputs_to_bytes(request, row, one, CONFIG, NOW_S)
        assert decision_bytes(replay_decision(blob)) == decision_bytes(one)
        assert [decision_bytes(d) for d in replay_service(blob)] == [
            decision_bytes(d) for d in made
        ]
