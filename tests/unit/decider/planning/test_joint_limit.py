"""The limit on what the pools of a service risk together with one decision."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decider import DecideConfig, RiskState, ShardRequest, decide_shard
from decider.planning.joint_limit import prices_within
from decider.planning.outlook import Outlook, look_ahead
from decider.planning.plan import first_charge, first_of_plan
from decider.types import FloatArray, RiskKind
from tests.unit.decider.pool_cases import service, service_response, standings, two_pools
from tests.unit.decider.shards import NOW_S, noisy
from tests.unit.decider.tables.soft_cases import sla

CONFIG = DecideConfig(reactive_floor_ratio=0.0)
BEFORE = replace(CONFIG, revision=6)
kinds = pytest.mark.parametrize("kind", ["DemandFraction", "TimeFraction"])


def of_small_uses(
    seed: int, kind: RiskKind, log_price: float = -1.0, **changes: Any
) -> ShardRequest:
    """Two pools whose uses add up, at a price of risk from before their response was known."""
    paths = np.stack([noisy(100.0, seed, cv=0.1), noisy(200.0, seed + 1, cv=0.1)])
    drawn = replace(service_response(seed), sharing=np.full(8, 1.2))
    watched = RiskState(log_multiplier=log_price, observed_steps=100.0)
    owners = two_pools(sla(kind, 0.01), **({"spec": 12, "most": 200, "risk": watched} | changes))
    return service(paths, drawn, owners)


def outlook_of(request: ShardRequest, config: DecideConfig = CONFIG) -> Outlook:
    return look_ahead(request, standings(request, config), config)


def risk_under(outlook: Outlook, prices: FloatArray) -> float:
    """Joint risk of the first counts under prices."""
    index = first_of_plan(outlook.program, prices, outlook.first_limit)
    rows = np.arange(prices.size)
    charge = first_charge(outlook.program)[rows, index]
    return outlook.services[0].charge(charge, outlook.grid.counts[rows, index])


@kinds
@pytest.mark.parametrize("seed", range(4))
def test_pools_that_would_break_their_promise_together_pay_the_least_price_that_keeps_the_limit(
    kind: RiskKind, seed: int
) -> None:
    request = of_small_uses(seed, kind)
    limit = float(outlook_of(request).first_limit[0])
    apart = outlook_of(request, BEFORE)
    assert apart.risk_at(apart.first())[0] > limit, "each alone is within it, together they are not"

    held = outlook_of(request)
    assert held.risk_at(held.first())[0] <= limit
    assert held.paid[0] == held.paid[1] > apart.paid[0]
    assert (held.multiplier == apart.multiplier).all(), "the carried price stays as it is"
    span = math.log(max(CONFIG.max_multiplier, held.most_asked[0]) / apart.paid[0])
    assert risk_under(held, held.paid * math.exp(-span / 1000.0)) > limit, "no less would do"


@kinds
def test_the_decision_says_what_the_limit_came_to(kind: RiskKind) -> None:
    request = of_small_uses(0, kind)
    before, after = (decide_shard(request, config, NOW_S)[0] for config in (BEFORE, CONFIG))
    assert before.risk_after is not None
    assert after.risk_after is not None
    assert after.risk_level is not None
    assert after.risk_after <= CONFIG.first_step_ratio * after.risk_level < before.risk_after


@kinds
def test_pools_within_their_limit_are_planned_as_they_were(kind: RiskKind) -> None:
    request = of_small_uses(0, kind, log_price=9.0)
    assert (outlook_of(request).paid == outlook_of(request, BEFORE).paid).all()


def test_no_pool_pays_for_what_another_cannot_cure() -> None:
    """Decode has two of the many replicas that it takes: prefill is no larger for that."""
    request = of_small_uses(0, "DemandFraction", log_price=6.0, spec=2)
    prefill, decode = request.workloads
    short = replace(decode, limits=replace(decode.limits, max_replicas=2))
    request = replace(request, workloads=(prefill, short))
    before, after = (decide_shard(request, config, NOW_S) for config in (BEFORE, CONFIG))
    assert after[0].raw <= before[0].raw + 1
    assert after[1].raw == 2


def test_what_has_no_limit_keeps_its_price() -> None:
    outlook = outlook_of(of_small_uses(0, "TimeFraction"), BEFORE)
    none = np.full(2, np.inf)
    found = prices_within(outlook.program, outlook.services, outlook.paid, np.full(2, 1e5), none)
    assert (found == outlook.paid).all()
