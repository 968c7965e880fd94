"""Login and logout: with an API key, or at the identity provider and back."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from services.admin.access import login_service, service
from services.admin.access.login_service import LoginReturn
from services.admin.console.page import Form, Visitor, render
from services.admin.console.paths import local_path
from services.admin.deps import AdminDeps
from services.admin.identity.auth import COOKIE, Deps, address_of, require_same_origin
from services.admin.sessions import ATTEMPT_S, SESSION_S
from services.kernel.errors import HarmonyError, Unauthorized
from services.kernel.http import application as http

router = APIRouter(include_in_schema=False)
BEGIN = "/login/oidc"
CALLBACK = "/login/oidc/callback"
_ONCE = "harmony_login_"
Text = Annotated[str, Query(max_length=4096)]


@router.get("/login")
def login_page(
    request: Request, deps: Deps, following: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    """The login form."""
    return _form(request, deps, local_path(following))


def _form(
    request: Request,
    deps: AdminDeps,
    following: str,
    wrong_key: str = "",
    problem: HarmonyError | None = None,
) -> Response:
    login = deps.oidc_login
    has_left = login is not None and request.query_params.get("done") == "logged-out"
    values: dict[str, Any] = {"following": following, "wrong_key": wrong_key, "problem": problem}
    return render(
        request,
        "login.html",
        provider=login.host if login else None,
        leave_address=login.logout_url(f"{_base(request, deps)}/login")
        if has_left and login
        else "",
        **values,
    )


@router.post("/login")
async def log_in(request: Request, deps: Deps, form: Form) -> Response:
    """Exchange an API key for a session cookie."""
    require_same_origin(request)
    key, following = form.one("key"), local_path(form.one("next", "/"))
    try:
        token, _ = await run_in_threadpool(service.log_in, deps, key, address_of(request))
    except Unauthorized:
        response = await run_in_threadpool(
            _form, request, deps, following, "This API key is not valid."
        )
        response.status_code = 401
        return response
    response = RedirectResponse(following, status_code=303)
    _set_session(request, response, token, SESSION_S)
    return response


def _set_session(request: Request, response: Response, token: str, lasting_s: float) -> None:
    response.set_cookie(
        COOKIE,
        token,
        max_age=round(lasting_s),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


@router.get(BEGIN)
def begin(
    request: Request, deps: Deps, following: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    """Send the browser to the identity provider."""
    target = local_path(following)
    redirect_uri = _base(request, deps) + CALLBACK
    try:
        url, state, token = login_service.begin(deps, redirect_uri, target, address_of(request))
    except HarmonyError as error:
        return _again(request, deps, error, target)
    response = RedirectResponse(url, status_code=303)
    # Lax: the way back begins at another site, where a Strict cookie would stay behind
    response.set_cookie(
        _cookie_of(state),
        token,
        max_age=ATTEMPT_S,
        path=BEGIN,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.get(CALLBACK)
def come_back(  # noqa: PLR0913 - one argument per parameter of the answer
    request: Request,
    deps: Deps,
    state: Text = "",
    code: Text = "",
    iss: Annotated[str | None, Query(max_length=2048)] = None,
    error: Text = "",
    error_description: Text = "",
) -> Response:
    """Where the identity provider sends the browser back to."""
    name = _cookie_of(state)
    answer = LoginReturn(state, code, iss, error, error_description)
    try:
        token, following = login_service.finish(
            deps, request.cookies.get(name, ""), answer, address_of(request)
        )
    except HarmonyError as problem:
        response = _again(request, deps, problem)
    else:
        # A page, not a redirect: the session's Strict cookie goes along only with what this site
        # itself asks for.
        response = render(request, "login_done.html", following=local_path(following))
        _set_session(request, response, token, deps.settings.oidc_session_s)
    response.delete_cookie(name, path=BEGIN)
    return response


def _again(
    request: Request, deps: AdminDeps, error: HarmonyError, following: str = "/"
) -> Response:
    """The login form with what went wrong."""
    response = _form(request, deps, following, problem=error)
    response.headers.update(http.headers_of(error))
    return response


def _cookie_of(state: str) -> str:
    """A cookie for each login under way, so that two windows do not end each other's."""
    return _ONCE + hashlib.sha256(state.encode()).hexdigest()[:12]


def _base(request: Request, deps: AdminDeps) -> str:
    """The console's address as the browser knows it."""
    return deps.settings.console_url.rstrip("/") or str(request.base_url).rstrip("/")


@router.post("/logout")
def log_out(request: Request, deps: Deps, principal: Visitor) -> Response:
    """End the session here; the one at the identity provider goes on."""
    deps.sessions.close(request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/login?done=logged-out", status_code=303)
    response.delete_cookie(COOKIE)
    return response
