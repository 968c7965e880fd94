"""Bounds of samples are those of each series by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.push.accepted import accept
from services.ingest.push.refused import Tally
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.known_series import SeriesRef, series_columns
from services.ingest.series.samples import Rejections, make_samples, to_us
from services.kernel.settings import Settings

NOW = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
LOAD = IndicatorRef("load_rps", False, False, "", largest=100.0)
HEAT = IndicatorRef("heat_celsius", False, is_signed=True, query="")
PLAN = IndicatorRef("plan_ratio", False, False, "", is_known_ahead=True)
INDICATORS = {one.name: one for one in (LOAD, HEAT, PLAN)}
MINUTES = WorkloadRef(1, "shop", "minutes", 0, 60, INDICATORS)
HOURS = WorkloadRef(2, "shop", "hours", 0, 3600, INDICATORS)
SETTINGS = Settings(late_s=600, future_s=60)


@pytest.mark.parametrize(
    ("workload", "indicator", "offset_s", "value", "reason"),
    [
        (MINUTES, LOAD, 0, 100.0, None),
        (MINUTES, LOAD, 0, 101.0, "implausible"),
        (MINUTES, LOAD, 0, -1.0, "negative"),
        (MINUTES, HEAT, 0, -1.0, None),
        (MINUTES, HEAT, 0, float("nan"), "not_finite"),
        (MINUTES, HEAT, 0, 9.1e18, "out_of_range"),
        (MINUTES, LOAD, 60, 1.0, None),
        (MINUTES, LOAD, 60.1, 1.0, "future"),
        (MINUTES, PLAN, 2 * 86_400, 1.0, None),
        (MINUTES, PLAN, 2 * 86_400 + 1, 1.0, "future"),
        (HOURS, PLAN, 2 * 86_400 + 1, 1.0, "future"),
        (MINUTES, LOAD, -630, 1.0, None),  # its step ended 10 minutes before 12:00:30, or later
        (MINUTES, LOAD, -690.5, 1.0, "ancient"),
        (HOURS, LOAD, -3000, 1.0, None),
        (HOURS, LOAD, -4230.5, 1.0, "ancient"),
    ],
)
def test_each_series_has_its_own_bounds(
    workload: WorkloadRef,
    indicator: IndicatorRef,
    offset_s: float,
    value: float,
    reason: str | None,
) -> None:
    series = series_columns([SeriesRef(workload, indicator), SeriesRef(MINUTES, HEAT)])
    at_us = to_us(NOW + timedelta(seconds=offset_s))
    samples = make_samples([1, 0], [to_us(NOW), at_us], [20.0, value])
    tally = Tally(Rejections())
    accepted = accept(samples, series, SETTINGS, NOW, tally)
    assert accepted.series.tolist() == ([0, 1] if reason is None else [1])
    assert [one.reason for one in tally.rejections.as_tuple()] == ([reason] if reason else [])
    assert tally.by_workload == ({workload.id: {reason: 1}} if reason else {})
    is_load = indicator is LOAD
    assert tally.plausible == ({workload.id} if is_load and reason is None else set())
    assert set(tally.implausible) == ({workload.id} if reason == "implausible" else set())
