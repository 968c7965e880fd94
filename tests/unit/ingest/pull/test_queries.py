"""What a source is asked for, in which order, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event

import numpy as np
import pytest

from services.ingest.pull.absent import SeriesQuery
from services.ingest.pull.queries import QueryAnswer, fetch_all, join_answers, queries_of
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.samples import SECOND_US, to_us
from services.ingest.series.source import Points, RangeQuery, SourceError

T0 = datetime(2026, 1, 5, tzinfo=UTC)
STEP = timedelta(seconds=60)
PUSHED = IndicatorRef("pushed_rps", False, False, "")
LOAD = IndicatorRef("load_rps", False, False, "sum(rate(load[$step]))")
TOKENS = IndicatorRef("tokens_per_s", True, False, "sum(tokens)")
COUNT = IndicatorRef("sli_lost", False, False, "sum(rate(lost[$step]))", is_sli=True)
REFS = (TOKENS, PUSHED, LOAD, COUNT)
WORKLOAD = WorkloadRef(1, "shop", "llama", 0, 60, {one.name: one for one in REFS})


class Source:
    name = "fake"

    def __init__(self, **fails: str) -> None:
        self.fails = fails
        self.asked: list[str] = []

    def fetch(self, query: RangeQuery) -> Points:
        self.asked.append(query.expression)
        for word, reason in self.fails.items():
            if word in query.expression:
                raise SourceError(reason, "no")
        return Points(np.array([to_us(query.end_at)]), np.array([2.0]))

    def close(self) -> None:
        pass


def asked(*, is_sli: bool, first: int = 0) -> list[SeriesQuery]:
    return queries_of(WORKLOAD, T0, T0 + STEP, is_sli=is_sli, first=first)


def test_indicators_and_counts_are_asked_for_apart_and_numbered() -> None:
    found = asked(is_sli=False, first=3)
    names = [(one.number, one.ref.indicator.name) for one in found]
    assert names == [(3, "load_rps"), (4, "tokens_per_s")]
    assert found[0].query.expression == "sum(rate(load[60s]))"
    assert [one.ref.indicator.name for one in asked(is_sli=True)] == ["sli_lost"]


def test_a_window_tells_of_the_step_before_and_a_counter_reads_at_its_time() -> None:
    answers = fetch_all(Source(), asked(is_sli=False), Event())
    samples = join_answers(answers)
    offsets_s = [(at_us - to_us(T0)) // SECOND_US for at_us in samples.at_us.tolist()]
    assert (samples.series.tolist(), offsets_s) == ([0, 1], [0, 60])


@pytest.mark.parametrize(("reason", "is_over"), [("bad_query", False), ("timeout", True)])
def test_only_a_server_that_does_not_answer_ends_the_asking(reason: str, is_over: bool) -> None:
    is_down = Event()
    fetch_all(Source(tokens=reason), asked(is_sli=False), is_down)
    assert is_down.is_set() == is_over
    source = Source()
    (answer,) = fetch_all(source, asked(is_sli=True), is_down)
    assert isinstance(answer, QueryAnswer)
    assert (answer.error, source.asked == []) == ("not_tried" if is_over else "", is_over)


def test_nothing_asked_is_nothing_answered() -> None:
    assert fetch_all(Source(), [], Event()) == []
    assert len(join_answers([])) == 0
