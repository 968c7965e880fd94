"""Steps of counts of an objective that a push may change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.ingest.push.counts import count_spans
from services.ingest.push.spans import ChangedSamples, SeriesSpan
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.copy_encoding import SeriesKey
from services.ingest.series.samples import to_us

NOW = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
LOAD = IndicatorRef("load_rps", True, False, "")
TOTAL = IndicatorRef("sli_ttft_total", True, False, "", is_sli=True)
WAITING = IndicatorRef("sli_waiting", False, False, "", is_sli=True)
WORKLOAD = WorkloadRef(1, "shop", "llama", 0, 60, {i.name: i for i in (LOAD, TOTAL, WAITING)})


def at(minutes: float) -> datetime:
    return NOW.replace(second=0) + timedelta(minutes=minutes)


def spans(indicator: IndicatorRef, first: float, last: float) -> list[SeriesSpan]:
    changed = {SeriesKey(1, indicator.name): ChangedSamples(at(first), at(last))}
    return count_spans([WORKLOAD], changed, NOW)


def span(indicator: IndicatorRef, start: float, end: float) -> SeriesSpan:
    return SeriesSpan(WORKLOAD, indicator, to_us(at(start)), to_us(at(end)))


def test_only_counts_are_written_at_once() -> None:
    assert spans(LOAD, -3, -2) == []


def test_a_gauge_changes_the_steps_that_its_samples_lie_in() -> None:
    assert spans(WAITING, -3, -2.5) == [span(WAITING, -3, -2)]


def test_a_reading_closes_a_step_and_another_may_rise_from_it() -> None:
    assert spans(TOTAL, -3, -2.5) == [span(TOTAL, -4, -1)]
    assert spans(TOTAL, -2.5, -2.5) == [span(TOTAL, -3, -1)]


def test_no_step_to_come_is_written() -> None:
    assert spans(TOTAL, 0, 0.9) == [span(TOTAL, -1, 1)]
    assert spans(WAITING, 1.5, 1.5) == []
