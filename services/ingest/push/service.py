"""Use case: store samples that are sent, and ask for the steps that they complete or change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import psycopg
from sqlalchemy import Connection

from services.ingest.deps import IngestDeps
from services.ingest.push.accepted import accept
from services.ingest.push.refused import Tally
from services.ingest.push.stored import SeriesTimes, Stored, store
from services.ingest.series import repository
from services.ingest.series.catalog import WorkloadName, WorkloadRef
from services.ingest.series.known_series import SeriesColumns
from services.ingest.series.samples import (
    I64,
    UNKNOWN_INDICATOR,
    UNKNOWN_WORKLOAD,
    UNSET_US,
    Rejection,
    Rejections,
    Samples,
    to_us,
)
from services.ingest.series.translate import ParsedPush, parse_push
from services.kernel import jobs, telemetry
from services.kernel.clock import last_complete_step
from services.kernel.db.session import UnitOfWork, unit_of_work
from services.kernel.db.workload_errors import INGEST
from services.kernel.domain.objective import SERIES_PREFIX
from services.kernel.settings import Settings


@dataclass(frozen=True, slots=True)
class PushResult:
    """Outcome of a push."""

    n_accepted: int
    rejected: tuple[Rejection, ...]


def push(deps: IngestDeps, body: bytes) -> PushResult:
    """Store the samples of a push request.

    Raises:
        InvalidInput: The request has not the documented shape, or holds no sample.
        PayloadTooLarge: It holds too many samples.
    """
    with deps.decoding:
        parsed = parse_push(body, deps.settings.push_max_samples)
    parsed.check_any("observations")
    return write(deps, parsed, "push", deps.settings)


def write(deps: IngestDeps, parsed: ParsedPush, source: str, settings: Settings) -> PushResult:
    """Store samples that were sent, and ask for the steps that they complete or change.

    Args:
        deps: Dependencies.
        parsed: The samples.
        source: Label of the metrics.
        settings: What may be accepted.
    """
    once = _Write(deps, parsed, settings, deps.clock.now())
    try:
        tally, n_accepted = once.run()
    except psycopg.errors.UniqueViolation:  # nothing of it is stored: once more, with care
        deps.known.note_repeat()
        tally, n_accepted = once.run()
    measure(source, n_accepted, tally.rejections)
    return PushResult(n_accepted, tally.rejections.as_tuple())


@dataclass(frozen=True, slots=True)
class _Write:
    """One request, to be written in a transaction."""

    deps: IngestDeps
    parsed: ParsedPush
    settings: Settings
    now: datetime

    def run(self) -> tuple[Tally, int]:
        """Write it; returns what was refused, and how many samples were accepted.

        Raises:
            psycopg.errors.UniqueViolation: What seemed to be new is there; nothing is stored.
        """
        deps, now = self.deps, self.now
        tally = Tally(self.parsed.rejections.copy())
        with unit_of_work(deps.engine, deps.sender) as work:
            samples, series = _resolve(deps, work.connection, self.parsed, tally)
            accepted = accept(samples, series, self.settings, now, tally)
            times = SeriesTimes.of(accepted)
            seen = series.slots[times.series]
            are_new = deps.known.are_new(seen, times.first_us)
            stored = store(
                work.connection,
                accepted,
                series,
                now,
                are_new=are_new,
                also_locked=tally.by_workload,
            )
            tally.store(work.connection, now)
            _announce(deps, work, stored, now)
        deps.known.note_stored(seen, times.last_us)
        return tally, len(accepted)


def _resolve(
    deps: IngestDeps, connection: Connection, parsed: ParsedPush, tally: Tally
) -> tuple[Samples, SeriesColumns]:
    """Keep the samples of known indicators, and number their series in the order of their keys.

    In that order two pushes never wait for each other's rows in a circle.
    """
    slots = deps.known.find(parsed.names)
    found = np.flatnonzero(slots >= 0)
    series = deps.known.columns(slots[found])
    if len(found):
        standing = repository.find_standing(connection, series, INGEST)
        tally.failing = standing.failing
        if not standing.are_unchanged:
            slots[:] = -1
    if (slots < 0).any():
        tally.failing = None
        _look_up(deps, connection, parsed, slots, tally)
        found = np.flatnonzero(slots >= 0)
        series = deps.known.columns(slots[found])
    for number, counts in parsed.unreadable.items():
        place = int(np.searchsorted(found, number))
        if place < len(found) and found[place] == number:
            for reason, n in counts.items():
                tally.count(series.refs[place].workload.id, reason, n)
    order = np.argsort(series.rows["order"])
    renumber = np.full(len(parsed.names), -1, dtype=np.int64)
    renumber[found[order]] = np.arange(len(order))
    own = renumber[parsed.samples.series]
    kept = own >= 0
    samples = Samples(own[kept], parsed.samples.at_us[kept], parsed.samples.value[kept])
    return samples, series.take(order)


def _look_up(
    deps: IngestDeps, connection: Connection, parsed: ParsedPush, slots: I64, tally: Tally
) -> None:
    """Find the series that are not known, or no longer; those that nobody has registered stay -1.

    Args:
        deps: Dependencies.
        connection: An open transaction.
        parsed: The request.
        slots: Where the series are known, (N,), filled in here.
        tally: Counts what is refused.
    """
    numbers = np.flatnonzero(slots < 0).tolist()
    # not sorted: that of many names would hold up the other threads
    names = {WorkloadName(*parsed.names[number][:2]) for number in numbers}
    workloads = repository.find_workloads(connection, list(names), deps.catalog)
    for found in workloads.values():
        deps.known.learn(found)
    counts = np.bincount(parsed.samples.series, minlength=len(parsed.names))
    slots[numbers] = deps.known.find([parsed.names[number] for number in numbers])
    for number in numbers:
        name, n_samples = parsed.names[number], int(counts[number])
        workload = workloads.get(WorkloadName(*name[:2]))
        if workload is not None and name.indicator in workload.indicators:
            continue
        slots[number] = -1
        deps.known.forget(name)
        if workload is None:
            rule = "no active workload of this name whose spec can be read; register it first"
            tally.rejections.add(UNKNOWN_WORKLOAD, n_samples, f"{name}: {rule}")
            continue
        for reason, n in parsed.unreadable.get(number, {}).items():
            tally.count(workload.id, reason, n)
        rule = _names_rule(workload, name.indicator)
        tally.rejections.add(UNKNOWN_INDICATOR, n_samples, f"{name}: {rule}")
        if n_samples:
            tally.count(workload.id, UNKNOWN_INDICATOR, n_samples)


def _names_rule(workload: WorkloadRef, name: str) -> str:
    """What a name should have been: a count of the objective, or an indicator."""
    is_sli = name.startswith(SERIES_PREFIX)
    allowed = workload.names(is_sli=is_sli)
    if not allowed:
        return f"is a count of an objective ({SERIES_PREFIX}*), and sla.objective is not set"
    return f"must be one of {', '.join(allowed)}"


def _announce(deps: IngestDeps, work: UnitOfWork, stored: Stored, now: datetime) -> None:
    """One resampling job per shard with something to do.

    That is: samples of complete steps, or a step that has ended since the last job of this process.
    Samples that pace nothing announce no step, or the job of those that do would be missing.
    """
    shards = set()
    found = zip(stored.workloads, stored.reopen_us.tolist(), stored.newest_us.tolist(), strict=True)
    steps = {workload.step_s for workload in stored.workloads}
    origins_at = {step_s: last_complete_step(now, step_s) for step_s in steps}
    origins_us = {step_s: to_us(at) for step_s, at in origins_at.items()}
    for workload, reopen_us, newest_us in found:
        origin_at, origin_us = origins_at[workload.step_s], origins_us[workload.step_s]
        if reopen_us != UNSET_US and reopen_us <= origin_us:
            shards.add(workload.shard)
        if newest_us == UNSET_US:
            continue
        if deps.announced.get(workload.shard, origin_at) != origin_at:
            shards.add(workload.shard)
        deps.announced[workload.shard] = origin_at
    for shard in sorted(shards):
        work.send_after_commit(jobs.shard_job(jobs.INGEST_RESAMPLE, shard, now))


def measure(source: str, n_accepted: int, rejections: Rejections) -> None:
    """Count what a source delivered."""
    telemetry.samples_accepted_total.labels(source).inc(n_accepted)
    for rejection in rejections.as_tuple():
        telemetry.samples_rejected_total.labels(source, rejection.reason).inc(rejection.count)
