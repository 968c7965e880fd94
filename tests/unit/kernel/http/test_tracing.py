"""Requests as the beginning of traces, as an application and its client see them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from services.kernel import tracing
from services.kernel.http.tracing import TraceRequests

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01".encode()


class Application:
    """Answers 201 with a header of its own, and keeps the trace that it is called in."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.within: list[str | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.within.append(tracing.to_headers().get("traceparent"))
        scope["route"] = SimpleNamespace(path="/things/{thing}")
        if self.fault is not None:
            raise self.fault
        start = {"type": "http.response.start", "status": 201, "headers": [(b"own", b"kept")]}
        await send(start)
        await send({"type": "http.response.body", "body": b"made"})


def ask(app: Application, given: bytes | None = HEADER, **changes: Any) -> list[Message]:
    """What is sent to the client of a traced application."""
    headers = [] if given is None else [(b"traceparent", given)]
    scope = {"type": "http", "method": "POST", "path": "/things/a", "headers": headers} | changes
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(TraceRequests(app, "test")(scope, receive, send))
    return sent


def log_lines(lines: list[Any]) -> list[Mapping[str, Any]]:
    return [line for line in lines if line["event"] == "request"]


def test_the_application_and_the_answer_are_in_the_trace_of_the_client() -> None:
    app = Application()
    start, body = ask(app)
    (within,) = app.within
    assert within is not None
    assert within.split("-")[1] == TRACE
    assert within.split("-")[2] != SPAN
    assert start["headers"] == [(b"own", b"kept"), (b"traceparent", within.encode())]
    assert (start["status"], body) == (201, {"type": "http.response.body", "body": b"made"})


@pytest.mark.parametrize("given", [None, b"nonsense", b"\xff\xfe"])
def test_without_a_trace_to_go_on_with_each_request_begins_one(given: bytes | None) -> None:
    app = Application()
    ask(app, given)
    ask(app, given)
    first, second = (str(within).split("-")[1] for within in app.within)
    assert len({first, second, TRACE}) == 3


@pytest.mark.parametrize(
    "changes",
    [{"path": "/healthz"}, {"path": "/readyz"}, {"path": "/metrics"}, {"type": "websocket"}],
)
def test_probes_and_what_is_no_request_pass_as_they_are(changes: dict[str, Any]) -> None:
    app = Application()
    with capture_logs() as lines:
        start, _ = ask(app, **changes)
    assert (app.within, start["headers"], log_lines(lines)) == ([None], [(b"own", b"kept")], [])


@pytest.mark.parametrize(
    ("method", "level"),
    [("GET", "debug"), ("HEAD", "debug"), ("POST", "info"), ("DELETE", "info")],
)
def test_a_request_is_logged_once_and_reads_quietly(method: str, level: str) -> None:
    with capture_logs() as lines:
        ask(Application(), method=method)
    (line,) = log_lines(lines)
    assert line["log_level"] == level
    assert (line["method"], line["route"], line["status"]) == (method, "/things/{thing}", 201)
    assert 0 <= line["duration_s"] < 60


def test_a_fault_is_logged_without_a_status_and_goes_on() -> None:
    with capture_logs() as lines, pytest.raises(ValueError, match="as it must"):
        ask(Application(ValueError("as it must")))
    assert [line["status"] for line in log_lines(lines)] == [0]
    assert (tracing.to_headers(), get_contextvars()) == ({}, {})
