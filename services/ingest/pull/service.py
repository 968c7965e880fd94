"""Use case: pull the indicators that have a query from a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
from pydantic import ValidationError
from sqlalchemy import Connection

from services.ingest.deps import IngestDeps
from services.ingest.lateness import LoadAnswer
from services.ingest.pull.absent import SeriesQuery, find_zeros, zeros_between
from services.ingest.pull.history import HistoryFrame, WorkloadHistory, backfill
from services.ingest.pull.in_flight import fetch_in_flight
from services.ingest.pull.past_asked import (
    corrected,
    in_turn,
    is_outdated,
    is_silent,
    is_unasked,
    is_unnoted,
    known_until,
    needs_history,
    note_of_counts,
    note_of_past,
    note_of_queries,
    unasked_of,
)
from services.ingest.pull.patience import Patience
from services.ingest.pull.queries import (
    NOT_TRIED,
    QueryAnswer,
    fetch_all,
    join_answers,
    numbered,
    queries_of,
)
from services.ingest.pull.told import AnswerFaults, note_faults, note_late, note_missing, note_slow
from services.ingest.push.accepted import accept
from services.ingest.push.refused import Tally
from services.ingest.push.service import measure
from services.ingest.push.stored import store
from services.ingest.series import shard_repository
from services.ingest.series.catalog import WorkloadCatalog, WorkloadRef
from services.ingest.series.due import CursorRow, judged_within_s
from services.ingest.series.in_flight_repository import store_in_flight
from services.ingest.series.known_series import series_columns
from services.ingest.series.repository import load_own_shards
from services.ingest.series.resample import StepGrid, resample
from services.ingest.series.samples import SECOND_US, Rejections, join_samples, sort_unique, to_us
from services.ingest.series.shard_repository import ShardRow
from services.ingest.series.source import (
    BAD_STATUS,
    FORBIDDEN,
    MALFORMED,
    NOT_EVALUATED,
    PARTIAL,
    TIMEOUT,
    UNREACHABLE,
    Source,
)
from services.kernel import jobs
from services.kernel.clock import floor_step, make_rng
from services.kernel.db.session import unit_of_work
from services.kernel.db.session_lock import session_lock
from services.kernel.server_clock import not_ahead

_MOST_HISTORY = timedelta(days=30)
_MOST_TIMEOUTS = 3
"""Workloads of a pull whose histories take too long, until the others are left for the next."""
_MAY_PASS = frozenset(
    {UNREACHABLE, TIMEOUT, FORBIDDEN, BAD_STATUS, MALFORMED, NOT_EVALUATED, PARTIAL, NOT_TRIED}
)
"""Reasons for which a source gives no history now, and may give one later."""


@dataclass(frozen=True, slots=True)
class PullResult:
    """Samples that a pull stored, and queries that failed.

    Attributes:
        n_accepted: Samples stored.
        n_history_rows: Indicator rows written by back-fills.
        n_errors: Failed queries by reason.
    """

    n_accepted: int
    n_history_rows: int
    n_errors: dict[str, int]


def pull_shard(deps: IngestDeps, shard: int, at: datetime) -> PullResult:
    """Fetch what is missing of a shard's complete steps.

    A workload without recent samples gets its history first. The prior learns from that, and its
    response from what its objective counted then; so it does where an objective is new or another,
    of a few workloads in each pull. Where that was answered with nothing, a workload is silent: its
    past is asked for again now and then, after all newest steps, and once more in the first pull
    that finds a newer sample. The newest steps are always asked for again, as
    far back as a late sample may change them: what the source got late arrives, and what is known
    already changes nothing.

    A failed query is counted and its steps stay gaps; the others go on. So it is with an answer
    that lacks a part of the data: by the sum of the rest a service would be scaled in under load.
    When the server itself does not answer, the rest of the queries are not tried. The counts of
    objectives come when all else is stored: neither a slow query of theirs nor one that fails keeps
    a step from its forecast.

    A workload with a query that took too long in the last pull comes after all others, and only for
    as long as a query may take: neither it nor its owner's other workloads keep the others from
    their steps. It is told so until its queries are answered in time.

    A shard is pulled by one worker at a time: where the source is slow, more jobs of it come than
    are done, and each would ask for the same. A clock that is ahead of the database's counts as it:
    of steps to come a source has nothing, which an indicator may take for zero.
    """
    if deps.source is None:
        return PullResult(0, 0, {})
    with session_lock(deps.engine, f"harmony.ingest.pull.{shard}") as is_mine:
        return _pulled(deps, deps.source, shard, at) if is_mine else PullResult(0, 0, {})


def _pulled(deps: IngestDeps, source: Source, shard: int, at: datetime) -> PullResult:
    """Pull a shard that nobody else pulls."""
    with unit_of_work(deps.engine) as work:
        if shard not in load_own_shards(work.connection, deps.settings.cluster):
            return PullResult(0, 0, {})  # a job of another cluster's, which its own workers pull
        at = not_ahead(work.connection, at, deps.clock)
        found = shard_repository.load_shard(work.connection, shard)
        readable = _readable(work.connection, found, deps.catalog)
    rows = [row for row in readable if row.workload.has_query]
    stale = [row for row in rows if needs_history(row, at, deps.settings.late_s)]
    rng = make_rng(deps.settings.seed, "history", shard, at.isoformat())
    stale = in_turn(stale, rng)
    unasked = unasked_of(rows, stale)
    patience = Patience(len({row.workload.namespace for row in rows}))
    pull = _Pull(deps, source, shard, at, patience)
    pull.note_asked([row for row in readable if is_unnoted(row)], note_of_queries)
    pull.all_of([row for row in rows if not row.is_slow], stale, unasked)
    slow = [row for row in rows if row.is_slow]
    if slow:
        patience.limit(deps.settings.prometheus_timeout_s)
        # in any order: where there is no time for all of them, each has its turn
        pull.all_of([slow[at] for at in rng.permutation(len(slow)).tolist()], stale, unasked)
    # of who is silent nothing is missing that is not asked for again anyway
    told = [row for row in [*stale, *unasked] if not is_silent(row)]
    note_missing(deps.engine, told, pull.missing, at)
    note_slow(deps.engine, readable, patience, at)
    note_faults(deps.engine, readable, pull.faults, at)
    note_late(deps.engine, readable, deps.lateness, at)
    return PullResult(pull.n_accepted, pull.n_history_rows, dict(pull.errors))


def _readable(
    connection: Connection, found: Sequence[ShardRow], catalog: WorkloadCatalog
) -> list[CursorRow]:
    """Those whose specs can be read; the others are named where the shard is resampled."""
    rows: list[CursorRow] = []
    for row in found:
        try:
            rows += shard_repository.to_cursors(connection, [row], catalog)
        except ValidationError:
            continue
    return rows


@dataclass(slots=True)
class _Pull:
    """One pull of a shard, and what has come of it so far.

    Attributes:
        patience: Whom it is still worth to ask for.
        missing: Workloads whose history is to be asked for again, and why it is missing.
        faults: What is wrong with the answers for the newest steps.
        notes: New notes of workloads, by which queries their past was asked for.
        is_any_corrected: The past of an indicator was read by another query than before.
    """

    deps: IngestDeps
    source: Source
    shard: int
    at: datetime
    patience: Patience
    n_accepted: int = 0
    n_history_rows: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    missing: dict[int, str] = field(default_factory=dict)
    faults: AnswerFaults = field(default_factory=AnswerFaults)
    notes: dict[int, str] = field(default_factory=dict)
    is_any_corrected: bool = False

    def all_of(
        self, rows: Sequence[CursorRow], stale: Sequence[CursorRow], unasked: Sequence[CursorRow]
    ) -> None:
        """Fetch and store all that is missing of these workloads.

        Args:
            rows: The workloads.
            stale: Those whose history is missing, these and others.
            unasked: Those of which only what their objectives counted in the past is, likewise.
        """
        own = {row.workload.id for row in rows}
        stale = [row for row in stale if row.workload.id in own]
        unasked = [row for row in unasked if row.workload.id in own]
        n_before = self.n_history_rows
        # who was slow says with a short query first whether a long one has a chance; of who is
        # silent, or could not be asked for, it is noted that more is missing than its newest steps
        last = [row for row in stale if row.is_slow or row.is_history_missing or is_silent(row)]
        are_last = {row.workload.id for row in last}
        self.past_of_indicators([row for row in stale if row.workload.id not in are_last])
        self.recent(rows, is_sli=False)
        self.recent(rows, is_sli=True)
        self.past_of_indicators(last)
        if self.deps.settings.operator_deletion_cost:
            self.in_flight(rows)
        if self.n_history_rows > n_before:
            self.deps.sender.send(jobs.Job(jobs.CALIBRATE_PRIOR))
        if self.patience.is_down:
            self.skip(stale, is_sli=True)
        elif self.counts_of_past([*stale, *unasked]) or self.is_any_corrected:
            self.deps.sender.send(jobs.Job(jobs.LEARN_HISTORY, {"shard": self.shard}))

    def recent(self, rows: Sequence[CursorRow], *, is_sli: bool) -> None:
        """Fetch and store the newest steps, asked for in the order of the workloads."""
        deps, at = self.deps, self.at
        queries: list[SeriesQuery] = []
        # numbered by their keys, so that no two writers wait for each other's rows in a circle
        for row in sorted(rows, key=lambda row: row.workload.id):
            step_s = row.workload.step_s
            end_at = floor_step(at - timedelta(seconds=deps.settings.source_late_s), step_s)
            start_at = floor_step(at - timedelta(seconds=deps.settings.late_s), step_s)
            start_at = min(start_at, end_at - timedelta(seconds=step_s))
            queries += queries_of(row.workload, start_at, end_at, is_sli=is_sli, first=len(queries))
        place = {row.workload.id: number for number, row in enumerate(rows)}
        queries.sort(key=lambda asked: place[asked.ref.workload.id])
        answers = fetch_all(self.source, queries, self.patience)
        answers.sort(key=lambda answer: answer.asked.number)
        self.errors.update(answer.error for answer in answers if answer.error)
        if answers:
            self._store(answers)
        loads = [
            LoadAnswer(answer.ref, answer.asked.query.end_at, answer.points)
            for answer in answers
            if answer.points is not None
        ]
        deps.lateness.note(loads, at, deps.settings)

    def _store(self, answers: Sequence[QueryAnswer]) -> None:
        deps, at = self.deps, self.at
        tally = Tally(Rejections())
        refs = [answer.ref for answer in answers]
        samples = join_answers(answers)
        asked = [answer.asked for answer in answers if answer.points is not None]
        for answer in answers:
            self.faults.add(answer)
            if answer.error:
                tally.count(answer.ref.workload.id, f"source_{answer.error}", 1)
        with unit_of_work(deps.engine, deps.sender) as work:
            samples = join_samples([samples, find_zeros(work.connection, asked, samples)])
            series = series_columns(refs)
            accepted = accept(samples, series, deps.settings, at, tally)
            refused = tally.by_workload
            stored = store(work.connection, accepted, series, at, also_locked=refused)
            tally.store(work.connection, at)
            if stored.is_any_reopened:
                work.send_after_commit(jobs.shard_job(jobs.INGEST_RESAMPLE, self.shard, at))
        measure(self.source.name, len(accepted), tally.rejections)
        self.n_accepted += len(accepted)

    def in_flight(self, rows: Sequence[CursorRow]) -> None:
        """Fetch and store which pods have how many requests; nothing else depends on it."""
        workloads = [row.workload for row in rows]
        found = fetch_in_flight(self.source, workloads, self.at, self.patience)
        readings = {one.workload_id: one.by_pod for one in found}
        if readings:
            with unit_of_work(self.deps.engine) as work:
                store_in_flight(work.connection, readings, self.at)

    def past(self, rows: Sequence[CursorRow], *, is_sli: bool) -> list[CursorRow]:
        """Back-fill workloads that have no recent samples, one transaction each.

        What could not be asked for is noted: the newest steps, which are asked for next, would hide
        that it is missing. One slow query is no server that is away; where a short one was too slow
        in this pull, no long one is tried.

        Returns:
            Those that the source has answered.
        """
        n_timeouts = 0
        asked = []
        for number, row in enumerate(rows):
            if not self.patience.may_ask(row.workload):
                self.skip([row], is_sli=is_sli)
                continue
            errors = self._fill(row, is_sli=is_sli)
            passing = sorted(errors & _MAY_PASS)
            if passing:
                self.missing[row.workload.id] = passing[0]
            else:
                asked.append(row)
            n_timeouts += TIMEOUT in errors
            if errors & {UNREACHABLE, FORBIDDEN} or n_timeouts >= _MOST_TIMEOUTS:
                self.skip(rows[number + 1 :], is_sli=is_sli)
                break
        return asked

    def _fill(self, row: CursorRow, *, is_sli: bool) -> set[str]:
        """Back-fill one workload; returns why any query failed."""
        deps, at, step_s = self.deps, self.at, row.workload.step_s
        late_s, known_at = deps.settings.late_s, known_until(row)
        changed = frozenset() if is_sli else corrected(row)
        if row.is_history_missing or changed or (is_sli and is_unasked(row)):
            known_at = None
            # of what was there before, a promise is judged by what was measured at the time
            if is_sli and row.last_sample_at is not None:
                late_s = judged_within_s(late_s, step_s)
        end_at = floor_step(at - timedelta(seconds=late_s), step_s)
        span = min(timedelta(seconds=step_s * deps.settings.fit_max_steps), _MOST_HISTORY)
        start_at = floor_step(max(end_at - span, known_at or end_at - span), step_s)
        if start_at >= end_at:
            return set()
        queries = queries_of(row.workload, start_at, end_at, is_sli=is_sli, is_past=True)
        if changed and not row.is_history_missing and not is_outdated(row, at, late_s):
            queries = numbered([one for one in queries if one.ref.indicator.name in changed])
        answers = fetch_all(self.source, queries, Patience())
        errors = [answer.error for answer in answers if answer.error]
        self.errors.update(errors)
        frame = _to_frame(row.workload, answers, start_at, end_at)
        if frame is not None:
            ids, name = [row.workload.id], self.source.name
            self.n_history_rows += backfill(deps.engine, ids, frame, now=at, source=name).n_rows
        return set(errors)

    def past_of_indicators(self, rows: Sequence[CursorRow]) -> None:
        """Back-fill indicators, and note by which queries."""
        asked = self.past(rows, is_sli=False)
        self.is_any_corrected |= any(corrected(row) for row in asked)
        newest = shard_repository.load_newest(self.deps.engine, [row.workload.id for row in asked])
        self.note_asked(asked, lambda row: note_of_past(row, newest.get(row.workload.id)))

    def counts_of_past(self, rows: Sequence[CursorRow]) -> bool:
        """Back-fill what the objectives of these workloads count; returns whether any is new."""
        n_before = self.n_history_rows
        self.note_asked(self.past(rows, is_sli=True), note_of_counts)
        return self.n_history_rows > n_before

    def note_asked(
        self, rows: Sequence[CursorRow], note_of: Callable[[CursorRow], str | None]
    ) -> None:
        """Note of which queries of these workloads the past needs no more be asked for."""
        found: dict[int, str] = {}
        for row in rows:
            id_ = row.workload.id
            note = note_of(replace(row, counts_asked=self.notes.get(id_, row.counts_asked)))
            if note is not None:
                found[id_] = note
        self.notes |= found
        if found:
            with unit_of_work(self.deps.engine) as work:
                shard_repository.store_counts_asked(work.connection, found, self.at)

    def skip(self, rows: Sequence[CursorRow], *, is_sli: bool) -> None:
        """Ask for the histories of these workloads another time, where there is what to ask for."""
        for row in rows:
            if queries_of(row.workload, self.at, self.at, is_sli=is_sli, is_past=True):
                self.missing.setdefault(row.workload.id, NOT_TRIED)


def _to_frame(
    workload: WorkloadRef, answers: Sequence[QueryAnswer], start_at: datetime, end_at: datetime
) -> HistoryFrame | None:
    """History from the first step with a value on; None when there is none."""
    step_us = workload.step_s * SECOND_US
    n_steps = (to_us(end_at) - to_us(start_at)) // step_us
    samples = sort_unique(join_answers(answers))
    asked = [answer.asked for answer in answers if answer.points is not None]
    samples = join_samples([samples, zeros_between(asked, samples)])
    samples = samples.where(np.isfinite(samples.value))
    is_counter = np.array([answer.ref.indicator.is_counter for answer in answers], dtype=bool)
    steps = resample(samples, is_counter, StepGrid(to_us(start_at), step_us, n_steps))
    seen = np.flatnonzero(steps.observed.any(axis=0))
    if not len(seen):
        return None
    first = int(seen[0])
    history = WorkloadHistory(
        tuple(answer.ref.indicator.name for answer in answers),
        steps.value[:, first:].T,
        steps.observed[:, first:].T,
    )
    first_at = start_at + timedelta(seconds=workload.step_s * first)
    return HistoryFrame(first_at, workload.step_s, (history,))
