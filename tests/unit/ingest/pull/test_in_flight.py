"""Requests in flight by pod: which query tells them, and what is made of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pytest

from services.ingest.pull.in_flight import MOST_PODS, PodRequests, by_pod, fetch_in_flight
from services.ingest.pull.patience import Patience
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.samples import to_us
from services.ingest.series.source import LabelledPoints, Points, RangeQuery, SourceError
from services.kernel.domain.presets import preset_indicators

T0 = datetime(2026, 1, 5, tzinfo=UTC)
RUNNING = 'sum(avg_over_time(running{pod=~"llama-.*"}[$step]))'
WAITING = 'sum(avg_over_time(waiting{pod=~"llama-.*"}[$step]))'


def workload(id_: int = 1, **queries: str) -> WorkloadRef:
    refs = {name: IndicatorRef(name, False, False, query) for name, query in queries.items()}
    return WorkloadRef(id_, "shop", f"llama-{id_}", 0, 60, refs)


BOTH = workload(concurrency_requests=RUNNING, queue_requests=WAITING)


class Source:
    """Answers by a word of the query; a word of `fails` gives an error."""

    name = "fake"

    def __init__(self, fails: str = "", reason: str = "bad_query", **answers: object) -> None:
        self.fails, self.reason, self.answers = fails, reason, answers
        self.asked: list[str] = []

    def fetch_series(self, query: RangeQuery) -> list[LabelledPoints]:
        self.asked.append(query.expression)
        assert query.start_at == query.end_at == T0
        if self.fails and self.fails in query.expression:
            raise SourceError(self.reason, "no")
        for word, found in self.answers.items():
            if word in query.expression and isinstance(found, Mapping):
                return [points(pod, value) for pod, value in found.items()]
        return []


def points(pod: str, value: float) -> LabelledPoints:
    labels = {"pod": pod} if pod else {}
    return LabelledPoints(labels, Points(np.array([to_us(T0)]), np.array([value])))


def fetch(source: Source, *workloads: WorkloadRef) -> list[PodRequests]:
    return fetch_in_flight(source, workloads, T0, Patience())  # type: ignore[arg-type]


def test_the_query_of_a_sum_tells_pods_apart() -> None:
    assert by_pod(RUNNING) == 'sum by (pod) (last_over_time(running{pod=~"llama-.*"}[60s]))'
    found = by_pod(f"{RUNNING} or {WAITING}")
    assert found is not None
    assert found.count("sum by (pod) (") == 2


@pytest.mark.parametrize(
    "query",
    ["", "sum(running)", "sum(rate(seconds_sum[$step]))", f"{RUNNING} or max(x[$step])", "2 * x"],
)
def test_a_query_that_is_no_sum_of_gauges_tells_nothing(query: str) -> None:
    assert by_pod(query) is None


@pytest.mark.parametrize("name", ["vllm", "sglang", "tgi", "tensorrt-llm", "tensorrt-llm-triton"])
@pytest.mark.parametrize("targets", [("llama",), ("llama", "llama-l4")])
def test_servers_of_language_models_tell_it(name: str, targets: tuple[str, ...]) -> None:
    measured = preset_indicators((name,), "serving", targets, ())
    queries = {one.name: one.query for one in measured}
    for indicator in ("concurrency_requests", "queue_requests"):
        found = by_pod(queries[indicator])
        assert found is not None
        assert "$" not in found
        assert found.count("{") == queries[indicator].count("{")


def test_what_runs_and_what_waits_is_in_flight() -> None:
    source = Source(running={"a": 3.0, "b": 0.0}, waiting={"a": 2.0, "gone": 9.0})
    assert fetch(source, BOTH) == [PodRequests(1, {"a": 5.0, "b": 0.0})]
    assert fetch(Source(running={"a": 3.0}), workload(concurrency_requests=RUNNING)) == [
        PodRequests(1, {"a": 3.0})
    ]


@pytest.mark.parametrize(
    "answer", [{}, {"": 3.0}, {"a": float("nan")}, {f"p{n}": 1.0 for n in range(MOST_PODS + 1)}]
)
def test_without_a_usable_reading_nothing_is_known(answer: dict[str, float]) -> None:
    assert fetch(Source(running=answer), BOTH) == []


def test_a_workload_without_the_indicator_is_not_asked_for() -> None:
    source = Source()
    pushed = workload(concurrency_requests="")
    assert fetch(source, workload(queue_requests=WAITING), pushed) == []
    assert fetch(source) == []
    assert source.asked == []


def test_a_query_that_fails_costs_its_own_workload_only() -> None:
    other = workload(2, concurrency_requests=RUNNING.replace("llama", "other"))
    source = Source(fails="llama", running={"a": 1.0})
    assert fetch(source, BOTH, other) == [PodRequests(2, {"a": 1.0})]


def test_a_server_that_is_away_is_not_asked_again() -> None:
    patience = Patience()
    source = Source(fails="running", reason="unreachable")
    assert fetch_in_flight(source, [BOTH], T0, patience) == []  # type: ignore[arg-type]
    assert patience.is_down
    assert fetch_in_flight(source, [BOTH], T0, patience) == []  # type: ignore[arg-type]
    assert len(source.asked) == 1


def test_a_query_that_takes_too_long_ends_the_asking_for_its_own_workload_only() -> None:
    patience = Patience()
    other = workload(2, concurrency_requests=RUNNING.replace("llama", "other"))
    source = Source(fails="llama", reason="timeout", running={"a": 1.0})
    for n_asked in (2, 3):
        found = fetch_in_flight(source, [BOTH, other], T0, patience)  # type: ignore[arg-type]
        assert found == [PodRequests(2, {"a": 1.0})]
        assert len(source.asked) == n_asked
    assert (set(patience.timed_out), patience.answered) == ({1}, {2})
