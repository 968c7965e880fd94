"""Steps of schedules that a push may change before their time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.ingest.push.ahead import MOST_AHEAD, ahead_limit, schedule_spans
from services.ingest.push.spans import ChangedSamples, SeriesSpan
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.copy_encoding import SeriesKey
from services.ingest.series.samples import SECOND_US, to_us
from services.kernel.settings import Settings

NOW = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
PLAN = IndicatorRef("campaign_ratio", False, False, "", is_known_ahead=True)
LOAD = IndicatorRef("load_rps", False, False, "")
WORKLOAD = WorkloadRef(1, "shop", "llama", 0, 60, {PLAN.name: PLAN, LOAD.name: LOAD})


def at(minutes: float) -> datetime:
    return NOW.replace(second=0) + timedelta(minutes=minutes)


def test_only_steps_of_schedules_that_are_not_complete() -> None:
    times = {
        SeriesKey(1, LOAD.name): ChangedSamples(at(1), at(2)),
        SeriesKey(1, PLAN.name): ChangedSamples(at(-5), at(2.5)),
    }
    now_us = to_us(at(0))
    expected = SeriesSpan(WORKLOAD, PLAN, now_us, now_us + 3 * 60 * SECOND_US)
    assert schedule_spans([WORKLOAD], times, NOW) == [expected]
    past = {SeriesKey(1, PLAN.name): ChangedSamples(at(-5), at(-1))}
    assert schedule_spans([WORKLOAD], past, NOW) == []


def test_a_schedule_may_be_as_far_ahead_as_two_days_or_the_horizon() -> None:
    settings = Settings(horizon_steps=12, future_s=30)
    assert ahead_limit(WORKLOAD, LOAD, settings) == timedelta(seconds=30)
    assert ahead_limit(WORKLOAD, PLAN, settings) == MOST_AHEAD
    daily = WorkloadRef(1, "shop", "llama", 0, 86_400, WORKLOAD.indicators)
    assert ahead_limit(daily, PLAN, settings) == timedelta(days=13)
