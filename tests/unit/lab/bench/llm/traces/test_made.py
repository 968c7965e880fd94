"""Traces made by a seed."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.llm.traces.made import HOURS, day_rate, made_trace, split_at


@pytest.mark.parametrize("name", HOURS)
def test_a_seed_makes_the_same_trace_and_another_one_another(name: str) -> None:
    first, again, other = (made_trace(name, seed) for seed in (7, 7, 8))
    assert np.array_equal(first.requests.arrival_ms, again.requests.arrival_ms)
    assert not np.array_equal(first.requests.arrival_ms[:50], other.requests.arrival_ms[:50])
    assert first.history is None
    assert first.until_s == pytest.approx(4200.0, abs=10.0)


@pytest.mark.parametrize(("name", "most"), [("ramp", 24.0), ("burst", 16.0), ("level", 18.0)])
def test_the_rate_changes_only_in_the_scored_part(name: str, most: float) -> None:
    rate = HOURS[name](np.random.default_rng(3))
    assert np.ptp(rate[:600]) == 0
    assert rate.max() >= most
    assert rate.max() <= 3.0 * rate[0] or name == "ramp"


def test_days_are_not_compressed() -> None:
    rate = day_rate(2, np.random.default_rng(5))
    assert rate.size == 2 * 86_400
    first = rate[:86_400].reshape(24, -1).mean(axis=1)
    assert first.max() / first.min() == pytest.approx(4.0, rel=0.35)
    assert 12 <= int(first.argmax()) <= 18


def test_a_day_has_two_days_of_history_and_twice_the_rate_twice_the_requests() -> None:
    whole, half = made_trace("day", 7, 0.02), made_trace("day", 7, 0.01)
    assert whole.history is not None
    assert whole.history.arrival_ms[-1] < 0 <= whole.requests.arrival_ms[0]
    assert len(whole.requests) == pytest.approx(2 * len(half.requests), rel=0.1)
    assert whole.until_s == pytest.approx(90_000, rel=0.01)


def test_a_split_keeps_every_request() -> None:
    requests = made_trace("burst", 7).requests
    before, after = split_at(requests, 1000.0)
    assert len(before) + len(after) == len(requests)
    assert before.arrival_ms[-1] < 0 <= after.arrival_ms[0]
