"""Decisions about variants of which one is on spot nodes: laws, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    Decision,
    DirectionRules,
    Limits,
    RatePolicy,
    RiskState,
    ShardRequest,
    Sla,
    SpotReplicas,
    SpotShare,
    VariantState,
    decide_shard,
    decision_summary,
    decision_to_dict,
    inputs_to_bytes,
)
from decider.planning.interruptions import SMALL
from decider.planning.outlook import look_ahead
from decider.stored.replay import decision_bytes, replay_decision
from decider.types import RISK_KINDS, RiskKind
from tests.unit.decider.mix.decided import CONFIG, counts
from tests.unit.decider.planning.test_quiet import standing
from tests.unit.decider.shards import NOW_S, noisy, observed, shard, workload
from tests.unit.decider.variant_sets import mixed

FEW = SpotReplicas(8, 2, 40.0, 400.0)
"""Nodes of four replicas, of which one goes about each ten hours."""


def spot_share(rate: float = 0.1, nodes: int = 2) -> SpotShare:
    return SpotShare(SpotReplicas(8, nodes, 400.0 * rate, 400.0), 8)


def on_demand(spec: int = 6, price: float = 4.0, **changes: Any) -> VariantState:
    return VariantState("od", "H100", 1, 1.0, price, spec=spec, **changes)


def on_spot(
    spot: SpotShare | None, spec: int = 6, price: float = 2.0, **changes: Any
) -> VariantState:
    return VariantState("spot", "H100", 1, 1.0, price, spec=spec, spot=spot, **changes)


def spot_shard(
    spot: SpotShare | None,
    *,
    price: float = 2.0,
    specs: tuple[int, int] = (6, 6),
    kind: RiskKind = "TimeFraction",
    epsilon: float | None = 0.01,
    log_multiplier: float | None = None,
    lead_s: float = 900.0,
    budgets: dict[str, int | None] | None = None,
    **changes: Any,
) -> ShardRequest:
    owner = mixed(
        "m",
        on_demand(specs[0]),
        on_spot(spot, specs[1], price),
        **(
            {
                "limits": Limits(1, 60),
                "sla": Sla(epsilon, kind),
                "history": observed(100.0),
                "risk": RiskState(log_multiplier=log_multiplier),
            }
            | changes
        ),
    )
    return shard(noisy(100.0), [owner], lead_s=lead_s, budgets=budgets)


def decided(request: ShardRequest) -> Decision:
    return decide_shard(request, CONFIG, NOW_S)[0]


def risks(request: ShardRequest, mixes: np.ndarray) -> np.ndarray:
    outlook = look_ahead(request, standing(request), CONFIG)
    return outlook.risks_of_mixes(0, mixes)


@pytest.mark.parametrize("kind", RISK_KINDS)
def test_no_interruptions_change_nothing(kind: RiskKind) -> None:
    without = decision_bytes(decided(spot_shard(None, kind=kind)))
    assert decision_bytes(decided(spot_shard(spot_share(0.0), kind=kind))) == without


@given(
    rate=st.floats(1e-3, 1.0), factor=st.floats(1.0, 20.0), nodes=st.integers(1, 8),
    mix=st.tuples(st.integers(0, 16), st.integers(0, 24)),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_more_interruptions_never_lower_the_risk_of_a_mix_and_sure_ones_never_raise_it(
    rate: float, factor: float, nodes: int, mix: tuple[int, int]
) -> None:
    asked = np.array([mix, (sum(mix), 0)])
    few, many = (
        risks(spot_shard(spot_share(each, nodes)), asked) for each in (rate, factor * rate)
    )
    assert few[0] <= many[0] + 1e-9
    assert few[1] <= few[0] + 1e-9
    assert few[1] == pytest.approx(many[1], abs=1e-12)


@given(
    rate=st.floats(1e-3, 0.5), nodes=st.integers(1, 8), kind=st.sampled_from(RISK_KINDS),
    epsilon=st.sampled_from([0.002, 0.02]), price=st.sampled_from([None, 2.0, 6.0]),
)  # fmt: skip
@settings(max_examples=10, deadline=None)
def test_as_spot_gets_cheaper_its_share_does_not_fall(
    rate: float, nodes: int, kind: RiskKind, epsilon: float, price: float | None
) -> None:
    spot = spot_share(rate, nodes)
    found = [
        counts(decided(spot_shard(spot, price=usd, kind=kind, epsilon=epsilon,
                                  log_multiplier=price)))
        for usd in (4.5, 3.6, 2.5, 0.5)
    ]  # fmt: skip
    spots, sure = ([mix[name] for mix in found] for name in ("spot", "od"))
    assert spots == sorted(spots)
    assert sure == sorted(sure, reverse=True)


@given(rate=st.floats(1e-3, 0.5), nodes=st.integers(1, 8), epsilon=st.sampled_from([0.002, 0.02]))
@settings(max_examples=8, deadline=None)
def test_the_promise_is_kept_and_at_no_higher_price_than_without_spot(
    rate: float, nodes: int, epsilon: float
) -> None:
    request = spot_shard(spot_share(rate, nodes), epsilon=epsilon, price=4.0, specs=(12, 0))
    made = decided(request)
    alone = counts(decided(spot_shard(None, epsilon=epsilon, price=4.0, specs=(12, 0))))
    assert sum(counts(made).values()) == sum(alone.values())
    cheap = spot_shard(spot_share(rate, nodes), epsilon=epsilon, price=1.0)
    held = decided(cheap)
    outlook = look_ahead(cheap, standing(cheap), CONFIG)
    allowed = max(outlook.level[0], outlook.own_risk(0, int(outlook.first()[0])))
    told = outlook.risks_of_mixes(0, np.array([tuple(counts(held).values())]))[0]
    added = told - outlook.own_risk(0, held.final)
    assert told <= allowed + 1e-9 or added <= SMALL * outlook.level[0]
    assert held.mix is not None
    assert held.mix.usd_per_hour <= 4.0 * sum(alone.values())


def test_dear_replicas_are_held_as_far_as_the_promise_asks_and_no_further() -> None:
    """Nodes of eight: beside spot that saves a quarter, some on-demand ones stay."""
    request = spot_shard(spot_share(0.2, 1), price=3.0, specs=(14, 0))
    made = decided(request)
    mix = counts(made)
    assert mix["spot"] > 0
    assert mix["od"] > 0
    one_less = np.array([(mix["od"] - 1, mix["spot"])])
    outlook = look_ahead(request, standing(request), CONFIG)
    assert outlook.risks_of_mixes(0, one_less)[0] > outlook.level[0]


def test_the_risk_that_is_told_has_the_interruptions_in_it() -> None:
    request = spot_shard(spot_share(0.2, 1), price=1.0)
    made = decided(request)
    outlook = look_ahead(request, standing(request), CONFIG)
    final = np.array([made.final])
    mix = tuple(counts(made).values())
    assert made.risk_after == pytest.approx(outlook.risk_at(final, {0: mix})[0])
    assert made.risk_after > outlook.risk_at(final)[0]
    assert made.risk_before == pytest.approx(outlook.risk_at(np.array([12]), {0: (6, 6)})[0])


def test_where_prices_alone_decide_nothing_is_held() -> None:
    held = decided(spot_shard(spot_share(), epsilon=None))
    assert counts(held) == counts(decided(spot_shard(None, epsilon=None)))


def test_rate_limits_hold_for_what_is_held() -> None:
    slow = DirectionRules(policies=(RatePolicy("Pods", 1, 60.0),))
    limits = Limits(1, 60, scale_up=slow, scale_down=slow)
    request = spot_shard(spot_share(0.5, 1), price=1.0, specs=(0, 12), limits=limits)
    mix = counts(decided(request))
    assert mix["od"] + mix["spot"] <= 14
    assert mix["spot"] >= 11


def test_the_bound_is_the_most_that_is_held() -> None:
    """Twelve of them cannot keep the promise on one node; on demand they can nearly."""
    request = spot_shard(spot_share(1.0, 1), price=1.0, specs=(0, 12), limits=Limits(1, 12))
    made = decided(request)
    assert made.final <= 12


def test_a_coarse_variant_keeps_the_maximum_where_a_rate_holds_the_total() -> None:
    """Of 16 two more may be started, 20 are the most, and one more node's replica is worth 8."""
    slow = DirectionRules(policies=(RatePolicy("Pods", 2, 60.0),))
    big = VariantState("big", "H100", 1, 8.0, 4.0, spec=2, spot=spot_share())
    request = shard(noisy(300.0), [mixed("m", big, limits=Limits(1, 20, scale_up=slow))])
    made = decided(request)
    assert (made.final, counts(made)) == (16, {"big": 2})
    earlier = replace(CONFIG, revision=5)
    (before,) = decide_shard(request, earlier, NOW_S)
    assert before.final == 24
    blob = inputs_to_bytes(request, 0, before, earlier, NOW_S)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(before)


