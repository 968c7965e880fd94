"""The shared part of every HTTP application: RFC 9457 problems, size limits, metrics, health.

Source of the error format: RFC 9457, "Problem Details for HTTP APIs".
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import psycopg
import sqlalchemy.exc
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeout
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.kernel import telemetry
from services.kernel.errors import (
    Ambiguous,
    HarmonyError,
    InvalidInput,
    Overloaded,
    PayloadTooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from services.kernel.http.tracing import TraceRequests
from services.kernel.server_errors import is_of_the_server

_PROBLEM = "application/problem+json"
_SOON = {"Retry-After": "1"}
HEAD_AS_GET = "harmony.head_as_get"
"""Key of a request's scope where a layer before the application answers HEAD as GET."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
CLIENT_GONE = 499
"""Counted for a client that left before its request was read; no standard status says that."""


def problem(
    status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None
) -> Response:
    """A problem+json response; of a 503 with when to come back.

    Args:
        status: HTTP status.
        code: Stable code, listed in docs/errors.md.
        detail: One line naming the field, the value and what would be right.
        errors: Further findings, one per field.
    """
    body: dict[str, object] = {
        "type": f"https://harmony.dev/problems/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    headers = _SOON if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse(body, status_code=status, headers=headers, media_type=_PROBLEM)


def from_error(error: HarmonyError) -> Response:
    """The problem+json of an error; `Retry-After` where it says when to come back."""
    found = None
    if isinstance(error, InvalidInput) and error.pointer:
        found = [{"pointer": error.pointer, "message": error.message}]
    if isinstance(error, Ambiguous):
        found = [{"field": "cluster", "message": name} for name in error.clusters]
    response = problem(error.http_status, error.code, error.message, found)
    response.headers.update(headers_of(error))
    return response


def headers_of(error: HarmonyError) -> dict[str, str]:
    """Headers that go with an error, on a page too."""
    if isinstance(error, (TooManyRequests, Overloaded)):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    if isinstance(error, Unavailable):
        return dict(_SOON)
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="harmony"'}
    return {}


def from_http_error(error: HTTPException) -> Response:
    """The problem+json of an error of the framework: no such route or method, a body too large."""
    is_too_large = error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    phrase = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    code = PayloadTooLarge.code if is_too_large else phrase
    response = problem(error.status_code, code, str(error.detail))
    response.headers.update(error.headers or {})
    return response


_UNREADABLE_BODY = "There was an error parsing the body"
"""What the framework says of a body that is no text, or is nested too deep."""


class BodyLimit:
    """Answers 413 to a body over the limit, declared or not, and 408 to one that comes slowly."""

    def __init__(self, app: ASGIApp, max_bytes: int, max_s: float = 60.0) -> None:
        """Give the bodies of `app` so many bytes, and so many seconds to arrive."""
        self._app = app
        self._max_bytes = max_bytes
        self._max_s = max_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = f"body is over the limit of {self._max_bytes} bytes; send less at once"
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isascii() and declared.isdigit() and int(declared) > self._max_bytes:
            await problem(413, "payload_too_large", said)(scope, receive, send)
            return
        size, is_whole = 0, False
        ends_s = asyncio.get_running_loop().time() + self._max_s

        async def counted() -> Message:
            nonlocal size, is_whole
            if is_whole:
                return await receive()  # waits for the client to go, however long that takes
            try:
                async with asyncio.timeout_at(ends_s):
                    message = await receive()
            except TimeoutError:
                late = f"the body did not arrive within {self._max_s:g} s"
                raise HTTPException(408, late) from None
            is_whole = not message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > self._max_bytes:
                raise HTTPException(413, said)  # which frameworks let through while they read
            return message

        await self._app(scope, counted, send)


class Observe:
    """Counts and times requests; refuses a URL with a NUL, which no column of text can hold.

    Plain ASGI: the framework's own kind of middleware runs each request in another task.
    """

    def __init__(self, app: ASGIApp, name: str) -> None:
        """Count the requests of `app` under `name`."""
        self._app = app
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        is_begun = False

        def count(status: int) -> None:
            nonlocal is_begun
            is_begun = True
            route = getattr(scope.get("route"), "path", "unmatched")
            telemetry.http_requests_total.labels(self._name, route, str(status)).inc()
            elapsed_s = time.perf_counter() - started
            telemetry.http_request_duration_seconds.labels(self._name, route).observe(elapsed_s)

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
            await send(message)

        if "\x00" in scope["path"] or b"%00" in scope.get("query_string", b""):
            said = "the URL holds a NUL character; leave it out"
            await problem(422, "invalid_input", said)(scope, receive, observed)
            return
        try:
            await self._app(scope, receive, observed)
        except Exception:  # whatever it is: counted, and raised again
            if not is_begun:
                count(500)
            raise


def install(app: FastAPI, name: str, max_body_bytes: int) -> None:
    """Give `app` the error handlers, the size limit, metrics and `/metrics`.

    Args:
        app: Application.
        name: Value of the `app` label of the HTTP metrics.
        max_body_bytes: Longer bodies are refused with 413.
    """
    _install_errors(app)
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes)

    app.add_middleware(Observe, name=name)
    app.add_middleware(TraceRequests, name=name)

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(telemetry.REGISTRY), media_type=CONTENT_TYPE_LATEST)


