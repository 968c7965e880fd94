"""Costs at equal violation: by hand, in words, and an interval that covers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.backtest.equal_violation import EqualViolation, at_equal_violation, cost_at
from services.backtest.frontier import PolicyFrontier
from services.simulator.fleet.arrays import FloatArray


def frontier(name: str, block_rate: FloatArray, block_cost: FloatArray) -> PolicyFrontier:
    rate, cost = block_rate.sum(axis=1), block_cost.sum(axis=1)
    labels = tuple(str(r) for r in rate)
    return PolicyFrontier(name, labels, rate, cost, rate, block_rate, block_cost, rate / 2.0)


def even(name: str, *points: tuple[float, float], n_blocks: int = 10) -> PolicyFrontier:
    """Every block adds the same."""
    rate, cost = np.array(points, dtype=float).T
    ones = np.ones(n_blocks) / n_blocks
    return frontier(name, np.outer(rate, ones), np.outer(cost, ones))


def compared(*found: PolicyFrontier, epsilon: float = 0.01) -> EqualViolation:
    return at_equal_violation(found, epsilon, np.random.default_rng(0))


def test_between_two_settings_the_cost_is_linear_in_the_logarithm_of_the_rate() -> None:
    rate, cost = np.array([0.001, 0.1, 0.01]), np.array([100.0, 60.0, 90.0])
    assert cost_at(rate, cost, 0.01) == pytest.approx(90.0)
    assert cost_at(rate, cost, 0.1) == pytest.approx(60.0)
    assert cost_at(rate[:2], cost[:2], 0.01) == pytest.approx(80.0)
    assert cost_at(rate, cost, 0.5) == 60.0
    assert np.isnan(cost_at(rate, cost, 0.0005))


def test_an_unknown_rate_reaches_nothing_and_hides_no_other() -> None:
    unknown = np.array([np.nan, np.nan])
    assert np.isnan(cost_at(unknown, np.array([1.0, 2.0]), 0.01))
    assert cost_at(np.array([0.005, np.nan]), np.array([3.0, 1.0]), 0.01) == pytest.approx(3.0)


def test_the_rival_is_the_cheapest_that_reaches_the_rate() -> None:
    found = compared(
        even("harmony", (0.01, 80.0)),
        even("hpa", (0.01, 100.0)),
        even("kpa", (0.02, 10.0)),
        even("oracle", (0.0, 1.0)),
    )
    assert (found.rival, found.ratio) == ("hpa", pytest.approx(0.8))
    assert (found.low, found.high) == (pytest.approx(0.8), pytest.approx(0.8))
    assert "Harmony is cheaper: -20.0% against hpa" in found.sentence()


def test_what_is_left_unserved_stands_beside_time() -> None:
    """A rival that gives up the peaks is as long out of SLA, and leaves ten times as much."""
    ours, gives_up = even("harmony", (0.01, 80.0)), even("trailing_percentile", (0.01, 50.0))
    gives_up = replace(gives_up, unserved=np.array([0.05]))
    hpa = even("hpa", (0.01, 120.0))
    found = compared(ours, gives_up, hpa)
    assert "Harmony is dearer: +60.0% against trailing_percentile" in found.sentence()
    assert found.sentence().endswith(
        "Of the demand trailing_percentile leaves 5.00% unserved there, Harmony 0.50%; "
        "at equal unserved demand Harmony costs -33.3% against hpa."
    )
    assert found.to_json()["unserved"] == {
        "harmony": 0.005, "rival": 0.05, "equal_rival": "hpa", "equal_cost_ratio": 0.6667,
    }  # fmt: skip
    seldom = replace(ours, unserved=np.array([0.00002]))
    assert "Harmony 0.002%; " in compared(seldom, gives_up, hpa).sentence()
    alone = compared(ours, gives_up)
    assert alone.sentence().endswith("Harmony 0.50%; no setting of a rival leaves as little.")


def test_without_demand_nothing_is_said_of_what_is_not_served() -> None:
    idle = [replace(even(n, (0.01, 80.0)), unserved=np.array([np.nan])) for n in ("harmony", "hpa")]
    found = compared(*idle)
    assert "unserved" not in found.sentence()
    assert found.to_json()["unserved"] is None


def test_who_reaches_the_rate_is_said() -> None:
    ours, theirs = even("harmony", (0.01, 80.0)), even("hpa", (0.05, 60.0))
    assert "Harmony reached it, no setting of a rival did" in compared(ours, theirs).sentence()
    ours, theirs = even("harmony", (0.05, 80.0)), even("hpa", (0.01, 60.0))
    assert "no setting of Harmony reached it, hpa did" in compared(ours, theirs).sentence()
    assert compared(ours, theirs).to_json()["cost_ratio"] is None


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.9, 0.99, "is cheaper"), (0.9, 1.1, "no difference is shown"), (1.01, 1.2, "is dearer")],
)
def test_nothing_is_claimed_that_the_interval_does_not_show(
    low: float, high: float, words: str
) -> None:
    assert words in EqualViolation(0.01, "hpa", True, (low + high) / 2, low, high).sentence()


@pytest.mark.slow
def test_the_interval_covers_what_other_replays_give() -> None:
    """Costs of blocks vary by chance: nine of ten intervals hold the true ratio, or nearly."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        own, rival = (
            frontier(name, np.full((1, 20), 0.0005), mean * rng.lognormal(0, 0.3, (1, 20)))
            for name, mean in (("harmony", 0.9), ("hpa", 1.0))
        )
        found = at_equal_violation((own, rival), 0.01, rng)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.9 <= found.high
    assert 80 <= held <= 98


