"""Steps of indicators known ahead (schedules), written before their time has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from sqlalchemy import Connection

from services.ingest.series import repository
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.copy_encoding import SeriesKey, StepRows, encode_indicators
from services.ingest.series.repository import SeriesRange
from services.ingest.series.resample import StepGrid, resample
from services.ingest.series.samples import SECOND_US, TimeSpan, to_us
from services.kernel.clock import floor_step
from services.kernel.settings import Settings

MOST_AHEAD = timedelta(days=2)
"""How far ahead a schedule may be written, or its workload's horizon where that is longer."""


@dataclass(frozen=True, slots=True)
class ScheduleSpan:
    """Steps `[start_us, end_us)` of a schedule that its samples may have changed."""

    workload: WorkloadRef
    indicator: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class ChangedSamples:
    """Times of the first sample of a series that is new or changed, and of its last sample."""

    first_at: datetime
    last_at: datetime


def ahead_limit(workload: WorkloadRef, indicator: IndicatorRef, settings: Settings) -> timedelta:
    """Time ahead of the clock that a sample of this indicator may be of."""
    if not indicator.is_known_ahead:
        return timedelta(seconds=settings.future_s)
    return max(MOST_AHEAD, timedelta(seconds=(settings.horizon_steps + 1) * workload.step_s))


def schedule_spans(
    workloads: Sequence[WorkloadRef],
    changed: Mapping[SeriesKey, ChangedSamples],
    now: datetime,
) -> list[ScheduleSpan]:
    """Schedules with samples of steps that are not complete yet, in the order of their keys.

    Args:
        workloads: Workloads that sent samples.
        changed: Per series its samples that are new or changed.
        now: Now.
    """
    found = []
    by_id = {workload.id: workload for workload in workloads}
    for key in sorted(changed):
        workload, samples = by_id[key.workload_id], changed[key]
        if not workload.indicators[key.indicator].is_known_ahead:
            continue
        step_s = workload.step_s
        start_at = max(floor_step(samples.first_at, step_s), floor_step(now, step_s))
        end_at = floor_step(samples.last_at, step_s) + timedelta(seconds=step_s)
        if end_at > start_at:
            found.append(ScheduleSpan(workload, key.indicator, to_us(start_at), to_us(end_at)))
    return found


def write_ahead(connection: Connection, series: Sequence[ScheduleSpan]) -> int:
    """Turn the samples of schedules into indicators now, for the forecasts before their time.

    Only steps with a sample are written: what is not scheduled yet is unknown. Once a step is
    complete it is resampled like any other, and a later sample changes it until then.

    Returns:
        Rows that are new or were changed.
    """
    n_rows = 0
    ordered = sorted(series, key=lambda one: one.workload.step_s)
    for step_s, group in groupby(ordered, key=lambda one: one.workload.step_s):
        n_rows += _write_group(connection, list(group), step_s * SECOND_US)
    return n_rows


def _write_group(connection: Connection, series: Sequence[ScheduleSpan], step_us: int) -> int:
    start_us = min(one.start_us for one in series)
    end_us = max(one.end_us for one in series)
    samples = repository.load_samples(
        connection,
        [SeriesRange(one.workload.id, one.indicator, one.start_us, one.end_us) for one in series],
    )
    grid = StepGrid(start_us, step_us, (end_us - start_us) // step_us)
    steps = resample(samples, np.zeros(len(series), dtype=bool), grid)
    number, step = np.nonzero(steps.observed)
    if not number.size:
        return 0
    step_at_us = start_us + step_us * step
    rows = StepRows(number, step_at_us, steps.value[number, step], steps.observed[number, step])
    keys = [SeriesKey(one.workload.id, one.indicator) for one in series]
    span = TimeSpan(int(step_at_us.min()), int(step_at_us.max()))
    return repository.write_indicators(connection, encode_indicators(keys, rows), span)
