"""What every HTTP service shares: RFC 9457 problems, size limits, metrics, health.

Source of the error format: RFC 9457, "Problem Details for HTTP APIs".
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from services.kernel import telemetry
from services.kernel.errors import HarmonyError, InvalidInput, TooManyRequests

_Next = Callable[[Request], Awaitable[Response]]
_PROBLEM = "application/problem+json"


def problem(
    status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None
) -> Response:
    """A problem+json response.

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
    return JSONResponse(body, status_code=status, media_type=_PROBLEM)


def from_error(error: HarmonyError) -> Response:
    """The problem+json of an error; `Retry-After` where it says when to come back."""
    found = None
    if isinstance(error, InvalidInput) and error.pointer:
        found = [{"pointer": error.pointer, "message": error.message}]
    response = problem(error.http_status, error.code, error.message, found)
    if isinstance(error, TooManyRequests):
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return response


def install(app: FastAPI, name: str, max_body_bytes: int) -> None:
    """Give `app` the error handlers, the size limit, metrics and `/metrics`.

    Args:
        app: Application.
        name: Value of the `app` label of the HTTP metrics.
        max_body_bytes: Requests that declare more are refused with 413.
    """
    _install_errors(app)

    @app.middleware("http")
    async def observe(request: Request, call_next: _Next) -> Response:
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > max_body_bytes:
            return problem(
                413,
                "payload_too_large",
                f"body of {length} bytes is over the limit of {max_body_bytes}; send less at once",
            )
        started = time.perf_counter()
        response = await call_next(request)
        route = getattr(request.scope.get("route"), "path", "unmatched")
        telemetry.http_requests_total.labels(name, route, str(response.status_code)).inc()
        elapsed_s = time.perf_counter() - started
        telemetry.http_request_duration_seconds.labels(name, route).observe(elapsed_s)
        return response

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(telemetry.REGISTRY), media_type=CONTENT_TYPE_LATEST)


def _finding(item: Mapping[str, Any]) -> dict[str, str]:
    """One fault of the input: where, the value, the rule; `pointer` where it is in the body."""
    place = [str(part) for part in item["loc"]]
    found = {
        "field": ".".join(place),
        "message": str(item["msg"]).removeprefix("Value error, "),
        "rule": str(item["type"]),
        "value": repr(item.get("input"))[:200],
    }
    if place[0] == "body":
        escaped = (part.replace("~", "~0").replace("/", "~1") for part in place[1:])
        found["pointer"] = "".join(f"/{part}" for part in escaped)
    return found


def _install_errors(app: FastAPI) -> None:
    @app.exception_handler(HarmonyError)
    async def on_harmony_error(request: Request, error: HarmonyError) -> Response:
        return from_error(error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        found = [_finding(item) for item in error.errors()[:20]]
        first = found[0]
        detail = f"{first['field']}={first['value']}: {first['message']}"
        return problem(422, "invalid_input", detail, found)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        return problem(error.status_code, code, str(error.detail))

    @app.exception_handler(OperationalError)
    async def on_database(request: Request, error: OperationalError) -> Response:
        structlog.get_logger().error("database_unreachable", error=str(error.orig))
        return problem(503, "unavailable", "the database cannot be reached; try again shortly")
