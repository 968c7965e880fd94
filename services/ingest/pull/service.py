"""Use case: pull the indicators that have a query from a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event

import numpy as np

from services.ingest.deps import IngestDeps
from services.ingest.pull.absent import SeriesQuery, find_zeros, zeros_between
from services.ingest.pull.history import HistoryFrame, WorkloadHistory, backfill
from services.ingest.push.service import SeriesRef, Tally, accept, measure, store
from services.ingest.series import repository
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.due import CursorRow
from services.ingest.series.resample import StepGrid, resample
from services.ingest.series.samples import (
    SECOND_US,
    Rejections,
    Samples,
    join_samples,
    sort_unique,
    to_us,
)
from services.ingest.series.source import SERVER_REASONS, Points, RangeQuery, Source, SourceError
from services.kernel import jobs, telemetry
from services.kernel.clock import floor_step
from services.kernel.db.session import unit_of_work
from services.kernel.telemetry import get_logger

_N_CONNECTIONS = 8
_FINER_STEPS = 4
_FINEST_S = 5
_MOST_HISTORY = timedelta(days=30)


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


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """Answer to one query: points, or the reason why there are none."""

    asked: SeriesQuery
    points: Points | None
    error: str = ""

    @property
    def ref(self) -> SeriesRef:
        """The series that was asked for."""
        return self.asked.ref


def to_range_query(
    indicator: IndicatorRef, start_at: datetime, end_at: datetime, step_s: int
) -> RangeQuery:
    """The query for the steps from `start_at` to `end_at`.

    PromQL looks back: a value evaluated at t tells of the time before t. So it is evaluated at the
    *end* of each step. `$step` in the expression stands for the step's length, as in
    `sum(rate(http_requests_total[$step]))`, and covers exactly the step. An expression without it
    is an instant reading; it is evaluated several times per step, and the step gets their mean (for
    a counter: their rate). No subquery is ever needed. History is asked for in the same way, so
    that a model sees in training what it will see later.

    By default Prometheus repeats the last sample for five minutes after an exporter has gone, and
    a counter that stands still reads as no load at all. So an instant reading may only use samples
    since the reading before it. (Servers that do not know `lookback_delta` repeat all the same; an
    expression with `$step` is a gap at once on any.)
    """
    resolution_s = step_s
    has_window = "$step" in indicator.query
    if not has_window and step_s % _FINER_STEPS == 0:
        finer_s = step_s // _FINER_STEPS
        resolution_s = finer_s if finer_s >= _FINEST_S else step_s
    first_at = start_at if indicator.is_counter else start_at + timedelta(seconds=resolution_s)
    expression = indicator.query.replace("$step", f"{step_s}s")
    lookback_s = None if has_window else resolution_s
    return RangeQuery(expression, first_at, end_at, resolution_s, lookback_s)


def to_samples(points: Points, indicator: IndicatorRef, query: RangeQuery) -> Samples:
    """Points as samples of series 0, each at the start of the time that it tells of.

    A counter's reading stays at its own time; the resampling knows that it looks back.
    """
    shift_us = 0 if indicator.is_counter else query.resolution_s * SECOND_US
    zeros = np.zeros(len(points.at_us), dtype=np.int64)
    return Samples(zeros, points.at_us - shift_us, points.value)


def pull_shard(deps: IngestDeps, shard: int, at: datetime) -> PullResult:
    """Fetch what is missing of a shard's complete steps.

    A workload without recent samples gets its history first. The newest steps are always asked for
    again, as far back as a late sample may change them: what the source got late arrives, and what
    is known already changes nothing.

    A failed query is counted and its steps stay gaps; the others go on. When the server itself does
    not answer, the rest of the queries are not tried.
    """
    if deps.source is None:
        return PullResult(0, 0, {})
    with unit_of_work(deps.engine) as work:
        rows = repository.load_shard(work.connection, shard, deps.catalog)
    rows = [row for row in rows if row.workload.has_query]
    stale = [row for row in rows if _needs_history(row, at, deps.settings.late_s)]
    n_history_rows, errors = _pull_history(deps, deps.source, stale, at)
    n_accepted, more = _pull_recent(deps, deps.source, rows, shard, at)
    errors.update(more)
    return PullResult(n_accepted, n_history_rows, dict(errors))


def _needs_history(row: CursorRow, at: datetime, late_s: float) -> bool:
    """Check whether samples older than those that are asked for anyway are missing."""
    step_s = row.workload.step_s
    if row.last_sample_at is not None:
        return row.last_sample_at <= at - timedelta(seconds=late_s + step_s)
    if row.resampled_until is None:
        return True
    # Steps were closed without a sample: the source had none, or was away. Ask now and then.
    n_steps_between = max(1, int(late_s) // step_s)
    return int(at.timestamp()) // step_s % n_steps_between == 0


def _pull_recent(
    deps: IngestDeps, source: Source, rows: Sequence[CursorRow], shard: int, at: datetime
) -> tuple[int, Counter[str]]:
    queries: list[SeriesQuery] = []
    for row in rows:
        step_s = row.workload.step_s
        end_at = floor_step(at, step_s)
        start_at = floor_step(at - timedelta(seconds=deps.settings.late_s), step_s)
        start_at = min(start_at, end_at - timedelta(seconds=step_s))
        queries += _queries_of(row.workload, start_at, end_at, len(queries))
    answers = fetch_all(source, queries)
    tally = Tally(Rejections(), {})
    refs = [answer.ref for answer in answers]
    samples = _joined(answers)
    asked = [answer.asked for answer in answers if answer.points is not None]
    errors = Counter(answer.error for answer in answers if answer.error)
    for answer in answers:
        if answer.error:
            tally.count(answer.ref.workload.id, f"source_{answer.error}", 1)
    with unit_of_work(deps.engine, deps.sender) as work:
        samples = join_samples([samples, find_zeros(work.connection, asked, samples)])
        accepted = accept(samples, refs, deps.settings, at, tally)
        stored = store(work.connection, accepted, refs, at)
        repository.add_rejections(work.connection, tally.by_workload, at)
        if any(found.reopen_at is not None for found in stored):
            work.send_after_commit(jobs.shard_job(jobs.INGEST_RESAMPLE, shard, at))
    measure(source.name, len(accepted), tally.rejections)
    return len(accepted), errors


def _queries_of(
    workload: WorkloadRef, start_at: datetime, end_at: datetime, first: int = 0
) -> list[SeriesQuery]:
    """Queries for the indicators of a workload that have one, numbered from `first`."""
    pulled = [one for _, one in sorted(workload.indicators.items()) if one.query]
    return [
        SeriesQuery(
            number,
            SeriesRef(workload, indicator),
            to_range_query(indicator, start_at, end_at, workload.step_s),
        )
        for number, indicator in enumerate(pulled, first)
    ]


def _joined(answers: Sequence[QueryAnswer]) -> Samples:
    """Samples of all answers; the series of a sample is the number of its query."""
    parts = []
    for answer in answers:
        if answer.points is not None:
            found = to_samples(answer.points, answer.ref.indicator, answer.asked.query)
            parts.append(Samples(found.series + answer.asked.number, found.at_us, found.value))
    return join_samples(parts)


def fetch_all(source: Source, queries: Sequence[SeriesQuery]) -> list[QueryAnswer]:
    """Answers in the order of the queries, fetched over a few connections at once."""
    is_down = Event()
    log = get_logger("ingest.pull")

    def fetch(asked: SeriesQuery) -> QueryAnswer:
        if is_down.is_set():
            return _failed(source, asked, "not_tried")
        try:
            return QueryAnswer(asked, source.fetch(asked.query))
        except SourceError as error:
            if error.reason in SERVER_REASONS:
                is_down.set()
            values = {"series": str(asked.ref), "reason": error.reason, "error": error.message}
            log.warning("query_failed", **values)
            return _failed(source, asked, error.reason)

    if not queries:
        return []
    with ThreadPoolExecutor(min(_N_CONNECTIONS, len(queries))) as pool:
        return list(pool.map(fetch, queries))


def _failed(source: Source, asked: SeriesQuery, reason: str) -> QueryAnswer:
    telemetry.source_errors_total.labels(source.name, reason).inc()
    return QueryAnswer(asked, None, reason)


def _pull_history(
    deps: IngestDeps, source: Source, rows: Sequence[CursorRow], at: datetime
) -> tuple[int, Counter[str]]:
    """Back-fill workloads that have no recent samples, one transaction each."""
    n_rows = 0
    errors: Counter[str] = Counter()
    for row in rows:
        step_s = row.workload.step_s
        late = timedelta(seconds=deps.settings.late_s)
        end_at = floor_step(at - late, step_s)
        span = min(timedelta(seconds=step_s * deps.settings.fit_max_steps), _MOST_HISTORY)
        start_at = floor_step(max(end_at - span, row.last_sample_at or end_at - span), step_s)
        if start_at >= end_at:
            continue
        answers = fetch_all(source, _queries_of(row.workload, start_at, end_at))
        errors.update(answer.error for answer in answers if answer.error)
        frame = _to_frame(row.workload, answers, start_at, end_at)
        if frame is not None:
            result = backfill(deps.engine, [row.workload.id], frame, now=at, source=source.name)
            n_rows += result.n_rows
        if any(answer.error in SERVER_REASONS for answer in answers):
            break
    return n_rows, errors


def _to_frame(
    workload: WorkloadRef, answers: Sequence[QueryAnswer], start_at: datetime, end_at: datetime
) -> HistoryFrame | None:
    """History from the first step with a value on; None when there is none."""
    step_us = workload.step_s * SECOND_US
    n_steps = (to_us(end_at) - to_us(start_at)) // step_us
    samples = sort_unique(_joined(answers))
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
