"""The price of risk that is carried from one decision to the next."""

from __future__ import annotations

import math

import numpy as np
import pytest

from decider import RiskControlConfig, Sla
from decider.planning.risk import (
    MAX_LOG_MULTIPLIER,
    most_asked,
    next_multiplier,
)
from tests.unit.decider.pool_cases import service, two_pools
from tests.unit.decider.shards import noisy, shard

CONFIG = RiskControlConfig()
SLA = Sla(0.01)
LATE = 1e6
"""Steps after which a price moves by the least gain."""


def test_the_price_of_risk_follows_the_estimated_risk() -> None:
    for n_steps in (0.0, LATE):
        assert next_multiplier(3.0, 0.02, 0.01, n_steps, CONFIG) > 3.0
        assert next_multiplier(3.0, 0.001, 0.01, n_steps, CONFIG) < 3.0
        assert next_multiplier(3.0, 0.01, 0.01, n_steps, CONFIG) == pytest.approx(3.0)
        found = next_multiplier(MAX_LOG_MULTIPLIER, 1.0, 0.01, n_steps, CONFIG)
        assert found == MAX_LOG_MULTIPLIER


def test_a_strict_promise_may_take_a_price_of_all_its_replicas_for_each_level_of_risk() -> None:
    request, top = shard(np.stack([noisy(100.0)] * 3)), np.array([10, 1000, 1000])
    asked = most_asked(request, top, np.array([0.01, 1e-6, np.inf]))
    assert asked.tolist() == pytest.approx([1e3, 1e9, 0.0])
    last = [next_multiplier(25.0, 1.0, 0.01, LATE, CONFIG, one) for one in asked]
    assert last == [MAX_LOG_MULTIPLIER, pytest.approx(math.log(1e9)), MAX_LOG_MULTIPLIER]
    pools = service(np.stack([noisy(100.0)] * 2), None, two_pools(Sla(1e-4)))
    level = np.full(2, 1e-4)
    assert most_asked(pools, np.array([10, 30]), level).tolist() == pytest.approx([4e5, 4e5])


def test_a_first_price_is_left_as_soon_as_few_decisions_can_tell() -> None:
    """From e^0.7 to e^2.7, where decisions risk four levels: it took 23 of them."""
    price, steps = 0.7, 0
    while price < 2.7:
        price = next_multiplier(price, 0.4, 0.1, 9.0 + steps, CONFIG)
        steps += 1
    assert steps < 10
    moves = [next_multiplier(3.0, 0.2, 0.1, n, CONFIG) - 3.0 for n in (0.0, 9.0, 99.0, LATE)]
    assert moves == sorted(moves, reverse=True)
    assert moves[0] == pytest.approx(CONFIG.first_multiplier_gain)
    assert moves[-1] == pytest.approx(CONFIG.multiplier_gain)
    assert next_multiplier(3.0, 0.2, 0.1, math.inf, CONFIG) - 3.0 == pytest.approx(moves[-1])


def test_a_count_that_a_budget_cut_moves_the_price_no_more_than_a_few_levels_do() -> None:
    """Such a decision carries any risk up to 1: a thousand levels would shut the price for days."""
    held = next_multiplier(3.0, 1.0, 0.001, LATE, CONFIG)
    assert held == pytest.approx(3.0 + CONFIG.multiplier_gain * (CONFIG.max_risk_ratio - 1.0))