def test_where_many_resamples_miss_the_rate_the_interval_has_no_end() -> None:
    """All of Harmony's misses lie in one block of ten: drawn twice it breaks the promise."""
    uneven = np.zeros((1, 10))
    uneven[0, 3] = 0.01
    own = frontier("harmony", uneven, np.full((1, 10), 8.0))
    found = compared(own, even("hpa", (0.001, 100.0)))
    assert (found.ratio, found.high) == (pytest.approx(0.8), np.inf)
    said = found.sentence()
    assert "no difference is shown: -20.0% against hpa" in said
    assert "90 % interval -20.0% to a missed rate" in said
    told = found.to_json()
    assert (told["cost_ratio_low"], told["cost_ratio_high"]) == (0.8, None)


def test_where_the_rival_misses_in_resamples_it_is_no_saving_of_all_that_it_costs() -> None:
    """Its misses lie in one block of ten: the interval began at -100 %, in the document at 0."""
    uneven = np.zeros((2, 10))
    uneven[:, 3] = 0.009, 0.05
    rival = frontier("hpa", uneven, np.repeat([[9.5], [8.0]], 10, axis=1))
    found = compared(even("harmony", (0.0, 100.0), (0.001, 99.0)), rival)
    said = found.sentence()
    assert "90 % interval a rate that the rival missed to +" in said
    assert "no difference is shown" in said
    assert "100" not in said
    told = found.to_json()
    assert (told["cost_ratio_low"], told["cost_ratio"]) == (None, round(found.ratio or 0.0, 4))
    assert told["cost_ratio_high"] > 1.0


def test_where_harmony_misses_too_neither_end_is_known() -> None:
    uneven = np.zeros((1, 10))
    uneven[0, 3] = 0.01
    other = np.roll(uneven, 4, axis=1)
    costs = np.full((1, 10), 8.0)
    found = compared(frontier("harmony", uneven, costs), frontier("hpa", other, costs))
    assert (found.low, found.high) == (-np.inf, np.inf)
    assert "interval a rate that the rival missed to a missed rate" in found.sentence()


