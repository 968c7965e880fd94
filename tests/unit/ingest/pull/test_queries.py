"""What a source is asked for, in which order, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from services.ingest.pull.absent import SeriesQuery
from services.ingest.pull.patience import Patience
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
    answers = fetch_all(Source(), asked(is_sli=False), Patience())
    samples = join_answers(answers)
    offsets_s = [(at_us - to_us(T0)) // SECOND_US for at_us in samples.at_us.tolist()]
    assert (samples.series.tolist(), offsets_s) == ([0, 1], [0, 60])


@pytest.mark.parametrize(
    ("reason", "are_asked"),
    [
        ("bad_query", (True, True)),
        ("timeout", (False, True)),
        ("unreachable", (False, False)),
        ("forbidden", (False, False)),
    ],
)
def test_a_slow_query_ends_the_asking_for_its_workload_a_dead_server_for_all(
    reason: str, are_asked: tuple[bool, bool]
) -> None:
    patience = Patience()
    fetch_all(Source(tokens=reason), asked(is_sli=False), patience)
    for one, is_asked in zip((WORKLOAD, replace(WORKLOAD, id=2)), are_asked, strict=True):
        source = Source()
        counts = queries_of(one, T0, T0 + STEP, is_sli=True)
        (answer,) = fetch_all(source, counts, patience)
        assert isinstance(answer, QueryAnswer)
        assert (answer.error, source.asked != []) == ("" if is_asked else "not_tried", is_asked)


def test_workloads_take_turns_and_so_do_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.pull.queries._N_CONNECTIONS", 1)
    names = [("a", "heavy"), ("a", "other"), ("b", "next"), ("b", "last")]
    queries: list[SeriesQuery] = []
    for id_, (namespace, word) in enumerate(names):
        refs = {
            str(n): IndicatorRef(str(n), False, False, f"{word}{n}")
            for n in range(8 if word == "heavy" else 2)
        }
        one = WorkloadRef(id_, namespace, word, 0, 60, refs)
        queries += queries_of(one, T0, T0 + STEP, is_sli=False, first=len(queries))
    source = Source()
    answers = fetch_all(source, queries, Patience())
    assert [answer.asked for answer in answers] == queries
    assert source.asked[:4] == ["heavy0", "next0", "other0", "last0"]
    assert source.asked[4:8] == ["heavy1", "next1", "other1", "last1"]
    assert source.asked[8:] == [f"heavy{n}" for n in range(2, 8)]


def test_nothing_asked_is_nothing_answered() -> None:
    assert fetch_all(Source(), [], Patience()) == []
    assert len(join_answers([])) == 0
