"""Accepted samples are written, and the cursors of their workloads moved."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import Connection

from services.ingest.push.ahead import schedule_spans
from services.ingest.push.counts import count_spans
from services.ingest.push.cursor_repository import CursorMoves, note_samples
from services.ingest.push.spans import ChangedSamples, write_spans
from services.ingest.series import repository
from services.ingest.series.catalog import WorkloadRef
from services.ingest.series.copy_encoding import SeriesKey, encode_observations
from services.ingest.series.known_series import SeriesColumns
from services.ingest.series.samples import I64, UNSET_US, Samples, TimeSpan, from_us, to_us


@dataclass(frozen=True, slots=True)
class Stored:
    """Effect of a write of samples on K workloads.

    Attributes:
        workloads: The workloads, (K,).
        newest_us: Time of the newest sample that paces each, (K,); `UNSET_US`: only schedules and
            counts of its objective.
        reopen_us: First step that its new or changed samples belong to, at most the one that is
            running, (K,); `UNSET_US`: all were known, or are counts of its objective.
    """

    workloads: Sequence[WorkloadRef]
    newest_us: I64
    reopen_us: I64

    @property
    def is_any_reopened(self) -> bool:
        """True where some step has new or changed samples."""
        return bool((self.reopen_us != UNSET_US).any())


@dataclass(frozen=True, slots=True)
class SeriesTimes:
    """Times of the samples of S series.

    Attributes:
        series: Their numbers, (S,).
        first_us: Of each the first sample that is new or changed, (S,).
        last_us: Its last sample, (S,).
    """

    series: I64
    first_us: I64
    last_us: I64

    @classmethod
    def of(cls, samples: Samples) -> SeriesTimes:
        """Those of samples that are sorted by series and time, all of them new."""
        is_border = samples.series[1:] != samples.series[:-1]
        is_edge = np.ones(min(1, len(samples)), dtype=bool)
        is_first = np.concatenate([is_edge, is_border])
        is_last = np.concatenate([is_border, is_edge])
        return cls(samples.series[is_first], samples.at_us[is_first], samples.at_us[is_last])


def store(
    connection: Connection,
    samples: Samples,
    series: SeriesColumns,
    now: datetime,
    *,
    are_new: bool = False,
    also_locked: Collection[int] = (),
) -> Stored:
    """Write accepted samples, move the cursors, write what waits for nothing.

    Args:
        connection: An open transaction.
        samples: Sorted by series and time, no time twice in a series.
        series: Their series.
        now: Now.
        are_new: None of the samples is there yet, which is what the database then insists on.
        also_locked: Further workloads whose cursors the transaction writes to later on. All are
            locked here, in one order: else two writers wait for each other's in a circle.

    Raises:
        psycopg.errors.UniqueViolation: One of them is there, and `are_new` says otherwise.
    """
    if not len(samples):
        return Stored((), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    times = SeriesTimes.of(samples)
    span = TimeSpan(int(samples.at_us.min()), int(samples.at_us.max()))
    chunks = encode_observations(series.keys, samples)
    if are_new:
        repository.copy_new_observations(connection, chunks, span)
        changed = times
    else:
        found = repository.write_observations(connection, chunks, span)
        changed = _changed(found, series, times)
    stored = _by_workload(series, times, changed, now)
    note_samples(connection, _moves(stored, also_locked), now)
    # after the cursors: they are locked now, so that another push's samples are there, or wait
    _write_at_once(connection, series, changed, now)
    return stored


def _moves(stored: Stored, also_locked: Collection[int]) -> CursorMoves:
    """What is stored means for cursors; further ones are locked and stay where they are."""
    own = np.array([workload.id for workload in stored.workloads], dtype=np.int64)
    moves = CursorMoves.none({*own.tolist(), *also_locked})
    place = np.searchsorted(moves.ids, own)
    reopen_us, newest_us = moves.reopen_us.copy(), moves.newest_us.copy()
    reopen_us[place], newest_us[place] = stored.reopen_us, stored.newest_us
    return CursorMoves(moves.ids, reopen_us, newest_us)


def _changed(
    found: dict[SeriesKey, datetime], series: SeriesColumns, times: SeriesTimes
) -> SeriesTimes:
    """Times of the series that have new or changed samples."""
    first_us = np.full(len(times.series), UNSET_US, dtype=np.int64)
    for position, number in enumerate(times.series.tolist()):
        at = found.get(series.refs[number].key)
        if at is not None:
            first_us[position] = to_us(at)
    kept = first_us != UNSET_US
    return SeriesTimes(times.series[kept], first_us[kept], times.last_us[kept])


def _by_workload(
    series: SeriesColumns, times: SeriesTimes, changed: SeriesTimes, now: datetime
) -> Stored:
    """What the samples mean for each workload, in the order of their ids.

    A schedule says nothing of what is measured, and a count of the objective must not close a step
    before its demand is there. Counts open no step either: they are written at once.
    """
    rows = series.rows
    ids, first, place = np.unique(
        rows["workload_id"][times.series], return_index=True, return_inverse=True
    )
    newest_us = np.full(len(ids), UNSET_US, dtype=np.int64)
    paces = rows["is_pacing"][times.series]
    np.maximum.at(newest_us, place[paces], times.last_us[paces])
    own, step_us = rows[changed.series], series.step_us[changed.series]
    # a counter's reading at the very end of a step closes it
    at_us = np.where(
        own["is_counter"], changed.first_us - 1, np.minimum(changed.first_us, to_us(now))
    )
    opens = ~own["is_sli"]
    reopen_us = np.full(len(ids), np.iinfo(np.int64).max, dtype=np.int64)
    of_changed = np.searchsorted(ids, own["workload_id"])
    np.minimum.at(reopen_us, of_changed[opens], (at_us // step_us * step_us)[opens])
    reopen_us[reopen_us == np.iinfo(np.int64).max] = UNSET_US
    workloads = [series.refs[number].workload for number in times.series[first].tolist()]
    return Stored(workloads, newest_us, reopen_us)


def _write_at_once(
    connection: Connection, series: SeriesColumns, changed: SeriesTimes, now: datetime
) -> None:
    """Write steps of schedules and of counts of objectives, which wait for nothing."""
    rows = series.rows[changed.series]
    workloads, times = {}, {}
    for place in np.flatnonzero(rows["is_sli"] | rows["is_known_ahead"]).tolist():
        ref = series.refs[int(changed.series[place])]
        workloads[ref.workload.id] = ref.workload
        first_at, last_at = from_us(changed.first_us[place]), from_us(changed.last_us[place])
        times[ref.key] = ChangedSamples(first_at, last_at)
    found = list(workloads.values())
    write_spans(connection, [*schedule_spans(found, times, now), *count_spans(found, times, now)])