RATES = st.one_of(st.just(0.0), st.floats(1e-7, 3e-5), st.floats(1e-4, 0.3))
POINTS = st.lists(st.tuples(RATES, st.floats(1, 1e4)), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(POINTS, RATES, RATES)
def test_a_looser_promise_never_costs_more(
    points: list[tuple[float, float]], one: float, other: float
) -> None:
    rate, cost = np.array(points).T
    tight, loose = sorted((one, other))
    dear, cheap = cost_at(rate, cost, tight), cost_at(rate, cost, loose)
    assert np.isnan(dear) or cheap <= dear + 1e-9 * dear


@pytest.mark.parametrize("n_blocks", [1, 4])
def test_a_replay_of_few_blocks_has_no_interval_and_claims_nothing(n_blocks: int) -> None:
    found = compared(
        even("harmony", (0.01, 80.0), n_blocks=n_blocks),
        even("hpa", (0.01, 100.0), n_blocks=n_blocks),
    )
    assert found.ratio == pytest.approx(0.8)
    assert (
        "no difference is shown: -20.0% against hpa (the replay is too short for an interval)."
        in found.sentence()
    )
    assert found.to_json()["cost_ratio_low"] is None
    assert found.to_json()["cost_ratio_high"] is None


def test_after_a_setting_that_never_violates_the_cost_is_that_of_sharing_the_time() -> None:
    """The floor of the logarithm set the figure: 54.6 at 1e-5, 52.8 at 1e-7, 61.6 at 1e-3."""
    rate, cost = np.array([0.0, 0.02]), np.array([100.0, 50.0])
    assert cost_at(rate, cost, 0.01) == pytest.approx(75.0)
    assert cost_at(rate, cost, 1e-6) == pytest.approx(100.0, rel=1e-4)
    assert cost_at(rate, cost, 0.0) == 100.0


def test_below_the_floor_a_rate_is_not_reached_by_one_above_it() -> None:
    rate, cost = np.array([2e-6, 9e-6]), np.array([3.0, 1.0])
    assert cost_at(rate, cost, 2e-6) == pytest.approx(3.0)
    assert cost_at(rate, cost, 9e-6) == pytest.approx(1.0)
    assert np.isnan(cost_at(rate, cost, 1e-6))
    # sums of shares may be off by rounding
    assert cost_at(rate, cost, 2e-6 * (1 - 1e-12)) == pytest.approx(3.0)


@settings(max_examples=200, deadline=None)
@given(POINTS)
def test_at_a_setting_that_none_beats_the_cost_is_its_own(
    points: list[tuple[float, float]],
) -> None:
    rate, cost = np.array(points).T
    for epsilon, own in points:
        found, least = cost_at(rate, cost, epsilon), cost[rate <= epsilon * (1 + 1e-9)].min()
        assert found <= least * (1 + 1e-9)
        if own == least and (cost[rate < epsilon] > own).all():
            assert found == pytest.approx(own, rel=1e-9)


@settings(max_examples=200, deadline=None)
@given(POINTS, RATES)
def test_the_cost_lies_between_reached_settings_and_sharing_the_time_with_others(
    points: list[tuple[float, float]], epsilon: float
) -> None:
    """A mix with the next setting can be had where the logarithm is not used; it is no less."""
    rate, cost = np.array(points).T
    is_reached = rate <= epsilon * (1 + 1e-9)
    found = cost_at(rate, cost, epsilon)
    assert np.isnan(found) == (not is_reached.any())
    if np.isnan(found):
        return
    cheapest = cost[is_reached].min()
    assert cost.min() * (1 - 1e-9) <= found <= cheapest * (1 + 1e-9)
    last = rate[is_reached & (cost == cheapest)].min()
    if last < 1e-5:
        shared = [
            a + (b - a) * max(epsilon - low, 0.0) / (high - low)
            for low, a in zip(rate[is_reached], cost[is_reached], strict=True)
            for high, b in zip(rate[~is_reached], cost[~is_reached], strict=True)
        ]
        assert found >= min([cheapest, *shared]) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("own_usd", "words"),
    [
        (80.0, "hpa costs nothing and Harmony 80.00 USD, so there is no ratio."),
        (0.0, "neither Harmony nor hpa costs anything."),
    ],
)
def test_beside_a_rival_that_costs_nothing_there_is_no_ratio(own_usd: float, words: str) -> None:
    """All replicas of a service whose least count is 0 were put away for the whole replay."""
    found = compared(even("harmony", (0.01, own_usd)), even("hpa", (0.01, 0.0)))
    assert f"of time out of SLA): {words}" in found.sentence()
    assert found.sentence().endswith("at equal unserved demand hpa costs nothing.")
    told = found.to_json()
    assert (told["rival"], told["cost_ratio"], told["unserved"]["equal_cost_ratio"]) == (
        "hpa", None, None,
    )  # fmt: skip


def test_harmony_may_cost_nothing_beside_a_rival_that_does() -> None:
    found = compared(even("harmony", (0.01, 0.0)), even("hpa", (0.01, 50.0)))
    assert "Harmony is cheaper: -100.0% against hpa" in found.sentence()


def busy(*places: int) -> FloatArray:
    """Cost of ten blocks, of which some ran replicas."""
    cost = np.zeros((1, 10))
    cost[0, list(places)] = 100.0
    return cost


def test_where_few_blocks_cost_or_break_anything_the_replay_is_too_short() -> None:
    """A service that ran in two blocks of ten: resamples of nothing tell nothing."""
    never = np.zeros((1, 10))
    found = compared(frontier("harmony", never, 0.9 * busy(2, 5)), frontier("hpa", never, busy(2)))
    assert "(the replay is too short for an interval)" in found.sentence()
    assert found.ratio == pytest.approx(1.8)


def test_resamples_without_cost_have_no_ratio_and_beside_a_free_rival_no_end() -> None:
    never = np.zeros((1, 10))
    own = 0.9 * busy(0, 1, 2, 3, 4)
    alike = compared(frontier("harmony", never, own), frontier("hpa", never, own / 0.9))
    assert (alike.low, alike.high) == (pytest.approx(0.9), pytest.approx(0.9))
    found = compared(frontier("harmony", never, own), frontier("hpa", never, busy(2)))
    assert found.high == np.inf
    assert "to no end, as in resamples hpa costs nothing)" in found.sentence()
    assert found.to_json()["cost_ratio_high"] is None
