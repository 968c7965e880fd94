"""What every HTTP application has in front: counted requests, bodies of bounded size and time."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.types import Message

from services.kernel import http, telemetry


def make_app() -> FastAPI:
    app = FastAPI()
    http.install(app, "test", 1000)

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    return app


def ask(app: FastAPI, method: str, path: str, content: bytes | None = None) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, content=content)

    return asyncio.run(send())


@pytest.mark.parametrize("path", ["/read?x=%00", "/%00"])
def test_a_nul_is_refused_and_counted(path: str) -> None:
    counter = telemetry.http_requests_total.labels("test", "unmatched", "422")
    before = counter._value.get()
    answer = ask(make_app(), "POST", path)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert counter._value.get() == before + 1


def test_requests_are_counted_by_route_and_status() -> None:
    counter = telemetry.http_requests_total.labels("test", "/read", "200")
    before = counter._value.get()
    assert ask(make_app(), "POST", "/read", b"abc").json() == 3
    assert counter._value.get() == before + 1


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/read", "method_not_allowed"), ("GET", "/none", "not_found")],
)
def test_errors_of_the_framework_are_problems_too(method: str, path: str, code: str) -> None:
    answer = ask(make_app(), method, path)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code


def test_a_body_that_never_ends_is_given_up() -> None:
    app = FastAPI()
    http._install_errors(app)
    app.add_middleware(http.BodyLimit, max_bytes=1000, max_s=0.02)

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    parts = [{"type": "http.request", "body": b"slow", "more_body": True}]
    sent: list[Message] = []

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/read",
        "raw_path": b"/read",
        "query_string": b"",
        "headers": [(b"transfer-encoding", b"chunked")],
        "scheme": "http",
        "server": ("test", 80),
        "http_version": "1.1",
        "root_path": "",
    }
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 408
    assert b"request_timeout" in sent[1]["body"]
