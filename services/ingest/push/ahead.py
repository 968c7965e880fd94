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
from services.ingest.series.samples import SECOND_US, to_us
from services.kernel.clock import floor_step
from services.kernel.settings import Settings

MOST_AHEAD = timedelta(days=2)
"""How far ahead a schedule may be written, or its workload's horizon where that is longer."""


@dataclass(frozen=True, slots=True)
class AheadSeries:
    """Steps `[start_us, end_us)` of a schedule that its samples may have changed."""

    workload: WorkloadRef
    indicator: str
    start_us: int
    end_us: int


def ahead_limit(workload: WorkloadRef, indicator: IndicatorRef, settings: Settings) -> timedelta:
    """How far ahead of the clock a sample of this indicator may be."""
    if not indicator.is_known_ahead:
        return timedelta(seconds=settings.future_s)
    return max(MOST_AHEAD, timedelta(seconds=(settings.horizon_steps + 1) * workload.step_s))


def ahead_series(
    workloads: Sequence[WorkloadRef],
    changed: Mapping[tuple[int, str], tuple[datetime, datetime]],
    now: datetime,
) -> list[AheadSeries]:
    """Schedules with samples of steps that are not complete yet, in the order of their keys.

    Args:
        workloads: Workloads that sent samples.
        changed: Per (workload id, indicator) time of its first changed and of its last sample.
        now: Now.
    """
    found = []
    by_id = {workload.id: workload for workload in workloads}
    for (workload_id, name), (first_at, last_at) in sorted(changed.items()):
        workload = by_id[workload_id]
        if not workload.indicators[name].is_known_ahead:
            continue
        step_s = workload.step_s
        start_at = max(floor_step(first_at, step_s), floor_step(now, step_s))
        end_at = floor_step(last_at, step_s) + timedelta(seconds=step_s)
        if end_at > start_at:
            found.append(AheadSeries(workload, name, to_us(start_at), to_us(end_at)))
    return found


def write_ahead(connection: Connection, series: Sequence[AheadSeries]) -> int:
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


def _write_group(connection: Connection, series: Sequence[AheadSeries], step_us: int) -> int:
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
    span_us = (int(step_at_us.min()), int(step_at_us.max()))
    return repository.write_indicators(connection, encode_indicators(keys, rows), span_us)
