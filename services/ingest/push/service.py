"""Use case: store samples that are sent, and ask for the steps that they complete or change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np
from sqlalchemy import Connection

from services.ingest.deps import IngestDeps
from services.ingest.push.ahead import ahead_limit, schedule_spans
from services.ingest.push.counts import count_spans
from services.ingest.push.refused import Tally
from services.ingest.push.spans import ChangedSamples, write_spans
from services.ingest.series import repository
from services.ingest.series.catalog import IndicatorRef, WorkloadName, WorkloadRef
from services.ingest.series.copy_encoding import SeriesKey, encode_observations
from services.ingest.series.plausible import plausible_rule
from services.ingest.series.samples import (
    ANCIENT,
    FUTURE,
    IMPLAUSIBLE,
    NEGATIVE,
    NOT_FINITE,
    OUT_OF_RANGE,
    SECOND_US,
    UNKNOWN_INDICATOR,
    UNKNOWN_WORKLOAD,
    Bounds,
    Rejection,
    Rejections,
    Samples,
    TimeSpan,
    from_us,
    screen,
    show_us,
    sort_unique,
    to_us,
)
from services.ingest.series.translate import ParsedPush, describe_time, parse_push
from services.kernel import jobs, telemetry
from services.kernel.clock import floor_step, last_complete_step
from services.kernel.db.session import UnitOfWork, unit_of_work
from services.kernel.domain.objective import SERIES_PREFIX
from services.kernel.settings import Settings


@dataclass(frozen=True, slots=True)
class PushResult:
    """Outcome of a push."""

    n_accepted: int
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class SeriesRef:
    """A series of a known workload and indicator."""

    workload: WorkloadRef
    indicator: IndicatorRef

    @property
    def key(self) -> SeriesKey:
        """Key of its rows."""
        return SeriesKey(self.workload.id, self.indicator.name)

    def __str__(self) -> str:
        return f"{self.workload.namespace}/{self.workload.name} {self.indicator.name}"


def push(deps: IngestDeps, body: bytes) -> PushResult:
    """Store the samples of a push request.

    Raises:
        InvalidInput: The request has not the documented shape.
        PayloadTooLarge: It holds too many samples.
    """
    with deps.decoding:
        parsed = parse_push(body, deps.settings.push_max_samples)
    return write(deps, parsed, "push", deps.settings)


def write(deps: IngestDeps, parsed: ParsedPush, source: str, settings: Settings) -> PushResult:
    """Store samples that were sent, and ask for the steps that they complete or change.

    Args:
        deps: Dependencies.
        parsed: The samples.
        source: Label of the metrics.
        settings: What may be accepted.
    """
    tally = Tally(parsed.rejections)
    now = deps.clock.now()
    with unit_of_work(deps.engine, deps.sender) as work:
        # not sorted: that of many names would hold up the other threads
        names = {WorkloadName(name.namespace, name.workload) for name in parsed.names}
        known = repository.find_workloads(work.connection, list(names), deps.catalog)
        samples, series = _resolve(parsed, known, tally)
        accepted = accept(samples, series, settings, now, tally)
        stored = store(work.connection, accepted, series, now)
        tally.store(work.connection, now)
        _announce(deps, work, stored, now)
    measure(source, len(accepted), tally.rejections)
    _watch_age(deps, stored)
    return PushResult(len(accepted), tally.rejections.as_tuple())


def _resolve(
    parsed: ParsedPush, known: dict[WorkloadName, WorkloadRef], tally: Tally
) -> tuple[Samples, list[SeriesRef]]:
    """Keep the samples of known indicators and number their series anew."""
    counts = np.bincount(parsed.samples.series, minlength=len(parsed.names))
    refs: dict[int, SeriesRef] = {}
    for number, name in enumerate(parsed.names):
        workload = known.get(WorkloadName(name.namespace, name.workload))
        n_samples = int(counts[number])
        if workload is None:
            rule = "no active workload of this name; register it first"
            tally.rejections.add(UNKNOWN_WORKLOAD, n_samples, f"{name}: {rule}")
            continue
        for reason, n in parsed.unreadable.get(number, {}).items():
            tally.count(workload.id, reason, n)
        indicator = workload.indicators.get(name.indicator)
        if indicator is None:
            rule = _names_rule(workload, name.indicator)
            tally.rejections.add(UNKNOWN_INDICATOR, n_samples, f"{name}: {rule}")
            if n_samples:
                tally.count(workload.id, UNKNOWN_INDICATOR, n_samples)
            continue
        refs[number] = SeriesRef(workload, indicator)
    # in the order of the keys, so that two pushes never wait for each other's rows in a circle
    order = sorted(refs, key=lambda number: refs[number].key)
    renumber = np.full(len(parsed.names), -1, dtype=np.int64)
    renumber[order] = np.arange(len(order))
    kept = parsed.samples.where(renumber[parsed.samples.series] >= 0)
    samples = Samples(renumber[kept.series], kept.at_us, kept.value)
    return samples, [refs[number] for number in order]


def _names_rule(workload: WorkloadRef, name: str) -> str:
    """What a name should have been: a count of the objective, or an indicator."""
    is_sli = name.startswith(SERIES_PREFIX)
    allowed = workload.names(is_sli=is_sli)
    if not allowed:
        return f"is a count of an objective ({SERIES_PREFIX}*), and sla.objective is not set"
    return f"must be one of {', '.join(allowed)}"


def accept(
    samples: Samples, series: Sequence[SeriesRef], settings: Settings, now: datetime, tally: Tally
) -> Samples:
    """The usable samples, sorted, each time once per series; the refused ones go to `tally`."""
    late = timedelta(seconds=settings.late_s)
    ahead = [ahead_limit(ref.workload, ref.indicator, settings) for ref in series]
    bounds = Bounds(
        oldest_us=np.array([_oldest_us(ref, now - late) for ref in series], dtype=np.int64),
        newest_us=np.array([to_us(now + limit) for limit in ahead], dtype=np.int64),
        is_signed=np.array([ref.indicator.is_signed for ref in series], dtype=bool),
        largest=np.array([ref.indicator.largest_sample for ref in series]),
    )
    usable, refused = screen(samples, bounds)
    for reason, positions in refused.items():
        number, at_us = int(samples.series[positions[0]]), int(samples.at_us[positions[0]])
        shown = f"{series[number]} at {show_us(at_us)}: {samples.value[positions[0]]:g}"
        rule = _rule(reason, settings, at_us)
        if reason == FUTURE and series[number].indicator.is_known_ahead:
            rule = f"is more than {ahead[number]} ahead{describe_time(at_us)}; send it later"
        if reason == IMPLAUSIBLE:
            rule = plausible_rule(series[number].indicator.largest_sample)
            _name_implausible(tally, samples.where(positions), series)
        tally.rejections.add(reason, len(positions), f"{shown} {rule}")
        numbers, counts = np.unique(samples.series[positions], return_counts=True)
        for number, n in zip(numbers.tolist(), counts.tolist(), strict=True):
            tally.count(series[number].workload.id, reason, n)
    taken = (series[number] for number in np.unique(usable.series).tolist())
    tally.plausible |= {ref.workload.id for ref in taken if ref.indicator.is_gauge_load}
    return sort_unique(usable)


def _name_implausible(tally: Tally, refused: Samples, series: Sequence[SeriesRef]) -> None:
    """Name for each workload the first load that was refused."""
    numbers, first = np.unique(refused.series, return_index=True)
    for number, value in zip(numbers.tolist(), refused.value[first].tolist(), strict=True):
        ref = series[number]
        rule = plausible_rule(ref.indicator.largest_sample)
        tally.implausible.setdefault(ref.workload.id, f"{ref.indicator.name}={value:g} {rule}")


def _oldest_us(ref: SeriesRef, late_at: datetime) -> int:
    """Start of the oldest step that ended at `late_at` or later."""
    step_us = ref.workload.step_s * SECOND_US
    return -(-to_us(late_at) // step_us) * step_us - step_us


def _rule(reason: str, settings: Settings, at_us: int) -> str:
    return {
        IMPLAUSIBLE: "",  # tells the workload's own bound
        NOT_FINITE: "is not finite; leave the sample out",
        OUT_OF_RANGE: "is larger than anything measured (an exporter's word for no value?)",
        NEGATIVE: "is negative, and its unit cannot be; leave the sample out",
        FUTURE: f"is more than future_s={settings.future_s:g} s ahead{describe_time(at_us)}",
        ANCIENT: f"its step ended more than late_s={settings.late_s:g} s ago; "
        "older history is loaded by a back-fill",
    }[reason]


@dataclass(frozen=True, slots=True)
class Stored:
    """Effect of a write of samples on one workload.

    Attributes:
        workload: The workload.
        newest_at: Time of its newest sample that paces it; None: only schedules and counts of its
            objective.
        reopen_at: First step that its new or changed samples belong to, at most the one that is
            running; None: all were known, or are counts of its objective.
    """

    workload: WorkloadRef
    newest_at: datetime | None
    reopen_at: datetime | None


def store(
    connection: Connection, samples: Samples, series: Sequence[SeriesRef], now: datetime
) -> list[Stored]:
    """Write accepted samples (sorted by series), move the cursors, write what waits for nothing."""
    if not len(samples):
        return []
    refs = {ref.key: ref for ref in series}
    chunks = encode_observations(list(refs), samples)
    span = TimeSpan(int(samples.at_us.min()), int(samples.at_us.max()))
    changed = repository.write_observations(connection, chunks, span)
    reopen_at = _reopened(refs, changed, now)
    last_at = _last_at(series, samples)
    newest_at = _newest_at(refs, last_at)
    repository.note_samples(connection, reopen_at, newest_at, now)
    # after the cursors: they are locked now, so that another push's samples are there, or wait
    workloads = {ref.workload.id: ref.workload for ref in series}
    times = {key: ChangedSamples(first_at, last_at[key]) for key, first_at in changed.items()}
    found = list(workloads.values())
    write_spans(connection, [*schedule_spans(found, times, now), *count_spans(found, times, now)])
    return [Stored(workloads[id_], at, reopen_at.get(id_)) for id_, at in newest_at.items()]


def _last_at(series: Sequence[SeriesRef], samples: Samples) -> dict[SeriesKey, datetime]:
    """Per series the time of its newest sample; `samples` are sorted by series and time."""
    is_last = np.append(samples.series[1:] != samples.series[:-1], True)
    pairs = zip(samples.series[is_last].tolist(), samples.at_us[is_last].tolist(), strict=True)
    return {series[number].key: from_us(at_us) for number, at_us in pairs}


def _newest_at(
    refs: Mapping[SeriesKey, SeriesRef], last_at: Mapping[SeriesKey, datetime]
) -> dict[int, datetime | None]:
    """Per workload the time of its newest sample that paces it.

    A schedule says nothing of what is measured, and a count of the objective must not close a step
    before its demand is there.
    """
    newest: dict[int, datetime | None] = {}
    for key, at in last_at.items():
        known = newest.setdefault(key.workload_id, None)
        if refs[key].indicator.is_pacing:
            newest[key.workload_id] = at if known is None else max(known, at)
    return newest


def _reopened(
    refs: Mapping[SeriesKey, SeriesRef],
    changed: Mapping[SeriesKey, datetime],
    now: datetime,
) -> dict[int, datetime]:
    """Per workload the first step that its changed samples belong to, none after `now`.

    Counts of objectives open no step: they are written at once.
    """
    first: dict[int, datetime] = {}
    for key, at in changed.items():
        ref = refs[key]
        if ref.indicator.is_sli:
            continue
        if ref.indicator.is_counter:  # a reading at the very end of a step closes it
            step_at = floor_step(at - timedelta(microseconds=1), ref.workload.step_s)
        else:
            step_at = floor_step(min(at, now), ref.workload.step_s)
        first[key.workload_id] = min(first.get(key.workload_id, step_at), step_at)
    return first


def _announce(deps: IngestDeps, work: UnitOfWork, stored: list[Stored], now: datetime) -> None:
    """One resampling job per shard with something to do.

    That is: samples of complete steps, or a step that has ended since the last job of this process.
    Samples that pace nothing announce no step, or the job of those that do would be missing.
    """
    shards = set()
    for found in stored:
        workload = found.workload
        origin_at = last_complete_step(now, workload.step_s)
        if found.reopen_at is not None and found.reopen_at <= origin_at:
            shards.add(workload.shard)
        if found.newest_at is None:
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


def _watch_age(deps: IngestDeps, stored: list[Stored]) -> None:
    """Let the age of the newest sample grow while nothing arrives."""
    for found in stored:
        workload = found.workload
        if found.newest_at is None:
            continue
        newest_at = max(deps.newest_at.get(workload.id, found.newest_at), found.newest_at)
        deps.newest_at[workload.id] = newest_at
        # each time: the series goes with its workload, and comes back when that does
        gauge = telemetry.metrics_age_seconds.labels(workload.namespace, workload.name)
        gauge.set_function(partial(_age_s, deps, workload.id))


def _age_s(deps: IngestDeps, workload_id: int) -> float:
    return (deps.clock.now() - deps.newest_at[workload_id]).total_seconds()