def test_a_budget_of_the_dear_ones_asks_for_more_of_the_cheap_ones() -> None:
    def made(budget: int | None) -> dict[str, int]:
        owner = mixed(
            "m",
            on_demand(4, spot=None),
            VariantState("spot", "L4", 1, 1.0, 3.5, spec=10, spot=spot_share(0.2, 1)),
            limits=Limits(1, 60),
            history=observed(100.0),
        )
        budgets = {} if budget is None else {"H100": budget}
        request = shard(noisy(100.0), [owner], lead_s=900.0, budgets=budgets)
        return counts(decided(request))

    free, scarce = made(None), made(2)
    assert scarce["od"] <= 2 < free["od"]
    assert scarce["spot"] > free["spot"]
    assert sum(scarce.values()) > sum(free.values())


def test_it_is_said() -> None:
    held = decided(spot_shard(spot_share(0.1, 2), price=1.0))
    assert held.mix is not None
    assert held.mix.spot is not None
    (part,) = held.mix.spot.parts
    assert part.replicas == part.desired == counts(held)["spot"]
    assert part.per_node == 4
    words = f"of {part.desired} spot {part.replicas} run on spot nodes, of which one goes about"
    assert words in decision_summary(held)
    record = decision_to_dict(held)["mix"]
    assert isinstance(record, dict)
    assert record["spot"]["held"] == held.mix.spot.held > 0
    assert record["spot"]["variants"][0]["per_node"] == 4
    without = decision_to_dict(decided(spot_shard(None)))["mix"]
    assert isinstance(without, dict)
    assert "spot" not in without


@pytest.mark.parametrize("spot", [None, spot_share(0.2, 1)])
def test_a_decision_is_made_again_from_what_is_stored(spot: SpotShare | None) -> None:
    request = spot_shard(spot, price=3.0)
    made = decided(request)
    blob = inputs_to_bytes(request, 0, made, CONFIG, NOW_S)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(made)


def test_company_does_not_change_it() -> None:
    alone = spot_shard(spot_share(0.2, 1), price=3.0)
    owners = [workload("other", history=observed(30.0)), alone.workloads[0]]
    both = shard(np.stack([noisy(30.0, 1), alone.paths[0]]), owners, lead_s=900.0)
    assert decision_bytes(decide_shard(both, CONFIG, NOW_S)[1]) == decision_bytes(decided(alone))


def test_a_model_that_is_not_trusted_holds_nothing_itself() -> None:
    request = spot_shard(spot_share(0.2, 1), price=1.0, is_model_trusted=False)
    made = decided(request)
    assert made.model_held > 0
    assert made.mix is not None
    assert made.mix.spot is None
