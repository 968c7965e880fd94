"""The web console: server-rendered pages, refreshed in parts by htmx; charts fetch `/v1`.

Everything that is read works without JavaScript. What writes is a plain form that needs the role of
the REST route, calls the same use case, and so is audited in the same words.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from services.admin import (
    console_approvals,
    console_audit,
    console_backtests,
    console_fleet,
    console_limits,
    console_models,
    console_workload,
    service_keys,
)
from services.admin.api_auth import COOKIE, Deps, address_of, require_same_origin
from services.admin.console_pages import (
    Form,
    LoginNeeded,
    Visitor,
    local_path,
    render,
    templates,
)
from services.admin.sessions import SESSION_S
from services.kernel import http
from services.kernel.errors import HarmonyError, Unauthorized

router = APIRouter(include_in_schema=False)
_PAGES = (
    console_fleet,
    console_workload,
    console_approvals,
    console_backtests,
    console_models,
    console_limits,
    console_audit,
)


@router.get("/login")
def login_page(request: Request, following: Annotated[str, Query(alias="next")] = "/") -> Response:
    """The login form."""
    return render(request, "login.html", following=local_path(following), wrong_key="")


@router.post("/login")
async def log_in(request: Request, deps: Deps, form: Form) -> Response:
    """Exchange an API key for a session cookie."""
    require_same_origin(request)
    key, following = form.one("key"), local_path(form.one("next", "/"))
    try:
        token, _ = await run_in_threadpool(service_keys.log_in, deps, key, address_of(request))
    except Unauthorized:
        words = "This API key is not valid."
        response = render(request, "login.html", following=following, wrong_key=words)
        response.status_code = 401
        return response
    response = RedirectResponse(following, status_code=303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
def log_out(request: Request, deps: Deps, principal: Visitor) -> Response:
    """End the session."""
    deps.sessions.close(request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE)
    return response


def install(app: FastAPI) -> None:
    """Add the console's routes; people get pages for errors, programs problem+json."""
    app.include_router(router)
    for page in _PAGES:
        app.include_router(page.router)

    @app.exception_handler(LoginNeeded)
    async def on_login_needed(request: Request, error: LoginNeeded) -> Response:
        if request.headers.get("hx-request") == "true":
            return Response(status_code=401, headers={"HX-Redirect": "/login"})
        # a form that was sent after the session's end cannot be come back to
        target = request.url.path if request.method == "GET" else "/"
        return RedirectResponse(f"/login?next={quote(target, safe='/')}", status_code=303)

    @app.exception_handler(HarmonyError)
    async def on_harmony_error(request: Request, error: HarmonyError) -> Response:
        if _wants_page(request):
            page = _error_page(request, error.http_status, error.message)
            page.headers.update(http.headers_of(error))
            return page
        return http.from_error(error)

    answer_programs: Any = app.exception_handlers[RequestValidationError]

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        if _wants_page(request):
            first = error.errors()[0]
            return _error_page(request, 422, f"{first['loc'][-1]}: {first['msg']}")
        answer: Response = await answer_programs(request, error)
        return answer

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        if _wants_page(request):
            return _error_page(request, error.status_code, str(error.detail))
        return http.from_http_error(error)


def _wants_page(request: Request) -> bool:
    is_api = request.url.path.startswith(("/v1", "/static", "/metrics", "/healthz", "/readyz"))
    return not is_api and "text/html" in request.headers.get("accept", "")


def _error_page(request: Request, status: int, message: str) -> Response:
    values = {"status": status, "message": message, "principal": None, "sections": []}
    return templates.TemplateResponse(request, "error.html", values, status_code=status)
