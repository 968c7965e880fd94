"""What was measured of the requests of finished steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider import SliSteps
from services.decision.rows.measured import StepSli, measure, open_steps, without_floor
from services.decision.rows.members import ShardMember
from tests.unit.decision.rows.measured_workloads import (
    GRID,
    ORIGIN_S,
    STEP_S,
    measured_member,
    member,
    sampled,
)

NAN = float("nan")


def steps(one: ShardMember, **counts: Any) -> dict[float, StepSli]:
    return dict(measure(one, sampled(**counts), GRID, False).steps)


def test_a_step_of_a_promise_of_time_is_good_or_bad() -> None:
    found = steps(measured_member(), ttft_total=[100.0, 100.0], ttft_good=[98.0, 90.0])
    before, last = found[ORIGIN_S - STEP_S], found[ORIGIN_S]
    assert (before.requests, before.miss_high, before.violation_ratio) == pytest.approx(
        (100, 0.02, 0.0)
    )
    assert (last.miss_low, last.miss_high, last.violation_ratio) == pytest.approx((0.1, 0.1, 1.0))


def test_one_of_a_promise_of_requests_is_the_share_that_missed() -> None:
    one = measured_member(kind="DemandFraction")
    found = steps(one, ttft_total=[100.0], ttft_good=[90.0], ttft_upto=[94.0], lost=[0.0])
    assert found[ORIGIN_S] == StepSli(
        *(pytest.approx(x) for x in (100.0, 0.06, 0.1, 0.1, 0.1, 0.06, 100.0, 100.0, 0.1, 100.0))  # type: ignore[arg-type]
    )


def test_unknown_steps_are_not_there() -> None:
    found = steps(measured_member(), ttft_total=[NAN, 100.0], ttft_good=[90.0, 99.0])
    assert list(found) == [ORIGIN_S]


def test_silence_while_something_waits_is_a_violation() -> None:
    found = steps(measured_member(), waiting=[3.0])
    assert found[ORIGIN_S] == StepSli(3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 1.0, 3.0)


def test_nothing_is_measured_without_an_objective_or_its_series() -> None:
    counts: dict[str, Any] = {"ttft_total": [100.0], "ttft_good": [90.0]}
    assert steps(member(), **counts) == {}
    assert steps(measured_member(series=()), waiting=[3.0]) == {}


def test_a_minute_that_may_have_been_good_is_one_by_the_least_that_was_missed() -> None:
    counts: dict[str, Any] = {"ttft_total": [100.0], "ttft_good": [90.0]}
    for upto, least in ((96.0, 0.0), (94.0, 1.0)):
        found = steps(measured_member(), **counts, ttft_upto=[upto], lost=[0.0])[ORIGIN_S]
        assert (found.violation_ratio, found.low_violation_ratio) == (1.0, least)


@given(st.floats(1, 3600), st.floats(0, 7200))
def test_steps_stay_open_until_what_is_late_has_come(step_s: float, late_s: float) -> None:
    assert (open_steps(step_s, late_s) - 1) * step_s >= late_s
    assert (open_steps(step_s, late_s) - 4) * step_s <= late_s + 60.0


@pytest.mark.parametrize(
    ("kind", "floor", "curable"),
    [
        ("DemandFraction", 0.0, 0.2),
        ("DemandFraction", 0.1, 1 / 9),
        ("DemandFraction", 0.3, 0.0),
        ("TimeFraction", 0.0, 1.0),
        ("TimeFraction", 0.1, 1.0),
        ("TimeFraction", 0.18, 0.0),
    ],
)
def test_what_misses_at_any_load_is_no_lesson_but_it_counts(
    kind: str, floor: float, curable: float
) -> None:
    one = measured_member(kind=kind)
    counts = sampled(ttft_total=[100.0], ttft_good=[80.0])
    found = measure(one, counts, GRID, False, floor).steps[ORIGIN_S]
    assert found.curable_ratio == pytest.approx(curable)
    assert found.violation_ratio == pytest.approx(0.2 if kind == "DemandFraction" else 1.0)


@given(miss=st.floats(0.0, 1.0), floor=st.floats(0.0, 0.99), more=st.floats(0.0, 1.0))
def test_the_curable_share_is_at_most_the_missed_one(
    miss: float, floor: float, more: float
) -> None:
    shares = np.array([miss, min(1.0, miss + more)])
    found = without_floor(SliSteps(np.full(2, 10.0), shares, shares), floor).miss_high
    assert (found <= shares + 1e-12).all()
    assert found[0] <= found[1] + 1e-12
    assert found.min() >= 0
