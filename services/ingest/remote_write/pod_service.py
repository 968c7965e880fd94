"""Use case: store counters of single pods, and write the steps of the counts that they add up to.

What is stored are the readings. The steps that they tell of are made anew from all of them at each
write, under a lock on the workload: so the order, the process and a repeated write do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import Connection

from services.ingest.deps import IngestDeps
from services.ingest.push.accepted import accept
from services.ingest.push.cursor_repository import CursorMoves, note_samples
from services.ingest.push.refused import Tally
from services.ingest.remote_write.pods import PodCounter
from services.ingest.series import pod_repository
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.copy_encoding import SeriesKey
from services.ingest.series.known_series import SeriesRef, series_columns
from services.ingest.series.pod_memory import PodKey
from services.ingest.series.pod_rates import Buckets, series_rates, sum_rates
from services.ingest.series.pod_repository import PodSeries
from services.ingest.series.resample import StepGrid
from services.ingest.series.samples import (
    F64,
    SECOND_US,
    TOO_MANY_SERIES,
    Rejections,
    Samples,
    TimeSpan,
    from_us,
    make_samples,
    to_us,
)
from services.ingest.step_blocks import StepSeries, StepValues, to_blocks
from services.kernel import telemetry
from services.kernel.clock import floor_step
from services.kernel.db.session import unit_of_work
from services.kernel.db.steps.writing import write_steps
from services.kernel.settings import Settings

MOST_PODS = 500
"""Series of one count of one workload that are alive: their readings are read at each write."""
_ALIVE = timedelta(minutes=5)  # how long Prometheus repeats the last sample of a series


@dataclass(frozen=True, slots=True)
class PodsWritten:
    """Outcome of a write of pods' counters.

    Attributes:
        n_stored: Readings stored.
        n_done: Samples that are done with: stored, or buckets that no goal needs.
        n_histograms: Native histograms that are.
    """

    n_stored: int = 0
    n_done: int = 0
    n_histograms: int = 0


@dataclass(frozen=True, slots=True)
class PodStep:
    """Steps of one count that new readings tell of.

    Attributes:
        workload: The workload.
        indicator: `sli_GOAL` of a histogram, else the name of the count.
        threshold_s: The goal's threshold; None: no histogram.
        span: First and last of the readings.
    """

    workload: WorkloadRef
    indicator: str
    threshold_s: float | None
    span: TimeSpan


def write_pods(
    deps: IngestDeps,
    counters: Sequence[PodCounter],
    rejections: Rejections,
    settings: Settings,
    source: str,
) -> PodsWritten:
    """Store readings of pods, and write what the steps that they belong to add up to.

    Args:
        deps: Dependencies.
        counters: What was sent, of workloads that the sender may write to.
        rejections: Counts what is refused.
        settings: What may be accepted.
        source: Label of the metrics.
    """
    if not counters:
        return PodsWritten()
    now = deps.clock.now()
    tally = Tally(rejections)
    with unit_of_work(deps.engine, deps.sender) as work:
        ids = {one.count.workload.id for one in counters}
        note_samples(work.connection, CursorMoves.none(ids), now)  # locks their cursors
        permitted = _permitted(deps, work.connection, counters, now, tally)
        useful = _useful(deps, permitted)
        usable = _usable(useful, settings, now, tally)
        _store(work.connection, useful, usable)
        for one in _changed(useful, usable):
            _write_steps(work.connection, one, now)
        tally.store(work.connection, now)
    telemetry.samples_accepted_total.labels(source).inc(len(usable))
    is_native = np.array([one.is_native for one in useful], dtype=bool)[usable.series]
    is_all = np.array([math.isinf(one.count.edge_s) for one in useful], dtype=bool)[usable.series]
    n_useless = sum(len(one.at_us) for one in permitted) - sum(len(one.at_us) for one in useful)
    return PodsWritten(
        len(usable),
        int(np.count_nonzero(~is_native)) + n_useless,
        int(np.count_nonzero(is_native & is_all)),
    )


def _key(one: PodCounter) -> PodKey:
    count = one.count
    return PodKey(count.workload.id, count.indicator, one.pod, count.threshold_s)


def _permitted(
    deps: IngestDeps,
    connection: Connection,
    counters: Sequence[PodCounter],
    now: datetime,
    tally: Tally,
) -> list[PodCounter]:
    """Counters of pods that are known, and of new ones while there are not too many."""
    new = deps.pods.unknown({_key(one) for one in counters})
    places = {(key.workload_id, key.indicator) for key in new}
    alive = pod_repository.alive_pods(connection, places, now - _ALIVE)
    refused: set[PodKey] = set()
    for key in sorted(new):
        pods = alive[key.workload_id, key.indicator]
        if key.pod not in pods and len(pods) >= MOST_PODS:
            refused.add(key)
        else:
            pods.add(key.pod)
    kept = [one for one in counters if _key(one) not in refused]
    for one in counters:
        if _key(one) in refused:
            workload, n = one.count.workload, len(one.at_us)
            rule = (
                f"more than {MOST_PODS} series are alive; sum them by a recording rule, and give "
                "the count a query"
            )
            name = f"{workload.namespace}/{workload.name} {one.count.indicator}"
            tally.rejections.add(TOO_MANY_SERIES, n, f"{name}: {rule}")
            tally.count(workload.id, TOO_MANY_SERIES, n)
    return kept


def _useful(deps: IngestDeps, counters: Sequence[PodCounter]) -> list[PodCounter]:
    """Without the buckets that no goal needs; of each counter all readings together."""
    edges: dict[PodKey, set[float]] = {}
    for one in counters:
        edges.setdefault(_key(one), set()).add(one.count.edge_s)
    wanted = {key: deps.pods.useful_edges(key, found) for key, found in edges.items()}
    return [one for one in counters if one.count.edge_s in wanted[_key(one)]]


def _usable(
    counters: Sequence[PodCounter], settings: Settings, now: datetime, tally: Tally
) -> Samples:
    """Readings that may be stored, each time once; the series is a position in `counters`."""
    sizes = [len(one.at_us) for one in counters]
    samples = make_samples(
        np.repeat(np.arange(len(counters)), sizes),
        [at_us for one in counters for at_us in one.at_us],
        [value for one in counters for value in one.value],
    )
    refs = [
        SeriesRef(
            one.count.workload,
            IndicatorRef(one.count.indicator, True, is_signed=False, query="", is_sli=True),
        )
        for one in counters
    ]
    return accept(samples, series_columns(refs), settings, now, tally)


def _store(connection: Connection, counters: Sequence[PodCounter], samples: Samples) -> None:
    series = [
        PodSeries(one.count.workload.id, one.count.indicator, one.pod, one.count.edge_s)
        for one in counters
    ]
    pod_repository.write_readings(connection, series, samples)


def _changed(counters: Sequence[PodCounter], samples: Samples) -> list[PodStep]:
    """The counts that readings came for, in the order of their keys."""
    numbers, place = np.unique(samples.series, return_inverse=True)
    firsts_us = np.full(numbers.size, np.iinfo(np.int64).max)
    lasts_us = np.full(numbers.size, np.iinfo(np.int64).min)
    np.minimum.at(firsts_us, place, samples.at_us)
    np.maximum.at(lasts_us, place, samples.at_us)
    found: dict[SeriesKey, PodStep] = {}
    ends_us = zip(firsts_us.tolist(), lasts_us.tolist(), strict=True)
    for number, ends in zip(numbers.tolist(), ends_us, strict=True):
        count, span = counters[number].count, TimeSpan(*ends)
        key = SeriesKey(count.workload.id, count.indicator)
        if key in found:
            known = found[key].span
            first_us, last_us = min(span.first_us, known.first_us), max(span.last_us, known.last_us)
            span = TimeSpan(first_us, last_us)
        found[key] = PodStep(count.workload, count.indicator, count.threshold_s, span)
    return [found[key] for key in sorted(found)]


def _write_steps(connection: Connection, one: PodStep, now: datetime) -> None:
    """Write the steps anew from all readings; the running one as far as it is known."""
    step = timedelta(seconds=one.workload.step_s)
    start_at = floor_step(from_us(one.span.first_us - 1), one.workload.step_s)
    end_at = floor_step(min(from_us(one.span.last_us), now), one.workload.step_s) + step
    if end_at <= start_at:
        return
    grid = StepGrid(to_us(start_at), one.workload.step_s * SECOND_US, (end_at - start_at) // step)
    readings = pod_repository.load_readings(
        connection, one.workload.id, one.indicator, TimeSpan(grid.start_us, grid.end_us)
    )
    rates = series_rates(readings.samples, len(readings.pod), grid)
    if one.threshold_s is None:
        found = {one.indicator: sum_rates(rates)}
    else:
        counted = Buckets(rates, readings.pod, readings.edge_s).counted(one.threshold_s)
        found = {f"{one.indicator}_{end}": values for end, values in counted.items()}
    _write_rates(connection, one.workload, found, grid)


def _write_rates(
    connection: Connection, workload: WorkloadRef, found: dict[str, F64], grid: StepGrid
) -> None:
    names = sorted(found)
    values = np.array([found[name] for name in names])
    number, step = np.nonzero(np.isfinite(values))
    if not number.size:
        return
    step_us = grid.start_us + grid.step_us * step
    observed = np.ones(len(number), dtype=bool)
    steps = StepValues(number, step_us, values[number, step].astype(np.float32), observed)
    series = [StepSeries(workload, name) for name in names]
    write_steps(connection, to_blocks(series, steps))
