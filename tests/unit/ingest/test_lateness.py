"""When a source counts as late, and when not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from services.ingest.lateness import MIN_STEPS, LoadAnswer, SourceLateness
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.known_series import SeriesRef
from services.ingest.series.samples import to_us
from services.ingest.series.source import Points
from services.kernel.settings import Settings

T0 = datetime(2026, 1, 5, tzinfo=UTC)
SETTINGS = Settings(pull_interval_s=15, late_s=600)
LOAD = IndicatorRef("load_rps", False, False, "sum(rate(x[$step]))", largest=1e5)
Value = Callable[[int, int], float | None]


def ref(indicator: IndicatorRef = LOAD) -> SeriesRef:
    return SeriesRef(WorkloadRef(1, "shop", "w", 0, 60, {indicator.name: indicator}), indicator)


def pulled(
    lateness: SourceLateness, value: Value, n_steps: int, of: SeriesRef | None = None
) -> None:
    """Pull each 15 s; `value` is of a step by its number and its age in seconds."""
    for now_s in range(5, n_steps * 60 + 5, 15):
        newest = now_s // 60
        found = [(n, value(n, now_s - n * 60)) for n in range(max(0, newest - 9), newest + 1)]
        ends = [to_us(T0 + timedelta(minutes=n)) for n, one in found if one is not None]
        points = Points(
            np.array(ends, dtype=np.int64), np.array([one for _, one in found if one is not None])
        )
        answer = LoadAnswer(of or ref(), T0 + timedelta(minutes=newest), points)
        lateness.note([answer], T0 + timedelta(seconds=now_s), SETTINGS)


def late(n: int, age_s: int) -> float:
    return (100.0 + n) * (0.7 if age_s < 30 else 1.0)


def test_first_answers_that_are_too_low_again_and_again_are_told_with_the_remedy() -> None:
    lateness = SourceLateness()
    pulled(lateness, late, MIN_STEPS + 3)
    assert lateness.of(1) == {}, "too few steps"
    pulled(lateness, late, 30)
    words = lateness.of(1)["load_rps"]
    assert words is not None
    assert "reads 70% of what the same step reads later" in words
    assert words.endswith("(HARMONY_SOURCE_LATE_S) to 35 (20 is too little)")


def test_steps_that_come_whole_end_it() -> None:
    lateness = SourceLateness()
    pulled(lateness, lambda n, age_s: late(n, age_s) if n < 40 else 100.0, 100)
    assert lateness.of(1) == {"load_rps": None}


@pytest.mark.parametrize(
    "value",
    [
        lambda n, age_s: 50.0 + 40 * np.sin(n),  # a load that moves is the same at each look
        lambda n, age_s: 100.0 * (0.98 if age_s < 30 else 1.0),  # a little
        lambda n, age_s: 100.0 * (0.2 if age_s < 30 and n % 3 == 0 else 1.0),  # now and then
        lambda n, age_s: 100.0 * (1.5 if age_s < 30 else 1.0),  # too high
    ],
)
def test_what_is_as_it_was_is_not_told(value: Value) -> None:
    lateness = SourceLateness()
    pulled(lateness, value, 40)
    assert lateness.of(1) == {"load_rps": None}


def test_nothing_at_first_is_the_least_of_all() -> None:
    lateness = SourceLateness()
    pulled(lateness, lambda n, age_s: None if age_s < 60 else 100.0, 40)
    words = lateness.of(1)["load_rps"]
    assert words is not None
    assert "reads 0%" in words


@pytest.mark.parametrize("value", [lambda n, age_s: 0.0, lambda n, age_s: None])
def test_where_nothing_is_nothing_is_known(value: Value) -> None:
    lateness = SourceLateness()
    pulled(lateness, value, 40)
    assert lateness.of(1) == {}


def test_another_query_begins_anew_and_what_is_no_load_is_not_looked_at() -> None:
    lateness = SourceLateness()
    pulled(lateness, late, 40)
    other = IndicatorRef("load_rps", False, False, "sum(rate(y[$step]))", largest=1e5)
    pulled(lateness, late, 2, ref(other))
    assert lateness.of(1) == {}
    instant = IndicatorRef("load_rps", False, False, "sum(y)", largest=1e5)
    pulled(lateness, late, 40, ref(instant))
    assert lateness.of(1) == {}
