"""The first price of risk of a response that was learned while a service was watched."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import DecideConfig, RiskState, decide_shard
from decider.planning.first_price import first_price
from decider.planning.risk import MAX_LOG_MULTIPLIER, MIN_LOG_MULTIPLIER
from decider.tables.soft_response import Soft
from decider.types import RiskKind
from tests.unit.decider.pool_cases import service, service_response, two_pools
from tests.unit.decider.shards import NOW_S, noisy, workload
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard

CONFIG = DecideConfig(reactive_floor_ratio=0.0)


def soft_of(slope: float, capacity: float, n_draws: int = 1, seed: int = 0) -> Soft:
    spread = 0.0 if n_draws == 1 else 1.0
    draws = response(seed, spread, n_draws, slope=slope, capacity=capacity)
    return Soft(draws, 0.01, None, np.zeros(0, dtype=np.int64))


@settings(max_examples=60, deadline=None)
@given(
    slope=st.floats(2.0, 12.0),
    capacity=st.floats(0.5, 500.0),
    replicas=st.floats(2.0, 200.0),
    level=st.floats(0.001, 0.1),
    n_draws=st.sampled_from([1, 8]),
)
def test_a_certain_demand_is_served_cheapest_at_the_level(
    slope: float, capacity: float, replicas: float, level: float, n_draws: int
) -> None:
    soft = soft_of(slope, capacity, n_draws)
    demand = replicas * soft.load_at(level)
    price = first_price(soft, demand, level)
    if not MIN_LOG_MULTIPLIER < math.log(price) < MAX_LOG_MULTIPLIER:
        return
    counts = replicas * np.linspace(0.9, 1.1, 41)
    cost = counts + price * soft.risk(np.log(demand / counts))
    assert counts[cost.argmin()] == pytest.approx(replicas, rel=0.011)


def test_a_gentle_response_has_a_higher_price_and_no_demand_the_least() -> None:
    gentle, steep = (first_price(soft_of(slope, 10.0), 100.0, 0.01) for slope in (3.0, 9.0))
    assert gentle > 2.0 * steep
    assert first_price(soft_of(3.0, 10.0), 0.0, 0.01) == math.exp(MIN_LOG_MULTIPLIER)


def test_a_strict_promise_has_a_price_beyond_those_of_ordinary_ones() -> None:
    soft, level = soft_of(3.0, 10.0), 1e-6
    demand = 400.0 * soft.load_at(level)
    bound, free = (first_price(soft, demand, level, asked) for asked in (0.0, 400.0 / level))
    assert bound == math.exp(MAX_LOG_MULTIPLIER)
    assert free == pytest.approx(400.0 / (3.0 * level), rel=0.01)


def prices(steps_watched: float, carried: float | None = None) -> list[float | None]:
    """Logarithms of the price in use under forecasts with the same median and another tail."""
    state = RiskState(observed_steps=steps_watched, log_multiplier=carried)
    one = noisy(100.0, 3, cv=0.2)
    far = np.where(one > np.quantile(one, 0.9), 6.0 * one, one)
    owner = workload("w", sla=sla(), risk=state)
    return [
        decide_shard(soft_shard(paths, [response(1)], [owner]), CONFIG, NOW_S)[0].log_multiplier
        for paths in (one, far)
    ]


def test_a_tail_read_off_a_few_steps_does_not_make_the_first_price() -> None:
    near, far = prices(steps_watched=8.0)
    assert near == far
    assert near is not None
    assert 3.0 < near < 7.0


def test_what_was_learned_of_a_history_has_its_first_price_looked_for_in_the_forecast() -> None:
    near, far = prices(steps_watched=0.0)
    assert near is not None
    assert far is not None
    assert far > near + 1.0


def test_a_price_that_is_carried_stays() -> None:
    assert prices(steps_watched=8.0, carried=2.5) == [2.5, 2.5]


@pytest.mark.parametrize("name", ["AnyInWindow", "TimeFraction"])
def test_other_promises_have_their_price_looked_for_as_before(name: RiskKind) -> None:
    kind = replace(sla(name), window_s=3600.0)
    paths = noisy(100.0, 3, cv=0.2)
    asked = []
    for steps in (0.0, 8.0):
        owner = workload("w", sla=kind, risk=RiskState(observed_steps=steps))
        request = soft_shard(paths, [response(1)], [owner])
        asked.append(decide_shard(request, CONFIG, NOW_S)[0].log_multiplier)
    assert asked[0] == asked[1]


def test_pools_share_the_first_price_of_the_one_that_bears_the_load() -> None:
    owners = [
        replace(w, risk=RiskState(observed_steps=8.0)) for w in two_pools(sla("DemandFraction"))
    ]
    paths = np.stack([noisy(200.0, 4, cv=0.3), np.zeros((200, 6))])
    request = service(paths, service_response(4), owners)
    first, second = decide_shard(request, CONFIG, NOW_S)
    assert first.log_multiplier == second.log_multiplier
    assert first.log_multiplier is not None
    assert first.log_multiplier > 2.0
