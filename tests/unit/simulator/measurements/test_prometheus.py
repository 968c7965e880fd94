"""A Prometheus answer as a trace: over HTTP, in pieces, with its series named."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import given, strategies as st

from services.ingest.series.prometheus import PrometheusSource
from services.ingest.series.source import LabelledPoints, Points
from services.simulator.fleet import TraceError
from services.simulator.measurements import PrometheusRange
from services.simulator.measurements.prometheus import fetch_table, length_of, series_names
from services.simulator.measurements.remarks import remarks_of

NOW = datetime(2026, 1, 20, tzinfo=UTC)
EMPTY = Points(np.zeros(0, dtype=np.int64), np.zeros(0))


def labelled(*labels: dict[str, str]) -> list[LabelledPoints]:
    return [LabelledPoints(one, EMPTY) for one in labels]


class Server:
    """Answers range queries with a series for each of some labels, and notes the ranges."""

    def __init__(
        self, *labels: dict[str, str], warnings: tuple[str, ...] = (), is_falling: bool = False
    ) -> None:
        self.labels = labels
        self.warnings = warnings
        self.sign = -1 if is_falling else 1
        self.asked: list[tuple[float, float]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        form = dict(httpx.QueryParams(request.content.decode()))
        start, end, step = (float(form[k]) for k in ("start", "end", "step"))
        self.asked.append((start, end))
        values = [
            [start + k * step, str(self.sign * k)] for k in range(round((end - start) / step) + 1)
        ]
        result = [{"metric": one, "values": values} for one in self.labels]
        body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        body |= {"warnings": list(self.warnings)} if self.warnings else {}
        return httpx.Response(200, content=orjson.dumps(body))

    def source(self) -> PrometheusSource:
        return PrometheusSource("http://metrics:9090", transport=httpx.MockTransport(self))


def test_each_series_is_a_workload_and_long_ranges_are_asked_for_in_pieces() -> None:
    server = Server({"service": "chat", "job": "x"}, {"service": "code", "job": "x"})
    wanted = PrometheusRange("", "sum by (service) (rate(r[1m]))", since="14d", step_s=60)
    table = fetch_table(wanted, server.source(), NOW)
    assert set(table["workload"].to_pylist()) == {"chat", "code"}
    n_steps = 14 * 1440 + 1
    assert table.num_rows == 2 * n_steps
    assert len(server.asked) == 3
    times = table["timestamp"].to_pylist()[:n_steps]
    assert times == list(range(times[0], times[0] + n_steps * 60_000, 60_000))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([{"__name__": "rps"}], ["rps"]),
        ([{}], ["query"]),
        ([{"service": "chat", "zone": "a"}], ["chat/a"]),
        ([{"a": "1", "b": "x"}, {"a": "2", "b": "x"}], ["1", "2"]),
        ([{"a": "1", "b": "x"}, {"a": "1"}, {"a": "2", "b": "x"}], ["1/x", "1/", "2/x"]),
        ([{"a": "x/y", "b": "z"}, {"a": "x", "b": "y/z"}], ["a='x/y', b='z'", "a='x', b='y/z'"]),
        ([{"a": "x "}, {"a": "x"}], ["a='x '", "a='x'"]),
    ],
)
def test_a_series_is_named_by_what_tells_it_apart(
    labels: list[dict[str, str]], names: list[str]
) -> None:
    assert series_names(labelled(*labels)) == names


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3),
        min_size=1,
        max_size=8,
        unique_by=lambda one: tuple(sorted(one.items())),
    )
)
def test_no_two_series_share_a_name(labels: list[dict[str, str]]) -> None:
    assert len(set(series_names(labelled(*labels)))) == len(labels)


def test_an_answer_without_a_series_says_which_range_is_empty() -> None:
    wanted = PrometheusRange("", "nothing", since="2d")
    with pytest.raises(TraceError, match="'nothing' gives no series between 2026-01-18"):
        fetch_table(wanted, Server().source(), NOW)


def test_what_the_server_says_is_one_line() -> None:
    body = {"status": "error", "errorType": "bad_data", "error": "parse error:\n  unexpected )"}
    transport = httpx.MockTransport(lambda _: httpx.Response(400, json=body))
    source = PrometheusSource("http://metrics:9090", transport=transport)
    with pytest.raises(TraceError, match=r"status 400: parse error: unexpected \)$"):
        fetch_table(PrometheusRange("", "rps)", "1h"), source, NOW)


def test_too_many_series_are_refused() -> None:
    server = Server(*({"pod": str(k)} for k in range(501)))
    with pytest.raises(TraceError, match="gives 501 series, at most 500"):
        fetch_table(PrometheusRange("", "up", "1h"), server.source(), NOW)


def test_what_the_server_refuses_is_said_in_its_words() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        body = {"status": "error", "errorType": "bad_data", "error": "parse error: unexpected )"}
        return httpx.Response(400, content=orjson.dumps(body))

    source = PrometheusSource("http://metrics:9090", transport=httpx.MockTransport(answer))
    with pytest.raises(TraceError, match=r"parse error: unexpected \)"):
        fetch_table(PrometheusRange("", "sum(", "1h"), source, NOW)


@pytest.mark.parametrize("since", ["", "14", "14 d", "0d", "d", "1y", "-1d"])
def test_what_is_no_length_is_refused(since: str) -> None:
    with pytest.raises(TraceError, match="must be hours, days or weeks"):
        PrometheusRange("", "up", since).length()


def test_values_lie_on_the_grid_of_steps_whenever_it_is_asked() -> None:
    """Else they would be called irregular, and averaged into other steps."""
    server = Server({"service": "chat"})
    wanted = PrometheusRange("", "rps", since="2h", step_s=600)
    now = NOW + timedelta(seconds=431, microseconds=123_456)
    times = fetch_table(wanted, server.source(), now)["timestamp"].to_pylist()
    assert {at % 600_000 for at in times} == {0}
    assert times[-1] == int(NOW.timestamp()) * 1000
    assert len(times) == 13


def test_what_the_server_warns_of_is_said_once() -> None:
    server = Server({"service": "chat"}, warnings=("results truncated:\na store is away",))
    wanted = PrometheusRange("", "rps", since="14d")
    assert remarks_of(fetch_table(wanted, server.source(), NOW)) == (
        "the server warns: results truncated: a store is away",
    )


@pytest.mark.parametrize(
    ("labels", "query", "is_falling", "is_said"),
    [
        ({"__name__": "http_requests_total"}, "http_requests_total", False, True),
        ({}, "sum(http_requests_total)", False, True),
        ({}, "sum(rate(http_requests_total[1m]))", False, False),
        ({}, "sum(http_requests_total)", True, False),
        ({}, "sum(rps)", False, False),
    ],
)
def test_a_counter_is_told_from_its_rate(
    labels: dict[str, str], query: str, is_falling: bool, is_said: bool
) -> None:
    server = Server(labels, is_falling=is_falling)
    table = fetch_table(PrometheusRange("", query, since="1h"), server.source(), NOW)
    said = "http_requests_total never falls, as a counter: .*rate\\(http_requests_total"
    assert [bool(re.match(said, line)) for line in remarks_of(table)] == [True] * is_said


@pytest.mark.parametrize(("since", "step_s"), [("99999w", 60), ("348d", 60), ("6d", 1)])
def test_more_values_than_a_study_can_bear_are_not_asked_for(since: str, step_s: int) -> None:
    server = Server({})
    wanted = PrometheusRange("", "rps", since, step_s)
    with pytest.raises(TraceError, match=f"^--since={since}: .* at most 500,000 are asked for"):
        fetch_table(wanted, server.source(), NOW)
    assert server.asked == []


def test_a_length_has_a_bound_where_one_is_given() -> None:
    assert length_of("93d", timedelta(days=93)) == timedelta(days=93)
    with pytest.raises(TraceError, match=r"^--since=94d: ask for at most 93d"):
        length_of("94d", timedelta(days=93))
