"""Who is asking: a bearer key, or the console's session cookie; and what the role allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from services.admin.schemas import Problem
from services.admin.service import AdminDeps
from services.kernel.errors import Forbidden, Unauthorized
from services.kernel.security import Principal, Role

COOKIE = "harmony_session"
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}

_bearer = HTTPBearer(auto_error=False, description="An API key: `hk_<prefix>_<secret>`")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="Set by the console's login")


def _problem(description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {"description": description, "content": content}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: _problem("No valid credential"),
    403: _problem("The credential's role does not allow this"),
    404: _problem("The named object does not exist"),
    422: _problem("A field cannot be used; `errors` names it"),
    503: _problem("A server that Harmony depends on cannot be reached"),
}


def get_deps(request: Request) -> AdminDeps:
    """The application's dependencies."""
    deps: AdminDeps = request.app.state.deps
    return deps


Deps = Annotated[AdminDeps, Depends(get_deps)]


def authenticate(request: Request, bearer: str | None, cookie: str | None) -> Principal:
    """The principal behind a request.

    A bearer key wins. With a cookie, a request that changes something must come from a page of
    this origin, so that no other site can send it.

    Raises:
        Unauthorized: No valid credential.
        Forbidden: A change asked for from another origin.
    """
    deps = get_deps(request)
    now = deps.wall.now()
    if bearer is not None:
        return deps.verifier.verify(bearer, now)
    prefix = deps.sessions.find(cookie) if cookie else None
    if prefix is None:
        raise Unauthorized("no valid credential; send Authorization: Bearer hk_…")
    require_same_origin(request)
    return deps.verifier.verify_prefix(prefix, now)


def require_same_origin(request: Request) -> None:
    """Refuse a change that another site's page asks for.

    Raises:
        Forbidden: The Origin header is missing or names another host.
    """
    if request.method in _SAFE_METHODS:
        return
    origin = request.headers.get("origin", "")
    if not origin or urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("the request does not come from a page of this console")


def require(role: Role) -> Callable[..., Principal]:
    """A dependency that admits `role` and the roles above it."""

    def dependency(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        cookie: Annotated[str | None, Depends(_cookie)],
    ) -> Principal:
        principal = authenticate(request, bearer.credentials if bearer else None, cookie)
        if not principal.role.includes(role):
            raise Forbidden(f"this needs the role {role}, the key has {principal.role}")
        return principal

    return dependency


Viewer = Depends(require(Role.VIEWER))
AsAdmin = Annotated[Principal, Depends(require(Role.ADMIN))]
