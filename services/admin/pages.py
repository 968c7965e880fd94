"""The web console: server-rendered pages, refreshed in parts by htmx; charts fetch `/v1`.

Everything that is read works without JavaScript. What writes is a plain form that needs the role of
the REST route, calls the same use case, and so is audited in the same words.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import Match

from services.admin.access import (
    audit_page,
    keys_page,
    login_page,
)
from services.admin.approvals import page as approvals_page
from services.admin.budgets import page as budgets_page
from services.admin.cells import page as cells_page
from services.admin.console import reference_page
from services.admin.console.forms import words_for
from services.admin.console.in_cluster import KeepCluster
from services.admin.console.page import LoginNeeded, templates
from services.admin.console.paths import local_path
from services.admin.controls import (
    policy_page,
    schedules_page,
)
from services.admin.decisions import outcome_wording, reason_wording, wording
from services.admin.fleet import page as fleet_page, workload_page
from services.admin.freezes import page as freezes_page
from services.admin.models import page as models_page
from services.admin.operations import advice_page, backtests_page
from services.admin.operations.wording import policy_name
from services.admin.rest.edge import SECURITY_HEADERS
from services.admin.workloads import wording as promise_wording
from services.kernel.errors import HarmonyError
from services.kernel.http import application as http

_PAGES = (
    login_page,
    fleet_page,
    workload_page,
    policy_page,
    schedules_page,
    freezes_page,
    keys_page,
    approvals_page,
    backtests_page,
    advice_page,
    models_page,
    budgets_page,
    cells_page,
    audit_page,
    reference_page,
)

templates.env.filters.update(
    plain=reason_wording.plain,
    policy=policy_name,
    short_reason=reason_wording.short_reason,
    step_words=outcome_wording.step_words,
    missed=promise_wording.missed,
    out_of_sla=promise_wording.share,
    remaining=promise_wording.remaining,
    violation=promise_wording.violation,
    budget_left=promise_wording.budget_left,
    promise=promise_wording.promise,
)
templates.env.globals.update(best_rungs=wording.BEST_RUNGS)


def install(app: FastAPI) -> None:
    """Add the console's routes; people get pages for errors, programs problem+json."""
    app.add_middleware(KeepCluster)
    for page in _PAGES:
        app.router.routes.extend(page.router.routes)

    @app.exception_handler(LoginNeeded)
    async def on_login_needed(request: Request, error: LoginNeeded) -> Response:
        if request.headers.get("hx-request") == "true":
            where = {"HX-Redirect": _login_from(request.headers.get("hx-current-url", ""))}
            return Response(status_code=401, headers=where)
        if request.method != "GET":  # a form that was sent after the session's end
            back = _login_address(_form_of(request), "")
            return RedirectResponse(f"{back}&done=ended", status_code=303)
        target = _login_address(request.url.path, request.url.query)
        return RedirectResponse(target, status_code=303)

    @app.exception_handler(HarmonyError)
    async def on_harmony_error(request: Request, error: HarmonyError) -> Response:
        if _wants_page(request):
            page = _error_page(request, error.http_status, error.message)
            page.headers.update(http.headers_of(error))
            return page
        return http.from_error(error)

    for fault in (DBAPIError, psycopg.Error, PoolTimeout, Exception):
        app.add_exception_handler(fault, _as_page(app.exception_handlers[fault]))

    answer_programs: Any = app.exception_handlers[RequestValidationError]

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        if _wants_page(request):
            first = error.errors()[0]
            rule = str(first["msg"]).removeprefix("Value error, ")
            return _error_page(
                request, 422, f"{first['loc'][-1]}: {words_for(first.get('input'), rule)}"
            )
        answer: Response = await answer_programs(request, error)
        return answer

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        routed = http.with_route(request, error)
        if not _wants_page(request):
            return http.from_http_error(routed)
        page = _error_page(request, error.status_code, str(error.detail))
        page.headers.update(routed.headers or {})
        return page


def _as_page(answer_programs: Any) -> Callable[[Request, Exception], Awaitable[Response]]:
    """A handler that gives people a page with the words that programs get."""

    async def answer(request: Request, error: Exception) -> Response:
        told: Response = await answer_programs(request, error)
        if not _wants_page(request):
            return told
        page = _error_page(request, told.status_code, json.loads(bytes(told.body))["detail"])
        # a fault is answered outside of what adds these headers to all other answers
        page.headers.update(SECURITY_HEADERS)
        if "Retry-After" in told.headers:
            page.headers["Retry-After"] = told.headers["Retry-After"]
        return page

    return answer


def _form_of(request: Request) -> str:
    """Path of the page that a form was sent from; the first page where that is not known."""
    try:
        shown = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return "/"
    scope = {**request.scope, "method": "GET", "path": shown.path}
    is_page = any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)
    return shown.path if is_page and shown.netloc == request.url.netloc else "/"


def _login_address(path: str, query: str) -> str:
    """The login that leads back to a page of the console."""
    if not path:
        return "/login"
    target = local_path(f"{path}?{query}" if query else path)
    return f"/login?next={quote(target, safe='/')}"


def _login_from(url: str) -> str:
    """The login that leads back to what a browser shows; to the first page where it is no URL."""
    try:
        shown = urlsplit(url)
    except ValueError:
        return "/login"
    return _login_address(shown.path, shown.query)


def _wants_page(request: Request) -> bool:
    is_api = request.url.path.startswith(("/v1", "/static", "/metrics", "/healthz", "/readyz"))
    return not is_api and "text/html" in request.headers.get("accept", "")


def _error_page(request: Request, status: int, message: str) -> Response:
    values = {"status": status, "message": message, "principal": None, "sections": []}
    return templates.TemplateResponse(request, "error.html", values, status_code=status)
