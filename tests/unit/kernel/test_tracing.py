"""Trace context: W3C's header, spans within each other, ids in log lines, requests, jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
import structlog
from celery import Celery
from celery.contrib.testing.app import setup_default_app
from fastapi import FastAPI
from opentelemetry.trace import SpanContext, format_span_id, format_trace_id, get_current_span
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from services.kernel import tracing
from services.kernel.celery_app import CelerySender
from services.kernel.http import application as http
from services.kernel.jobs import Job
from services.kernel.queued_jobs import QueuedJobs
from services.kernel.task import job_task
from services.kernel.tracing import parse_traceparent, span

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"


def ids_in(text: object) -> tuple[str, str, bool] | None:
    """Trace, span and whether it is sampled; None where the text is no `traceparent`."""
    found = get_current_span(parse_traceparent(text)).get_span_context()
    return (*ids_of(found), found.trace_flags.sampled) if found.is_valid else None


def ids_of(context: SpanContext) -> tuple[str, str]:
    return format_trace_id(context.trace_id), format_span_id(context.span_id)


def is_in_a_span() -> bool:
    return get_current_span().get_span_context().is_valid


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (HEADER, (TRACE, SPAN, True)),
        (HEADER[:-2] + "00", (TRACE, SPAN, False)),
        (HEADER[:-2] + "03", (TRACE, SPAN, True)),
        ("cc" + HEADER[2:] + "-what-comes-later", (TRACE, SPAN, True)),
        (HEADER + "-x", None),
        ("ff" + HEADER[2:], None),
        (HEADER.upper(), None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        ("", None),
        (None, None),
    ],
)
def test_the_header_is_read_as_w3c_says(text: object, found: object) -> None:
    assert ids_in(text) == found


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_header_that_is_written_is_read(flags: str) -> None:
    with span("here", parse_traceparent(HEADER[:-2] + flags)) as own:
        assert ids_in(tracing.to_headers()["traceparent"]) == (*ids_of(own), flags == "01")


def test_spans_stand_within_each_other_and_log_lines_carry_their_ids() -> None:
    assert (is_in_a_span(), tracing.to_headers()) == (False, {})
    with span("outer") as outer:
        assert get_contextvars() == dict(zip(("trace_id", "span_id"), ids_of(outer), strict=True))
        with span("inner") as inner:
            assert inner.trace_id == outer.trace_id
            assert inner.span_id != outer.span_id
            assert ids_in(tracing.to_headers()["traceparent"]) == (*ids_of(inner), True)
        with span("elsewhere", parse_traceparent(HEADER[:-2] + "00")) as other:
            assert (ids_of(other)[0], other.trace_flags.sampled) == (TRACE, False)
        assert get_current_span().get_span_context() == outer
    assert (is_in_a_span(), get_contextvars()) == (False, {})
    with span("another") as another:
        assert another.trace_id != outer.trace_id


def test_an_error_leaves_no_span_behind() -> None:
    def fail() -> None:
        with span("fails"):
            raise ValueError("as it must")

    with pytest.raises(ValueError, match="as it must"):
        fail()
    assert (is_in_a_span(), get_contextvars()) == (False, {})


@pytest.fixture
def app() -> FastAPI:
    made = FastAPI()
    http.install(made, "test", 1000)

    @made.get("/things/{thing}")
    def thing(thing: str) -> dict[str, str]:
        return {"trace_id": str(get_contextvars().get("trace_id"))}

    @made.post("/things")
    async def things() -> dict[str, str]:
        return tracing.to_headers()

    return made


def ask(app: FastAPI, method: str, url: str, **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, url, headers=headers)

    return asyncio.run(send())


def test_a_request_goes_on_with_the_trace_of_its_client(app: FastAPI) -> None:
    answer = ask(app, "GET", "/things/a", traceparent=HEADER)
    assert answer.json() == {"trace_id": TRACE}
    own = ids_in(answer.headers["traceparent"])
    assert own is not None
    assert (own[0], own[1] != SPAN) == (TRACE, True)
    inside = ids_in(ask(app, "POST", "/things", traceparent=HEADER).json()["traceparent"])
    assert inside is not None
    assert inside[0] == TRACE


def test_a_request_without_one_begins_a_trace(app: FastAPI) -> None:
    first, second = (ask(app, "GET", "/things/a", traceparent="nonsense") for _ in range(2))
    assert first.json()["trace_id"] in first.headers["traceparent"]
    assert first.json() != second.json()


def test_probes_and_scrapes_are_not_traced(app: FastAPI) -> None:
    with capture_logs() as lines:
        answer = ask(app, "GET", "/metrics", traceparent=HEADER)
    assert answer.status_code == 200
    assert "traceparent" not in answer.headers
    assert lines == []


def test_a_request_leaves_one_line(app: FastAPI) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        ask(app, "POST", "/things", traceparent=HEADER)
        ask(app, "GET", "/things/secret?key=hk_1")
        ask(app, "GET", "/nowhere")
    shown = [(x["log_level"], x["method"], x["route"], x["status"]) for x in lines]
    assert shown == [
        ("info", "POST", "/things", 200),
        ("debug", "GET", "/things/{thing}", 200),
        ("debug", "GET", "unmatched", 404),
    ]
    assert lines[0]["trace_id"] == TRACE
    assert "secret" not in str(lines)


@pytest.fixture
def celery() -> Iterator[Celery]:
    made = Celery("traced", broker="memory://", set_as_current=False)
    made.conf.task_always_eager = True
    # tasks are looked up in the app that is current: one that a test before has closed knows no new
    with setup_default_app(made):  # closes it, and gives back who was current
        made.set_current()
        yield made


def test_a_job_goes_on_with_the_trace_of_its_sender(
    celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    celery.conf.harmony_expires_s = 60
    monkeypatch.setattr(QueuedJobs, "add", lambda *_: True)  # there is no broker to ask
    seen: list[dict[str, object]] = []

    def run(shard: int, at: str) -> None:
        seen.append(get_contextvars())

    task = celery.task(name="test.traced")(job_task("test.traced")(run).run)
    sent: list[dict[str, object]] = []
    celery.send_task = lambda name, **options: sent.append({"name": name, **options})  # type: ignore[method-assign]
    with span("sender") as sender:
        CelerySender(celery).send(Job("test.traced", {"shard": 3, "at": "now"}))
    trace_id, span_id = ids_of(sender)
    assert sent[0]["headers"] == {"traceparent": f"00-{trace_id}-{span_id}-01"}
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        task.apply(kwargs=sent[0]["kwargs"], headers=sent[0]["headers"]).get()
    (inside,) = seen
    assert inside["trace_id"] == trace_id
    assert inside["span_id"] != span_id
    assert (inside["job"], inside["shard"], inside["at"]) == ("test.traced", 3, "now")
    (line,) = [found for found in lines if found["event"] == "job_done"]
    assert (line["trace_id"], line["job"], line["shard"]) == (trace_id, "test.traced", 3)


def test_a_job_that_fails_says_so_with_its_ids(celery: Celery) -> None:
    def run(shard: int) -> None:
        raise ValueError("no such thing")

    task = celery.task(name="test.failing")(job_task("test.failing")(run).run)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        task.apply(kwargs={"shard": 1})
    # what a test before this one has left running may speak too
    ours = [found for found in lines if found.get("job") == "test.failing"]
    (line,) = [found for found in ours if found["event"] == "job_failed"]
    assert (line["error"], line["shard"], line["log_level"]) == ("ValueError", 1, "error")
    assert len(line["trace_id"]) == 32
