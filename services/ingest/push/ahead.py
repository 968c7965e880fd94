"""Steps of indicators known ahead (schedules), written before their time has come. Pure.

Only steps with a sample are written: what is not scheduled yet is unknown. Once a step is complete
it is resampled like any other, and a later sample changes it until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from services.ingest.push.spans import Changes, SeriesSpan
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.known_series import SeriesColumns
from services.ingest.series.samples import I64, to_us
from services.kernel.clock import floor_step
from services.kernel.settings import Settings

MOST_AHEAD = timedelta(days=2)
"""How far ahead a schedule may be written, or its workload's horizon where that is longer."""


def ahead_limit(workload: WorkloadRef, indicator: IndicatorRef, settings: Settings) -> timedelta:
    """Time ahead of the clock that a sample of this indicator may be of."""
    if not indicator.is_known_ahead:
        return timedelta(seconds=settings.future_s)
    return max(MOST_AHEAD, timedelta(seconds=(settings.horizon_steps + 1) * workload.step_s))


def ahead_limits_us(series: SeriesColumns, settings: Settings) -> I64:
    """The same of N series, in microseconds, (N,)."""
    most_us = MOST_AHEAD // timedelta(microseconds=1)
    scheduled_us = np.maximum(most_us, (settings.horizon_steps + 1) * series.step_us)
    measured_us = timedelta(seconds=settings.future_s) // timedelta(microseconds=1)
    return np.where(series.rows["is_known_ahead"], scheduled_us, measured_us)


def schedule_spans(
    workloads: Sequence[WorkloadRef], changed: Changes, now: datetime
) -> list[SeriesSpan]:
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
        indicator = workload.indicators[key.indicator]
        if not indicator.is_known_ahead:
            continue
        step_s = workload.step_s
        start_at = max(floor_step(samples.first_at, step_s), floor_step(now, step_s))
        end_at = floor_step(samples.last_at, step_s) + timedelta(seconds=step_s)
        if end_at > start_at:
            found.append(SeriesSpan(workload, indicator, to_us(start_at), to_us(end_at)))
    return found
