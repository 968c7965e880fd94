"""Steps that are written as their samples arrive, without waiting until they are complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import numpy as np
from sqlalchemy import Connection

from services.ingest.series import repository
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.copy_encoding import SeriesKey
from services.ingest.series.repository import SeriesRange
from services.ingest.series.resample import StepGrid, resample
from services.ingest.series.samples import SECOND_US
from services.ingest.series.step_blocks import StepSeries, StepValues, to_blocks
from services.kernel.db.steps.writing import write_steps


@dataclass(frozen=True, slots=True)
class SeriesSpan:
    """Steps `[start_us, end_us)` of a series that its samples may have changed."""

    workload: WorkloadRef
    indicator: IndicatorRef
    start_us: int
    end_us: int

    @property
    def raw(self) -> SeriesRange:
        """Raw samples that tell of these steps: of a counter also those at both ends."""
        is_counter = self.indicator.is_counter
        step_us = self.workload.step_s * SECOND_US
        return SeriesRange(
            self.workload.id,
            self.indicator.name,
            self.start_us - (step_us if is_counter else 0),
            self.end_us + (1 if is_counter else 0),
        )


@dataclass(frozen=True, slots=True)
class ChangedSamples:
    """Times of the first sample of a series that is new or changed, and of its last sample."""

    first_at: datetime
    last_at: datetime


Changes = Mapping[SeriesKey, ChangedSamples]


def write_spans(connection: Connection, spans: Sequence[SeriesSpan]) -> int:
    """Turn the samples of some series into indicators now; only observed values are stored.

    Returns:
        Steps of workloads that are new or were changed.
    """
    n_rows = 0
    ordered = sorted(spans, key=lambda one: one.workload.step_s)
    for step_s, group in groupby(ordered, key=lambda one: one.workload.step_s):
        n_rows += _write_group(connection, list(group), step_s * SECOND_US)
    return n_rows


def _write_group(connection: Connection, spans: Sequence[SeriesSpan], step_us: int) -> int:
    start_us = np.array([one.start_us for one in spans], dtype=np.int64)[:, None]
    end_us = np.array([one.end_us for one in spans], dtype=np.int64)[:, None]
    first_us = int(start_us.min())
    samples = repository.load_samples(connection, [one.raw for one in spans])
    grid = StepGrid(first_us, step_us, (int(end_us.max()) - first_us) // step_us)
    is_counter = np.array([one.indicator.is_counter for one in spans], dtype=bool)
    steps = resample(samples, is_counter, grid)
    grid_us = first_us + step_us * np.arange(grid.n_steps, dtype=np.int64)
    number, step = np.nonzero(steps.observed & (grid_us >= start_us) & (grid_us < end_us))
    if not number.size:
        return 0
    found = StepValues(
        number, grid_us[step], steps.value[number, step], steps.observed[number, step]
    )
    series = [StepSeries(one.workload, one.indicator.name) for one in spans]
    return write_steps(connection, to_blocks(series, found))