def _finding(item: Mapping[str, Any]) -> dict[str, str]:
    """One fault of the input: where, the value, the rule; `pointer` where it is in the body."""
    rule, place = str(item["type"]), [str(part) for part in item["loc"]]
    if rule == "json_invalid":  # its place is a character's
        place, at = place[:1], place[-1]
        why = item.get("ctx", {}).get("error", "it cannot be read")
        return {"field": "body", "message": f"no JSON at character {at}: {why}", "rule": rule}
    found = {"field": ".".join(place), "message": _in_words(rule, item), "rule": rule}
    if rule != "missing":
        found["value"] = repr(item.get("input"))[:200]
    if place[0] == "body":
        escaped = (part.replace("~", "~0").replace("/", "~1") for part in place[1:])
        found["pointer"] = "".join(f"/{part}" for part in escaped)
    return found


def _in_words(rule: str, item: Mapping[str, Any]) -> str:
    """What is wrong and what would be right; of most rules pydantic's words say it."""
    message = str(item["msg"]).removeprefix("Value error, ")
    name = str(item["loc"][-1])
    if rule == "missing":
        return "is missing, and needed"
    if rule == "extra_forbidden":
        usual = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
        return "no field of this name" + (f"; did you mean {usual}?" if usual != name else "")
    if rule == "model_attributes_type" and item["loc"] == ("body",):
        return "must be a JSON object, sent with Content-Type: application/json"
    return message


def _one_line(found: Mapping[str, str]) -> str:
    value = f"={found['value']}" if "value" in found else ""
    return f"{found['field']}{value}: {found['message']}"


def _install_errors(app: FastAPI) -> None:
    @app.exception_handler(HarmonyError)
    async def on_harmony_error(request: Request, error: HarmonyError) -> Response:
        return from_error(error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        found = [_finding(item) for item in error.errors()[:20]]
        return problem(422, "invalid_input", _one_line(found[0]), found)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        return from_http_error(with_route(request, error))

    @app.exception_handler(ClientDisconnect)
    async def on_gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)  # nobody reads it; it is what is counted

    @app.exception_handler(Exception)
    async def on_fault(request: Request, error: Exception) -> Response:
        # the server logs the exception: it is raised again once this is sent
        said = "a fault of Harmony's own; the service's log says which"
        return problem(500, "internal_error", said)

    # from SQLAlchemy, and from the driver itself, which writes by COPY
    for source in (sqlalchemy.exc.DBAPIError, psycopg.Error):
        app.add_exception_handler(source, on_database)

    @app.exception_handler(PoolTimeout)
    async def on_busy(request: Request, error: PoolTimeout) -> Response:
        structlog.get_logger().error("database_connections_used_up", error=str(error))
        return unavailable("all database connections are in use; try again")


def with_route(request: Request, error: HTTPException) -> HTTPException:
    """An error of the framework's own, with the request that it is about."""
    asked = f"{request.method} {request.url.path[:200]}"
    if (error.status_code, error.detail) == (404, "Not Found"):
        return HTTPException(404, f"{asked}: no such route here; /openapi.json lists them")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_methods_at(request))
        said = f"{asked}: this route takes {allowed}"
        return HTTPException(405, said, {**(error.headers or {}), "Allow": allowed})
    if (error.status_code, error.detail) != (400, _UNREADABLE_BODY):
        return error
    coding = request.headers.get("content-encoding", "identity")
    if coding != "identity":
        said = f"{asked}: Content-Encoding={coding[:40]!r}: send the body as it is, not packed"
        return HTTPException(415, said)
    said = f"{asked}: the body is no JSON; send UTF-8 text, with not too many nested brackets"
    return HTTPException(400, said)


def _methods_at(request: Request) -> list[str]:
    """Methods that some route takes at the path of a request (RFC 9110, 15.5.6).

    The framework names those of the first route of this path alone.
    """
    kept = ("type", "path", "root_path", "headers", "app")  # not what the refused route left there
    asked = {name: request.scope[name] for name in kept if name in request.scope}
    routes = request.app.router.routes
    found = {method for method in _METHODS if _takes(routes, {**asked, "method": method})}
    if not found and "app_root_path" in request.scope:  # files that are mounted refused it
        asked["root_path"] = request.scope["app_root_path"]
        found = {method for method in _METHODS if _takes(routes, {**asked, "method": method})}
    if "GET" in found and request.scope.get(HEAD_AS_GET):
        found.add("HEAD")
    return [method for method in _METHODS if method in found]


def _takes(routes: Sequence[BaseRoute], asked: dict[str, Any]) -> bool:
    """Whether one of the routes takes what is asked; of mounted files only what reads them."""
    takers = (route for route in routes if route.matches(asked)[0] is Match.FULL)
    first = next(takers, None)
    if isinstance(first, Mount):
        return asked["method"] in ("GET", "HEAD")
    return first is not None


async def on_database(request: Request, error: Exception) -> Response:
    """The answer where the database fails, and not the request: nothing of it was stored.

    Raises:
        Exception: It is the request's, or a fault of ours.
    """
    if not is_of_the_server(error):
        raise error
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.errors.DiskFull):
        structlog.get_logger().error("database_disk_full", error=str(cause))
        return unavailable("the database's disk is full; try again once there is room", 30)
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        structlog.get_logger().error("database_unreachable", error=str(cause))
        return unavailable("the database cannot be reached; try again shortly")
    structlog.get_logger().error("database_unusable", error=str(cause))
    return unavailable("the database cannot be written to as it is; try again shortly", 5)


def unavailable(detail: str, retry_after_s: int = 1) -> Response:
    """The problem+json of a server behind that fails, and when to come back."""
    response = problem(503, "unavailable", detail)
    response.headers["Retry-After"] = str(retry_after_s)
    return response
