"""How far an HPA's rate limits let one simulated sync go, by hand and beside many real ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.reactive.hpa import DEFAULT_DOWN, DEFAULT_UP
from services.simulator.policies.reactive.hpa_limits import (
    HpaEvent,
    HpaScalingPolicy,
    HpaScalingRules,
    SyncSpan,
    newer,
    reach,
)

LEAST_UP = replace(DEFAULT_UP, select="Min")
NO_BOUND = np.array([1e9])


def up(rules: HpaScalingRules, start: float, step_s: float, bound: float = 1e9) -> float:
    until = np.array([bound])
    return float(reach(rules, SyncSpan(0.0, step_s), np.array([start]), (), until=until, sign=1)[0])


def down(rules: HpaScalingRules, start: float, step_s: float) -> float:
    until = np.array([1.0])
    return float(
        reach(rules, SyncSpan(0.0, step_s), np.array([start]), (), until=until, sign=-1)[0]
    )


def rules_of(*policies: tuple[str, int, float], select: str = "Max") -> HpaScalingRules:
    return HpaScalingRules(tuple(HpaScalingPolicy(*p) for p in policies), 0.0, select)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rules", "start", "step_s", "farthest"),
    [
        (DEFAULT_UP, 2, 15, 6),
        (DEFAULT_UP, 2, 10, 6),  # a step of a period or less is one sync
        (DEFAULT_UP, 2, 30, 12),  # 6, 12
        (DEFAULT_UP, 2, 60, 48),  # 6, 12, 24, 48
        (DEFAULT_UP, 2, 40, 24),  # a third sync begins in it
        (LEAST_UP, 2, 60, 16),  # 4, 8, 12, 16: twice, and then 4 is the lesser
        (rules_of(("Percent", 10, 60.0)), 10, 180, 15),  # 11, 13, 15, each rounded up
        (rules_of(("Pods", 3, 60.0)), 10, 600, 40),
        (
            rules_of(("Pods", 4, 15.0), ("Pods", 100, 60.0)),
            10,
            60,
            122,
        ),  # the minute's at once, then 4, 4, 4
        (rules_of(("Pods", 4, 15.0), ("Pods", 10, 60.0), select="Min"), 10, 60, 20),
        (rules_of(("Pods", 4, 15.0), ("Pods", 10, 60.0), select="Min"), 10, 120, 30),
    ],
)
def test_up_by_hand(rules, start, step_s, farthest):
    assert up(rules, start, step_s) == farthest


@pytest.mark.parametrize(
    ("rules", "start", "step_s", "farthest"),
    [
        (DEFAULT_DOWN, 40, 15, 0),
        (rules_of(("Percent", 25, 60.0)), 10, 60, 7),
        (rules_of(("Percent", 25, 60.0)), 10, 180, 3),  # 7, 5, 3, each cut off
        (rules_of(("Pods", 2, 60.0)), 40, 600, 20),
    ],
)
def test_down_by_hand(rules, start, step_s, farthest):
    assert down(rules, start, step_s) == farthest


def test_a_direction_that_is_switched_off_stays_where_it_is():
    assert up(replace(DEFAULT_UP, select="Disabled"), 7, 600) == 7
    assert up(replace(DEFAULT_UP, policies=()), 7, 600) == 7


def test_what_is_beyond_the_bound_is_not_counted_out():
    """Steps of a day are 5,760 syncs; the bound is reached after a few."""
    assert 100 <= up(DEFAULT_UP, 2, 86_400, bound=100) < 200


def test_what_was_added_before_counts_in_the_period_that_it_is_within():
    before = (HpaEvent(-30.0, np.array([6.0])),)
    rules = rules_of(("Pods", 10, 60.0))

    def after(step_s: float) -> float:
        span = SyncSpan(0.0, step_s)
        return float(reach(rules, span, np.array([16.0]), before, until=NO_BOUND, sign=1)[0])

    assert after(60.0) == 20
    assert after(120.0) == 30
    assert newer(before, -30.0) == ()
    assert newer(before, -31.0) == before


entries = st.tuples(
    st.sampled_from(["Pods", "Percent"]), st.integers(1, 100), st.sampled_from([15.0, 30.0, 60.0])
)


@given(
    policies=st.lists(entries, min_size=1, max_size=3),
    select=st.sampled_from(["Max", "Min"]),
    start=st.integers(1, 40),
    n_periods=st.integers(1, 12),
    sign=st.sampled_from([1, -1]),
)
def test_one_long_step_goes_as_far_as_its_syncs_one_by_one(
    policies, select, start, n_periods, sign
):
    rules = rules_of(*policies, select=select)
    every_s = min(p.period_s for p in rules.policies)
    until = np.array([1e12 if sign > 0 else -1e12])
    first = np.array([float(start)])
    whole = reach(rules, SyncSpan(0.0, n_periods * every_s), first, (), until=until, sign=sign)
    replicas, events = first, []
    for sync in range(n_periods):
        span = SyncSpan(sync * every_s, every_s)
        further = reach(rules, span, replicas, events, until=until, sign=sign)
        events.append(HpaEvent(span.start_s, further - replicas))
        replicas = further
    assert whole[0] == replicas[0]
