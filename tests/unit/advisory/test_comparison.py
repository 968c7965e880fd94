"""SideBySide of what ran with what Harmony would have run: sums, intervals, words."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.advisory.block_sums import BlockSums
from services.advisory.comparison import (
    Estimate,
    Ran,
    SideBySide,
    compare,
    ran,
)
from tests.unit.advisory.reported import sums
from tests.unit.advisory.test_counterfactual import NAN, stored


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_figures_are_those_of_all_blocks_together() -> None:
    found = compare([sums()], rng())
    assert found is not None
    assert (found.hours, found.known_hours, found.today_usd) == (240.0, 240.0, 1000.0)
    assert found.today_ratio == pytest.approx(0.02)
    assert found.harmony_usd.value == pytest.approx(800.0)
    assert found.cost_change.value == pytest.approx(-0.2)
    assert found.harmony_ratio.value == pytest.approx(0.01)
    assert found.ratio_change.value == pytest.approx(-0.01)
    # equal blocks leave nothing to chance
    assert found.cost_change.low == found.cost_change.high == pytest.approx(-0.2)
    assert found.sentence(0.05) == (
        "Harmony would have cost 20.0% less (90 % interval -20.0% to -20.0%), "
        "with 1.00 points less time out of SLA (-1.00 to -1.00 points)."
    )


def test_an_interval_covers_what_blocks_differ_by() -> None:
    uneven = sums()
    uneven.harmony_usd[:5], uneven.harmony_usd[5:] = 60.0, 120.0
    found = compare([uneven], rng())
    assert found is not None
    assert found.cost_change.value == pytest.approx(-0.1)
    assert found.cost_change.low is not None
    assert found.cost_change.high is not None
    assert -0.35 < found.cost_change.low < -0.2
    assert 0.0 <= found.cost_change.high < 0.15
    assert found.sentence().startswith("No difference in cost is shown: -10.0%")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(1.0, 100.0), min_size=10, max_size=10),
    st.lists(st.floats(1.0, 100.0), min_size=10, max_size=10),
    st.floats(0.01, 100.0),
)
def test_another_currency_changes_no_share(
    today: list[float], harmony: list[float], rate: float
) -> None:
    one = replace(sums(), today_usd=np.array(today), harmony_usd=np.array(harmony))
    dear = replace(one, today_usd=rate * one.today_usd, harmony_usd=rate * one.harmony_usd)
    found, other = compare([one], rng()), compare([dear], rng())
    assert found is not None
    assert other is not None
    assert astuple(other.cost_change) == pytest.approx(astuple(found.cost_change))
    assert other.harmony_usd.high == pytest.approx(rate * (found.harmony_usd.high or 0.0))
    low, high = found.harmony_usd.low or 0.0, found.harmony_usd.high or 0.0
    assert (
        10 * min(harmony) <= low * (1 + 1e-9) <= high * (1 + 2e-9) <= 10 * max(harmony) * (1 + 1e-8)
    )


def test_workloads_together_are_their_sums() -> None:
    found = compare([sums(), sums(today=300.0, harmony=360.0)], rng())
    assert found is not None
    assert (found.hours, found.today_usd) == (480.0, 4000.0)
    assert found.harmony_usd.value == pytest.approx(4400.0)
    assert found.sentence().startswith("Harmony would have cost 10.0% more")


def test_blocks_without_anything_to_compare_do_not_count() -> None:
    holes = BlockSums(*(np.concatenate([column, np.zeros(90)]) for column in sums().columns()))
    with_holes, without = compare([holes], rng()), compare([sums()], rng())
    assert with_holes == without


def test_little_has_no_interval_and_nothing_no_figure() -> None:
    found = compare([sums(n_blocks=4)], rng())
    assert found is not None
    assert found.cost_change.value == pytest.approx(-0.2)
    assert (found.cost_change.low, found.cost_change.high) == (None, None)
    assert "too short for an interval" in found.sentence()
    none = BlockSums(*(np.zeros(10) for _ in range(6)))
    assert compare([none], rng()) is None
    assert compare([], rng()) is None


def test_an_unknown_demand_leaves_the_cost_known() -> None:
    zero = np.zeros(10)
    found = compare(
        [replace(sums(), known_hours=zero, today_out_h=zero, harmony_out_h=zero)], rng()
    )
    assert found is not None
    assert (found.today_ratio, found.harmony_ratio) == (None, Estimate(None))
    assert found.sentence(0.01).endswith("and of time out of SLA nothing is known.")
    assert found.to_json()["harmony_believed_ratio"] == {"value": None, "low": None, "high": None}


def test_what_cost_nothing_is_compared_with_nothing() -> None:
    found = compare([sums(today=0.0)], rng())
    assert found is not None
    assert found.cost_change == Estimate(None)
    assert found.harmony_usd.value == pytest.approx(800.0)
    assert found.sentence().startswith("Nothing ran that cost anything")


def test_a_promise_that_would_have_been_broken_is_named() -> None:
    found = compare([sums()], rng())
    assert isinstance(found, SideBySide)
    assert found.sentence(0.005).endswith("broken its promise of 0.50%: 1.00%, believed.")


def test_what_ran_is_measured_by_steps_or_by_requests() -> None:
    steps = stored([1.0, 1.0, 1.0, NAN])
    steps.measured[:] = [0.2, 0.5, NAN, 1.0]
    steps.requests[:] = [300.0, 100.0, NAN, 100.0]
    steps.believed[:] = [0.0, NAN, 0.5, 1.0]
    by_steps = ran(steps, steps.is_compared, is_of_requests=False)
    assert by_steps == Ran(0.5, 12.0, pytest.approx(0.25), pytest.approx(0.35))
    assert (by_steps.ratio, by_steps.source) == (by_steps.measured_ratio, "measured")
    steps.missed[:] = [0.1, 0.4, NAN, 1.0]
    by_requests = ran(steps, steps.is_compared, is_of_requests=True)
    assert by_requests.measured_ratio == pytest.approx((30 + 40) / 400)


def test_minutes_of_an_earlier_promise_of_time_are_no_requests() -> None:
    """A minute was bad when a twentieth missed: it counted as if all of its requests had."""
    steps = stored([1.0, 1.0])
    steps.measured[:], steps.requests[:], steps.missed[:] = 1.0, 100.0, 0.06
    found = ran(steps, steps.is_compared, is_of_requests=True)
    assert found.measured_ratio == pytest.approx(0.06)


def test_what_ran_and_was_not_measured_is_believed_or_unknown() -> None:
    none = np.zeros(1)
    silent = replace(stored([1.0]), requests=none, measured=none, missed=none)
    found = ran(silent, silent.is_compared, is_of_requests=True)
    assert (found.ratio, found.source) == (0.0, "believed")
    nothing = ran(silent, np.zeros(1, dtype=bool), is_of_requests=True)
    assert nothing == Ran(0.0, None, None, None)
    assert nothing.to_json()["source"] is None


def test_a_small_difference_is_not_none_and_rounding_is_no_difference() -> None:
    """A cost that was four hundredths of a percent lower was told as 0.0% less."""
    leaner = compare([sums(harmony=99.96)], rng())
    assert leaner is not None
    assert leaner.sentence().startswith(
        "Harmony would have cost 0.04% less (90 % interval -0.04% to -0.04%)"
    )
    assert leaner.to_json()["cost_change"]["value"] == pytest.approx(-0.0004)
    seldom = sums()
    seldom.today_out_h[:], seldom.harmony_out_h[:] = 0.0, 24 * 0.00002
    found = compare([seldom], rng())
    assert found is not None
    assert "with 0.002 points more time out of SLA (+0.002 to +0.002 points)" in found.sentence()
    assert found.to_json()["harmony_believed_ratio"]["value"] == pytest.approx(0.00002)
    same = compare([sums(harmony=100.0 * (1 + 1e-12))], rng())
    assert same is not None
    assert same.cost_change == Estimate(0.0, 0.0, 0.0)
