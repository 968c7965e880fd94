"""Costs at matched violation: the price that a promise implies, scores without looking ahead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import FallbackConfig, Sla, TrailingRule
from decider.errors import InvalidRequest
from decider.trust.arms import trailing_counts, trailing_grid
from decider.trust.score import (
    ArmScore,
    BlockConfig,
    BlockScore,
    TrustCase,
    compare_arms,
    implied_price,
)

STEP_S = 3600.0
CONFIG = BlockConfig(min_steps=24)
FALLBACK = FallbackConfig(min_observed=4, stale_after_s=2 * STEP_S)
RULES = trailing_grid(36)


def case(demand: Any, model: Any, **changes: Any) -> TrustCase:
    demand = np.asarray(demand, dtype=float)
    given = TrustCase(
        start_s=0.0,
        step_s=STEP_S,
        demand=demand,
        model_replicas=np.broadcast_to(np.asarray(model, dtype=float), demand.shape).copy(),
        capacity=10.0,
        lead_s=0.0,
        bounds=(0, 1000),
        sla=Sla(0.05),
    )
    return replace(given, **changes)


def daily(days: int, seed: int = 0, cv: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(24 * days)
    return 200 * (1 + 0.4 * np.sin(2 * np.pi * t / 24)) * np.exp(cv * rng.standard_normal(t.size))


FRONTIER = [
    ArmScore(20.0, 0.00),
    ArmScore(12.0, 0.02),
    ArmScore(13.0, 0.02),  # beaten by the one before
    ArmScore(10.0, 0.06),
    ArmScore(11.9, 0.05),  # above the hull
    ArmScore(9.0, 0.16),
]


def test_the_price_is_the_slope_of_the_frontier_at_the_promise() -> None:
    # between (0.02, 12) and (0.06, 10): 2 replicas for 0.04 of a step
    assert implied_price(FRONTIER, 0.03, scale=1.0) == (pytest.approx(50.0), 1)
    # between (0.06, 10) and (0.16, 9)
    assert implied_price(FRONTIER, 0.10, scale=1.0) == (pytest.approx(10.0), 3)


def test_at_that_price_the_incumbent_keeps_the_promise_and_no_more() -> None:
    price, chosen = implied_price(FRONTIER, 0.03, scale=1.0)
    losses = [score.loss(price) for score in FRONTIER]
    assert min(losses) == pytest.approx(losses[chosen])
    cheaper = [score.loss(0.99 * price) for score in FRONTIER]
    assert FRONTIER[int(np.argmin(cheaper))].violation > 0.03


def test_where_every_setting_keeps_the_promise_the_price_is_that_of_tails_or_less() -> None:
    assert implied_price(FRONTIER, 0.5, scale=3.0) == (pytest.approx(6.0), 5)
    assert implied_price(FRONTIER, 0.5, scale=30.0) == (pytest.approx(10.0), 5)


def test_where_no_setting_keeps_the_promise_the_price_is_that_of_tails_or_more() -> None:
    short = FRONTIER[1:]
    assert implied_price(short, 0.01, scale=1.0) == (pytest.approx(100.0), 0)
    assert implied_price(short, 0.01, scale=0.3) == (pytest.approx(50.0), 0)


def test_one_setting_has_no_slope() -> None:
    assert implied_price([ArmScore(5.0, 0.0)], 0.01, scale=2.0) == (pytest.approx(200.0), 0)


def test_a_rough_frontier_is_kept_within_a_factor_of_ten_of_the_tails() -> None:
    steep = [ArmScore(100.0, 0.0), ArmScore(1.0, 0.0101)]
    assert implied_price(steep, 0.01, scale=1.0)[0] == pytest.approx(1000.0)
    flat = [ArmScore(10.001, 0.0), ArmScore(10.0, 0.5)]
    assert implied_price(flat, 0.01, scale=1.0)[0] == pytest.approx(10.0)


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 1)), min_size=1, max_size=12),
    st.floats(0.001, 0.5),
    st.floats(1, 20),
)
@settings(max_examples=200, deadline=None)
def test_the_setting_chosen_is_on_the_frontier(
    points: list[tuple[float, float]], rate: float, scale: float
) -> None:
    frontier = [ArmScore(cost, round(out, 3)) for cost, out in points]
    price, chosen = implied_price(frontier, rate, scale)
    assert scale / rate / 10 - 1e-9 <= price <= 10 * scale / rate + 1e-6
    own = frontier[chosen]
    assert not any(s.replicas < own.replicas and s.violation < own.violation for s in frontier)
    if min(s.violation for s in frontier) <= rate:
        assert own.violation <= rate


def test_blocks_by_hand() -> None:
    """Constant demand of 95: every margin but 0 asks for more than the 10 replicas it needs."""
    found = compare_arms(case(np.full(96, 95.0), 11.0), RULES, FALLBACK, CONFIG)
    assert found.n_usable == 4
    assert [b.end_s for b in found.blocks] == [3 * 86400.0, 4 * 86400.0]
    for block in found.blocks:
        assert (block.model, block.trailing) == (ArmScore(11.0, 0.0), ArmScore(10.0, 0.0))
        assert block.n_steps == 24
        assert block.difference == pytest.approx(1 / 21)
    assert found.rule == TrailingRule(12, 0.9, 0.0)


def test_a_share_out_of_sla_costs_its_price() -> None:
    """One replica too few for 6 of 24 steps; tails of one replica, epsilon 5 %."""
    model = np.full(96, 10.0)
    model[72:78] = 9.0
    *_, last = compare_arms(case(np.full(96, 95.0), model), RULES, FALLBACK, CONFIG).blocks
    assert last.price == pytest.approx(20.0)
    assert last.model == ArmScore(pytest.approx(9.75), pytest.approx(0.25))
    assert last.difference == pytest.approx((9.75 + 5.0 - 10.0) / (9.75 + 5.0 + 10.0))


def test_a_promise_of_requests_weighs_steps_by_demand() -> None:
    demand = np.tile([95.0, 5.0], 48)
    model = np.tile([9.0, 1.0], 48)
    by_time = compare_arms(case(demand, model), RULES, FALLBACK, CONFIG).blocks[-1]
    requests = case(demand, model, sla=Sla(0.05, "DemandFraction"))
    by_demand = compare_arms(requests, RULES, FALLBACK, CONFIG).blocks[-1]
    assert by_time.model.violation == pytest.approx(0.5)
    assert by_demand.model.violation == pytest.approx(0.95)


def test_a_promise_over_a_window_is_spread_over_its_steps() -> None:
    any_of = case([1.0], 1.0, sla=Sla(0.05, "AnyInWindow", window_s=100 * STEP_S))
    assert any_of.rate == pytest.approx(1.0 - 0.95**0.01)


def test_both_arms_keep_the_bounds() -> None:
    found = compare_arms(case(np.full(96, 95.0), 500.0, bounds=(3, 8)), RULES, FALLBACK, CONFIG)
    for block in found.blocks:
        assert block.model == block.trailing == ArmScore(8.0, 1.0)


@given(st.integers(0, 1000), st.integers(3, 5))
@settings(max_examples=20, deadline=None)
def test_a_block_is_scored_by_what_was_known_before_it(seed: int, day: int) -> None:
    """Law: what comes in or after a block changes neither its price nor earlier scores."""
    demand, rng = daily(7, seed), np.random.default_rng(seed)
    before = compare_arms(case(demand, 30.0), RULES, FALLBACK, CONFIG).blocks
    altered = demand.copy()
    altered[24 * day :] *= rng.uniform(0.2, 5.0, altered.size - 24 * day)
    after = compare_arms(case(altered, 30.0), RULES, FALLBACK, CONFIG).blocks
    assert before[: day - 2] == after[: day - 2]
    assert before[day - 2].price == after[day - 2].price


def test_unknown_steps_are_left_out_of_both_arms() -> None:
    demand = np.full(120, 95.0)
    model = np.full(120, 11.0)
    model[48:58] = np.nan  # a rung below answered for 10 of 24 steps
    model[72:90] = np.nan  # and for most of this day
    found = compare_arms(case(demand, model), RULES, FALLBACK, CONFIG)
    assert [(b.end_s / 86400, b.n_steps) for b in found.blocks] == [(3, 14), (5, 24)]
    assert all(b.model == ArmScore(11.0, 0.0) for b in found.blocks)


def test_a_day_under_way_waits_until_it_is_whole() -> None:
    found = compare_arms(case(np.full(95, 95.0), 11.0), RULES, FALLBACK, CONFIG)
    assert [b.end_s / 86400 for b in found.blocks] == [3]
    late = compare_arms(case(np.full(96, 95.0), 11.0, start_s=STEP_S), RULES, FALLBACK, CONFIG)
    assert (late.n_usable, [b.end_s / 86400 for b in late.blocks]) == (3, [4])


def test_long_steps_make_blocks_of_several_days() -> None:
    assert BlockConfig(min_steps=96).length_s(60.0) == 86400.0
    assert BlockConfig(min_steps=96).length_s(900.0) == 86400.0
    assert BlockConfig(min_steps=96).length_s(3600.0) == 4 * 86400.0


def test_the_same_counts_make_no_difference() -> None:
    demand = daily(8)
    rules = (TrailingRule(12, 0.98, 0.1),)
    own = trailing_counts(demand, 10.0, rules, STEP_S, FALLBACK)[0]
    found = compare_arms(case(demand, own, lead_s=1.5 * STEP_S), rules, FALLBACK, CONFIG)
    assert len(found.blocks) == 6
    assert [b.difference for b in found.blocks] == [0.0] * 6


def test_nothing_costs_nothing() -> None:
    assert BlockScore(0.0, 1, 5.0, ArmScore(0, 0), ArmScore(0, 0)).difference == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_replicas": np.zeros(3)}, "model_replicas"),
        ({"demand": np.zeros(0), "model_replicas": np.zeros(0)}, "T >= 1"),
        ({"capacity": 0.0}, "capacity"),
        ({"step_s": 0.0}, "step_s"),
        ({"lead_s": -1.0}, "lead_s"),
        ({"sla": Sla(None)}, "no promise"),
    ],
)
def test_cases_that_cannot_be_compared_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        replace(case(np.zeros(5), 1.0), **changes)
