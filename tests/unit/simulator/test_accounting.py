"""Accounting of one step against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator import account_step
from services.simulator.accounting import mean_ready
from services.simulator.engine.specs import Interval

PIECES = [Interval(0, 20, 2, 5), Interval(20, 50, 4, 5), Interval(50, 60, 5, 5)]


def test_by_hand():
    # capacity 10: 20 s at 20, 30 s at 40, 10 s at 50 against a demand of 45
    a = account_step(PIECES, 45.0, 10.0, 2)
    assert a.duration_s == a.known_s == 60
    assert a.violation_s == 50
    assert a.shortage == 20 * 25 + 30 * 5
    assert a.gpu_s == 60 * 5 * 2
    assert a.busy_gpu_s == pytest.approx((20 * 20 + 30 * 40 + 10 * 45) / 10 * 2)
    assert a.ready_mean == pytest.approx((40 + 120 + 50) / 60)


def test_exactly_enough_is_enough():
    assert account_step([Interval(0, 60, 3, 3)], 3 * 0.1, 0.1, 1).violation_s == 0
    assert account_step([Interval(0, 60, 3, 3)], 0.3001, 0.1, 1).violation_s == 60


def test_unknown_demand_is_not_a_zero_and_not_a_violation():
    a = account_step(PIECES, float("nan"), 10.0, 1)
    assert a.known_s == 0
    assert a.violation_s == 0
    assert a.gpu_s == 300


@pytest.mark.parametrize("bad", [[], [Interval(0, 20, 1, 1), Interval(30, 60, 1, 1)]])
def test_intervals_must_cover_the_step(bad):
    with pytest.raises(ValueError, match="intervals"):
        account_step(bad, 1.0, 1.0, 1)


@given(
    cuts=st.lists(st.floats(0.01, 59.99), min_size=1, max_size=6, unique=True),
    counts=st.lists(st.integers(0, 9), min_size=8, max_size=8),
    demand=st.floats(0, 12),
)
def test_cutting_an_interval_changes_nothing(cuts, counts, demand):
    edges = [0.0, *sorted(cuts), 60.0]
    pieces = [Interval(a, b, n, n + 1) for a, b, n in zip(edges, edges[1:], counts, strict=False)]
    halves = [
        half
        for p in pieces
        for mid in [(p.start_s + p.end_s) / 2]
        for half in (
            Interval(p.start_s, mid, p.ready, p.bound),
            Interval(mid, p.end_s, p.ready, p.bound),
        )
    ]
    whole, cut = account_step(pieces, demand, 1.3, 2), account_step(halves, demand, 1.3, 2)
    for field in ("violation_s", "shortage", "gpu_s", "busy_gpu_s", "ready_mean"):
        assert np.isclose(getattr(whole, field), getattr(cut, field), atol=1e-6)


def test_ready_replicas_are_averaged_over_time():
    assert mean_ready(PIECES) == pytest.approx((20 * 2 + 30 * 4 + 10 * 5) / 60)
    assert mean_ready([]) == 0.0
