"""Steps of the counts of objectives, written as their samples arrive. Pure.

No model reads a count, so none is waited for, none makes a step due and none opens one again: what
is forecast, and when, is the same with and without them. A count that comes late corrects its step.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.ingest.push.spans import Changes, SeriesSpan
from services.ingest.series.catalog import WorkloadRef
from services.ingest.series.samples import to_us
from services.kernel.clock import floor_step

_INSTANT = timedelta(microseconds=1)


def count_spans(
    workloads: Sequence[WorkloadRef], changed: Changes, now: datetime
) -> list[SeriesSpan]:
    """Steps of counts that new or changed samples tell of, in the order of their keys.

    Args:
        workloads: Workloads that sent samples.
        changed: Per series its samples that are new or changed.
        now: Now; the running step is written as far as it is known.
    """
    found = []
    by_id = {workload.id: workload for workload in workloads}
    for key in sorted(changed):
        workload, samples = by_id[key.workload_id], changed[key]
        indicator = workload.indicators[key.indicator]
        if not indicator.is_sli:
            continue
        step = timedelta(seconds=workload.step_s)
        start_at, end_at = samples.first_at, floor_step(samples.last_at, workload.step_s) + step
        if indicator.is_counter:  # a reading at the very end of a step closes it
            start_at -= _INSTANT
            end_at += step  # the next reading may rise from the last of these
        start_at = floor_step(start_at, workload.step_s)
        end_at = min(end_at, floor_step(now, workload.step_s) + step)
        if end_at > start_at:
            found.append(SeriesSpan(workload, indicator, to_us(start_at), to_us(end_at)))
    return found
