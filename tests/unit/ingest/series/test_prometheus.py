"""The Prometheus source against answers that a healthy server does not give."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import httpx
import orjson
import pytest

from services.ingest.series.prometheus import FetchLimits, PrometheusSource, check_url, to_series
from services.ingest.series.source import Points, RangeQuery, SourceError
from services.kernel.errors import ConfigurationError

T0 = datetime(2026, 1, 5, tzinfo=UTC)
QUERY = RangeQuery("sum(load)", T0, T0, 60)
Handler = Callable[[httpx.Request], httpx.Response]


def answer(result: object, status: str = "success") -> bytes:
    return orjson.dumps({"status": status, "data": {"resultType": "matrix", "result": result}})


GOOD = answer([{"metric": {}, "values": [[T0.timestamp(), "1.5"]]}])


def fetch(handler: Handler, waits: list[float] | None = None) -> Points:
    source = PrometheusSource(
        "http://prometheus:9090",
        FetchLimits(max_bytes=10_000),
        transport=httpx.MockTransport(handler),
        sleep=(waits if waits is not None else []).append,
    )
    try:
        return source.fetch(QUERY)
    finally:
        source.close()


@pytest.mark.parametrize(
    ("status", "content", "reason"),
    [
        (400, orjson.dumps({"status": "error", "errorType": "bad_data"}), "bad_query"),
        (422, orjson.dumps({"status": "error", "errorType": "execution"}), "not_evaluated"),
        (422, orjson.dumps({"status": "error", "errorType": "422"}), "not_evaluated"),
        (401, b"login first", "bad_status"),
        (302, b"", "bad_status"),
        (500, orjson.dumps({"status": "error", "errorType": "internal"}), "bad_status"),
        (200, orjson.dumps({"status": "error", "errorType": "timeout"}), "bad_status"),
        (200, b"<html>hello</html>", "malformed"),
        (200, b"[1]", "malformed"),
        (200, b'{"status": "success"}', "malformed"),
        (200, answer(3), "malformed"),
        (200, answer([{"metric": {}}]), "malformed"),
        (200, answer([{"metric": {}, "values": [[1, "x"]]}]), "malformed"),
        (200, answer([{"metric": {}, "values": [[1]]}]), "malformed"),
        (200, answer([{"metric": {}, "values": 3}]), "malformed"),
        (200, answer([7]), "malformed"),
        (200, answer([{"metric": {}, "histograms": []}]), "bad_query"),
        (200, answer([{}, {}]), "several_series"),
        (200, b" " * 10_001, "too_large"),
    ],
)
def test_each_failure_has_its_reason(status: int, content: bytes, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        fetch(lambda request: httpx.Response(status, content=content))
    assert caught.value.reason == reason
    assert caught.value.message


@pytest.mark.parametrize(
    "more",
    [
        {"warnings": ["receive series from store-2: connection refused"]},
        {"warnings": ["PromQL info: metric might not be a counter", "remote_read: timeout"]},
        {"isPartial": True},
    ],
)
@pytest.mark.parametrize("result", [[], [{"metric": {}, "values": [[1, "60"]]}]])
def test_an_answer_that_lacks_a_part_is_none(more: dict[str, object], result: list[object]) -> None:
    body = orjson.dumps({**orjson.loads(answer(result)), **more})
    with pytest.raises(SourceError, match=r"sum\(load\).*a part of the data is missing") as caught:
        fetch(lambda request: httpx.Response(200, content=body))
    assert caught.value.reason == "partial"
    with pytest.raises(SourceError, match="a part of the data is missing"):
        to_series(200, body, "sum(load)")
    warned: list[str] = []
    assert len(to_series(200, body, "sum(load)", warned.append)) == len(result)
    assert warned


@pytest.mark.parametrize(
    "more",
    [
        {"warnings": ["PromQL warning: bucket label le is missing"], "infos": ["PromQL info: x"]},
        {"warnings": [], "isPartial": False},
        {"warnings": None, "isPartial": None},
    ],
)
def test_a_remark_on_the_expression_is_no_missing_part(more: dict[str, object]) -> None:
    body = orjson.dumps({**orjson.loads(GOOD), **more})
    assert fetch(lambda request: httpx.Response(200, content=body)).value.tolist() == [1.5]


def test_a_busy_server_is_asked_again() -> None:
    answers: Iterator[httpx.Response] = iter(
        [httpx.Response(503), httpx.Response(429), httpx.Response(200, content=GOOD)]
    )
    waits: list[float] = []
    assert fetch(lambda request: next(answers), waits).value.tolist() == [1.5]
    assert waits == [0.1, 0.2]


def test_retries_end() -> None:
    waits: list[float] = []
    with pytest.raises(SourceError, match="status 503") as caught:
        fetch(lambda request: httpx.Response(503), waits)
    assert caught.value.reason == "bad_status"
    assert len(waits) == 2


def test_a_broken_connection_is_tried_again_and_then_named() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    waits: list[float] = []
    with pytest.raises(SourceError, match=r"prometheus:9090.*connection refused") as caught:
        fetch(refuse, waits)
    assert caught.value.reason == "unreachable"
    assert len(waits) == 2


def test_a_timeout_is_not_tried_again() -> None:
    def stall(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("too slow")

    waits: list[float] = []
    with pytest.raises(SourceError, match="within 10 s") as caught:
        fetch(stall, waits)
    assert caught.value.reason == "timeout"
    assert waits == []


def test_a_query_that_the_server_gave_up_is_a_timeout_and_not_tried_again() -> None:
    body = b'{"status":"error","errorType":"timeout","error":"query timed out in evaluation"}'
    waits: list[float] = []
    with pytest.raises(SourceError, match="within 10 s") as caught:
        fetch(lambda request: httpx.Response(503, content=body), waits)
    assert caught.value.reason == "timeout"
    assert waits == []


def test_an_answer_in_an_encoding_that_it_is_not_in_is_malformed() -> None:
    def pack(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=iter([GOOD]))

    with pytest.raises(SourceError, match="cannot be decompressed") as caught:
        fetch(pack)
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize(
    ("packed", "encoding", "reason"),
    [
        (gzip.compress(GOOD), "gzip", None),
        (gzip.compress(b" " * 10_001), "gzip", "too_large"),
        (gzip.compress(gzip.compress(GOOD)), "gzip, gzip", "malformed"),
    ],
    ids=["good", "larger than the bound", "packed twice"],  # the time of packing is in the bytes
)
def test_a_packed_answer_is_unpacked_once_within_the_bound(
    packed: bytes, encoding: str, reason: str | None
) -> None:
    def pack(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "gzip"
        headers = {"Content-Encoding": encoding}
        return httpx.Response(200, headers=headers, content=iter([packed]))

    if reason is None:
        assert fetch(pack).value.tolist() == [1.5]
        return
    with pytest.raises(SourceError) as caught:
        fetch(pack)
    assert caught.value.reason == reason


def test_the_expression_cannot_change_the_host_or_the_path() -> None:
    seen: list[httpx.Request] = []

    def record(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=GOOD)

    source = PrometheusSource("http://prometheus:9090/x/", transport=httpx.MockTransport(record))
    source.fetch(RangeQuery("http://evil/?a=b&query=c#d\r\nHost: evil", T0, T0, 60))
    source.close()
    (request,) = seen
    assert str(request.url) == "http://prometheus:9090/x/api/v1/query_range"
    assert request.headers["host"] == "prometheus:9090"
    assert request.method == "POST"


def test_a_redirect_is_not_followed() -> None:
    hosts: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(302, headers={"location": "http://169.254.169.254/latest"})

    with pytest.raises(SourceError):
        fetch(redirect)
    assert hosts == ["prometheus"]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "prometheus:9090",
        "ftp://prometheus",
        "http://",
        "http://user:secret@prometheus:9090",
        "http://prometheus/?x=1",
        "http://prometheus/#x",
        "http://prometheus:99999",
        "",
    ],
)
def test_only_plain_http_urls(url: str) -> None:
    with pytest.raises(ConfigurationError, match="HARMONY_PROMETHEUS_URL") as caught:
        check_url(url)
    assert "secret" not in caught.value.message


def test_plain_urls_pass() -> None:
    for url in ("http://prometheus:9090", "https://[::1]:9090/prefix", "http://10.0.0.1"):
        assert check_url(url) == url
