"""What every HTTP application has in front: counted requests, bodies of bounded size and time."""

from __future__ import annotations

import asyncio
import gzip
import json

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from starlette.types import Message
from uvicorn.server import ServerState

from services.kernel import telemetry
from services.kernel.http import application as http
from services.kernel.http.protocol import ProblemProtocol, unreadable


def make_app() -> FastAPI:
    app = FastAPI()
    http.install(app, "test", 1000)

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    return app


def ask(
    app: FastAPI,
    method: str,
    path: str,
    content: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, content=content, headers=headers)

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


def test_a_fault_of_ours_is_a_problem_and_says_nothing_of_itself() -> None:
    app = make_app()

    @app.get("/fault")
    def fault() -> None:
        raise ZeroDivisionError("of a secret")

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/fault")

    counter = telemetry.http_requests_total.labels("test", "/fault", "500")
    before = counter._value.get()
    answer = asyncio.run(send())
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert counter._value.get() == before + 1


def test_bytes_that_are_no_request_are_answered_with_a_problem() -> None:
    head, _, body = unreadable().partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 400 Bad Request"
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert headers["content-type"] == "application/problem+json"
    assert (headers["connection"], headers["content-length"]) == ("close", str(len(body)))
    assert json.loads(body)["code"] == "bad_request"


def test_the_server_answers_junk_so() -> None:
    async def serve() -> bytes:
        config = uvicorn.Config(make_app(), http=ProblemProtocol, lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: ProblemProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        async with server:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"no request at all\r\n\r\n")
            answer = await reader.read()
            writer.close()
        return answer

    assert asyncio.run(serve()) == unreadable()


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


class _Spec(BaseModel):
    max_replicas: int

    model_config = {"extra": "forbid"}


class _Thing(BaseModel):
    name: str
    spec: _Spec


@pytest.mark.parametrize(
    ("content", "field", "said"),
    [
        (b"{", "body", "no JSON at character 1: Expecting property name"),
        (b'{"spec": {"max_replicas": 1}}', "body.name", "is missing, and needed"),
        (
            b'{"name": "x", "spec": {"max_replicas": 1, "maxReplicas": 5}}',
            "body.spec.maxReplicas",
            "no field of this name; did you mean max_replicas?",
        ),
        (b'{"name": "x", "spec": {"max_replicas": "many"}}', "body.spec.max_replicas", "integer"),
    ],
)
def test_a_fault_of_a_body_is_told_in_words(content: bytes, field: str, said: str) -> None:
    app = make_app()

    @app.post("/things")
    def things(body: _Thing) -> int:
        return body.spec.max_replicas

    answer = ask(app, "POST", "/things", content, {"Content-Type": "application/json"})
    assert answer.status_code == 422
    problem = answer.json()
    (found,) = problem["errors"]
    assert found["field"] == field
    assert said in found["message"]
    assert problem["detail"].startswith(field)
    assert said in problem["detail"]


def test_a_body_of_another_kind_is_told_the_right_one() -> None:
    app = make_app()

    @app.post("/things")
    def things(body: _Thing) -> int:
        return 1

    detail = ask(app, "POST", "/things", b"a=b").json()["detail"]
    assert detail == "body=b'a=b': must be a JSON object, sent with Content-Type: application/json"


@pytest.mark.parametrize(
    ("content", "coding", "status", "code", "said"),
    [
        (
            *(gzip.compress(b'{"name": "x"}', mtime=0), "gzip", 415, "unsupported_media_type"),
            "Content-Encoding='gzip': send the body as it is, not packed",
        ),
        (
            *(b"\xff\xfe{", "identity", 400, "bad_request"),
            "the body is no JSON; send UTF-8 text, with not too many nested brackets",
        ),
    ],
    ids=["packed", "no text"],
)
def test_a_body_that_is_no_text_is_told_why(
    content: bytes, coding: str, status: int, code: str, said: str
) -> None:
    app = make_app()

    @app.post("/things")
    def things(body: _Thing) -> int:
        return 1

    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = ask(app, "POST", "/things", content, headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"] == f"POST /things: {said}"


def test_an_unknown_route_and_method_are_named() -> None:
    said = ask(make_app(), "POST", "/v1/none").json()["detail"]
    assert said == "POST /v1/none: no such route here; /openapi.json lists them"
    answer = ask(make_app(), "GET", "/read")
    assert answer.json()["detail"] == "GET /read: this route takes POST"
    assert answer.headers["Allow"] == "POST"


def test_every_method_that_the_path_takes_is_named() -> None:
    """Of routes of one path the framework names the first one's method alone."""
    app, router, inner = make_app(), APIRouter(prefix="/things"), APIRouter(prefix="/{name}")

    def answer(name: str = "") -> str:
        return name

    for method in ("DELETE", "PUT"):
        router.add_api_route("/{name}", answer, methods=[method])
    inner.add_api_route("/parts", answer, methods=["GET"])
    router.include_router(inner)
    app.include_router(router)
    app.add_api_route("/things/{name}", answer, methods=["GET"])
    app.add_api_route("/things/all", answer, methods=["POST"])
    sub = FastAPI()
    http.install(sub, "test", 1000)
    sub.include_router(router)
    app.mount("/sub", sub)
    for method, path, allowed in (
        ("PATCH", "/things/one", "GET, PUT, DELETE"),
        ("POST", "/things/one", "GET, PUT, DELETE"),
        ("PATCH", "/things/all", "GET, POST, PUT, DELETE"),
        ("PUT", "/things/one/parts", "GET"),
        ("GET", "/sub/things/one", "PUT, DELETE"),
        ("OPTIONS", "/read", "POST"),
    ):
        refused = ask(app, method, path)
        assert (refused.status_code, refused.headers["Allow"]) == (405, allowed), path
        said = f"{method} {path}: this route takes {allowed}"
        assert refused.json()["detail"] == said


def test_a_client_that_left_is_no_fault_of_the_server() -> None:
    """Neither raised, which the server would log as a fault, nor counted among them."""
    counts = {
        status: telemetry.http_requests_total.labels("test", "/read", status)
        for status in ("499", "500")
    }
    before = {status: one._value.get() for status, one in counts.items()}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/read",
        "raw_path": b"/read",
        "query_string": b"",
        "headers": [(b"content-length", b"100")],
    }
    told = iter([{"type": "http.request", "body": b"half", "more_body": True}])

    async def receive() -> Message:
        return next(told, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        pass

    asyncio.run(make_app()(scope, receive, send))
    assert {s: one._value.get() - before[s] for s, one in counts.items()} == {"499": 1, "500": 0}
