"""A page of metrics is fetched within bounds; everything else is one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import httpx
import pytest

from services.cli import preset_page
from services.cli.preset_page import fetch_page
from services.kernel.clock import FixedClock
from services.kernel.errors import HarmonyError, InvalidInput, Unavailable

URL = "http://engine:8000/metrics"
PAGE = "# TYPE up gauge\nup 1\n"
Answer = Callable[[httpx.Request], httpx.Response]


def fetch(answer: Answer, clock: FixedClock | None = None) -> frozenset[str]:
    at = clock or FixedClock(datetime(2026, 1, 5, tzinfo=UTC))
    return fetch_page(URL, at, httpx.MockTransport(answer)).samples


def test_a_page_is_asked_for_as_text() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, text=PAGE)

    assert fetch(answer) == {"up"}
    (request,) = asked
    assert str(request.url) == URL
    assert request.headers["accept"].startswith("text/plain")


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def silent(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("", request=request)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (unreachable, Unavailable, "does not answer: refused"),
        (silent, Unavailable, "does not answer: ReadTimeout"),
        (lambda _: httpx.Response(404, text=PAGE), InvalidInput, "answers 404, not 200"),
        (lambda _: httpx.Response(302, headers={"location": "/x"}), InvalidInput, "answers 302"),
        (lambda _: httpx.Response(200, text="<html>"), InvalidInput, "begins with '<html>'"),
    ],
)
def test_what_is_no_answer_is_one_line(
    answer: Answer, error: type[HarmonyError], message: str
) -> None:
    with pytest.raises(error, match=r"^URL='http://engine:8000/metrics'") as refused:
        fetch(answer)
    assert message in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("url", ["engine", "ftp://engine/metrics", "http://", "http://a:b/", ""])
def test_what_is_no_address_is_never_asked(url: str) -> None:
    clock = FixedClock(datetime(2026, 1, 5, tzinfo=UTC))
    with pytest.raises(InvalidInput, match="URL="):
        fetch_page(url, clock, httpx.MockTransport(unreachable))


def test_an_answer_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preset_page, "MAX_BYTES", 2**20)

    def endless(_: httpx.Request) -> httpx.Response:
        def chunks() -> Iterator[bytes]:
            while True:
                yield b"x" * 2**16

        return httpx.Response(200, content=chunks())

    with pytest.raises(InvalidInput, match="more than 1 MiB"):
        fetch(endless)


def test_an_answer_that_is_packed_twice_is_left() -> None:
    def packed(_: httpx.Request) -> httpx.Response:
        headers = {"Content-Encoding": "gzip, gzip"}
        return httpx.Response(200, headers=headers, content=iter([b""]))

    with pytest.raises(InvalidInput, match="Content-Encoding is 'gzip, gzip'"):
        fetch(packed)


def test_an_answer_that_drips_is_left() -> None:
    clock = FixedClock(datetime(2026, 1, 5, tzinfo=UTC))

    def dripping(_: httpx.Request) -> httpx.Response:
        def chunks() -> Iterator[bytes]:
            while True:
                clock.advance(4)
                yield b"up 1\n"

        return httpx.Response(200, content=chunks())

    with pytest.raises(Unavailable, match="longer than 10 s"):
        fetch(dripping, clock)
