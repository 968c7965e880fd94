"""Callers and what a route needs of them: every route declares a role, and where it must hold.

A route with `{namespace}` in its path needs the role there. Any other route needs it in the whole
fleet, unless it declares `Scope.OWN`: then it admits whoever has the role in some namespace, and
shows of each list only what is in those (`Principal.namespaces`, `authority.check_object`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from services.admin.deps import AdminDeps
from services.admin.identity import authentication
from services.admin.identity.authority import NOT_ALLOWED
from services.kernel.errors import Forbidden
from services.kernel.security.keys import FLEET, Principal, Role

COOKIE = "harmony_session"
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}

_bearer = HTTPBearer(
    auto_error=False,
    description="An API key (`hk_<prefix>_<secret>`), or a token of the OIDC issuer",
)
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="Set by the console's login")


class Scope(StrEnum):
    """Scope in which a route needs its role, if its path names no namespace."""

    FLEET = "fleet"
    OWN = "own"


def get_deps(request: Request) -> AdminDeps:
    """The application's dependencies."""
    deps: AdminDeps = request.app.state.deps
    return deps


async def _deps(request: Request) -> AdminDeps:
    # in the event loop: a thread for each of a request's small parts costs more than the parts
    return get_deps(request)


Deps = Annotated[AdminDeps, Depends(_deps)]


def authenticate(request: Request, bearer: str | None, cookie: str | None) -> Principal:
    """The principal behind a request, found once for each.

    A bearer credential wins. With a cookie, a request that changes something must come from a page
    of this origin, so that no other site can send it.

    Raises:
        Unauthorized: No valid credential.
        Forbidden: A change asked for from another origin.
        TooManyRequests: A limit is passed.
    """
    known: Principal | None = getattr(request.state, "principal", None)
    if known is None:
        if bearer is None and cookie:
            require_same_origin(request)
        known = authentication.identify(get_deps(request), bearer, cookie, address_of(request))
        request.state.principal = known
    return known


def address_of(request: Request) -> str:
    """The client's address, as far as the proxies in front are trusted."""
    return request.client.host if request.client else "unknown"


def require_same_origin(request: Request) -> None:
    """Refuse a change that another site's page asks for.

    Raises:
        Forbidden: The Origin header is missing or names another host.
    """
    if request.method in _SAFE_METHODS:
        return
    try:
        host = urlsplit(request.headers.get("origin", "")).netloc
    except ValueError:
        host = ""
    if not host or host != request.headers.get("host"):
        raise Forbidden("the request does not come from a page of this console")


class Need:
    """Role and scope that a route needs of its caller."""

    def __init__(self, role: Role, scope: Scope) -> None:
        self.role = role
        self.scope = scope

    def admit(self, request: Request, principal: Principal) -> Principal:
        """`principal`, if it has the role where this request needs it.

        Raises:
            Forbidden: It has not.
        """
        namespace = request.path_params.get("namespace")
        if namespace is None and self.scope is Scope.OWN:
            is_admitted = principal.may_somewhere(self.role)
        else:
            # nobody may name the fleet as a namespace to be given its rights
            is_admitted = namespace != FLEET and principal.may(self.role, namespace or FLEET)
        if not is_admitted:
            authentication.note_refusal("role", address_of(request), principal.actor)
            raise Forbidden(NOT_ALLOWED)
        return principal


class Require(Need):
    """A dependency of REST routes: the principal, if it has the role."""

    async def __call__(
        self,
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        cookie: Annotated[str | None, Depends(_cookie)],
    ) -> Principal:
        """The principal of the request."""
        token = bearer.credentials if bearer else None
        if getattr(request.state, "principal", None) is None:
            principal = await run_in_threadpool(authenticate, request, token, cookie)
        else:
            principal = authenticate(request, token, cookie)
        return self.admit(request, principal)


def require(role: Role, scope: Scope = Scope.FLEET) -> Require:
    """A dependency that admits `role` and the roles above it."""
    return Require(role, scope)


_READER = require(Role.VIEWER, Scope.OWN)

Reader = Depends(_READER)
AsReader = Annotated[Principal, Depends(_READER)]
AsAdmin = Annotated[Principal, Depends(require(Role.ADMIN))]
AsOwnAdmin = Annotated[Principal, Depends(require(Role.ADMIN, Scope.OWN))]
