"""What a source is asked for, and its answers as samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from services.ingest.pull.absent import SeriesQuery
from services.ingest.pull.patience import Patience
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.known_series import SeriesRef
from services.ingest.series.samples import SECOND_US, Samples, join_samples
from services.ingest.series.source import Points, RangeQuery, Source, SourceError
from services.kernel import telemetry
from services.kernel.domain.objective import READY
from services.kernel.telemetry import get_logger

NOT_TRIED = "not_tried"
"""Reason of a query that was not sent, since others of its workload or the server were silent."""
_N_CONNECTIONS = 8
_FINER_STEPS = 4
_FINEST_S = 5


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """Answer to one query: points, or the reason why there are none, and the same in words."""

    asked: SeriesQuery
    points: Points | None
    error: str = ""
    why: str = ""

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


def queries_of(
    workload: WorkloadRef,
    start_at: datetime,
    end_at: datetime,
    *,
    is_sli: bool,
    first: int = 0,
    is_past: bool = False,
) -> list[SeriesQuery]:
    """Queries of a workload, numbered from `first`: its indicators', or its objective's counts'.

    Ready replicas are asked for of the past alone: the operator sees the others.
    """
    found = sorted(workload.indicators.items())
    pulled = [one for _, one in found if one.query and one.is_sli == is_sli]
    pulled = [one for one in pulled if is_past or one.name != READY]
    return [
        SeriesQuery(
            number,
            SeriesRef(workload, indicator),
            to_range_query(indicator, start_at, end_at, workload.step_s),
        )
        for number, indicator in enumerate(pulled, first)
    ]


def numbered(queries: Sequence[SeriesQuery]) -> list[SeriesQuery]:
    """These queries, numbered anew: answers are joined by their places."""
    return [replace(each, number=number) for number, each in enumerate(queries)]


def join_answers(answers: Sequence[QueryAnswer]) -> Samples:
    """Samples of all answers; the series of a sample is the number of its query."""
    parts = []
    for answer in answers:
        if answer.points is not None:
            found = to_samples(answer.points, answer.ref.indicator, answer.asked.query)
            parts.append(Samples(found.series + answer.asked.number, found.at_us, found.value))
    return join_samples(parts)


def fetch_all(
    source: Source, queries: Sequence[SeriesQuery], patience: Patience
) -> list[QueryAnswer]:
    """Answers in the order of the queries, fetched over a few connections at once.

    Workloads take turns, and so do namespaces: one with many slow queries holds all connections
    only when the others have been asked for.

    Args:
        source: The source.
        queries: The queries.
        patience: Says whom it is still worth to ask for, and is told what came of it.
    """
    log = get_logger("ingest.pull")

    def fetch(asked: SeriesQuery) -> QueryAnswer:
        workload = asked.ref.workload
        if not patience.may_ask(workload):
            return _failed(source, asked, NOT_TRIED)
        try:
            points = source.fetch(asked.query)
        except SourceError as error:
            patience.note_failure(workload, error.reason, str(asked.ref))
            values = {"series": str(asked.ref), "reason": error.reason, "error": error.message}
            log.warning("query_failed", **values)
            return _failed(source, asked, error.reason, error.message)
        patience.note_answer(workload)
        return QueryAnswer(asked, points)

    if not queries:
        return []
    order = _in_turns([asked.ref.workload for asked in queries])
    with ThreadPoolExecutor(min(_N_CONNECTIONS, len(queries))) as pool:
        sent = {place: pool.submit(fetch, queries[place]) for place in order}
    return [sent[place].result() for place in range(len(queries))]


def _in_turns(workloads: Sequence[WorkloadRef]) -> list[int]:
    """Places of the queries of these workloads, in the order in which they are sent.

    The first query of each workload comes before the second of any, and the first workload of each
    namespace before the second of any.
    """
    n_queries: Counter[int] = Counter()
    ranks: dict[int, int] = {}
    n_workloads: Counter[str] = Counter()
    turns: list[tuple[int, int, int]] = []
    for place, workload in enumerate(workloads):
        if workload.id not in ranks:
            ranks[workload.id] = n_workloads[workload.namespace]
            n_workloads[workload.namespace] += 1
        turns.append((n_queries[workload.id], ranks[workload.id], place))
        n_queries[workload.id] += 1
    return [place for _, _, place in sorted(turns)]


def _failed(source: Source, asked: SeriesQuery, reason: str, why: str = "") -> QueryAnswer:
    telemetry.source_errors_total.labels(source.name, reason).inc()
    return QueryAnswer(asked, None, reason, why)
