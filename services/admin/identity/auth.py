"""Callers and what a route needs of them: every route declares a role, and where it must hold.

A route with `{namespace}` in its path needs the role there. Any other route needs it in the whole
fleet, unless it declares `Scope.OWN`: then it admits whoever has the role in some namespace, and
shows of each list only what is in those (`Principal.namespaces`, `authority.check_object`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from services.admin.clusters import RequestCell
from services.admin.deps import AdminDeps
from services.admin.identity import authentication
from services.admin.identity.authority import NOT_ALLOWED
from services.admin.identity.cells import Asked, cluster_of
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
    return deps_of(request)


def deps_of(request: Request) -> AdminDeps:
    """The dependencies of one request, which know its cluster once its caller is admitted."""
    if not hasattr(request.state, "cell"):
        request.state.cell = RequestCell()
    return replace(get_deps(request), cell=request.state.cell)


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
        clusters = get_deps(request).clusters
        request.state.clusters = clusters.names() if clusters is not None else ()
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
        try:
            there = self._there(request, principal, namespace)
        except Forbidden:
            authentication.note_refusal("role", address_of(request), principal.actor)
            raise
        if namespace is None and self.scope is Scope.OWN:
            is_admitted = there.may_somewhere(self.role)
        else:
            # nobody may name the fleet as a namespace to be given its rights
            is_admitted = namespace != FLEET and there.may(self.role, namespace or FLEET)
        if not is_admitted:
            authentication.note_refusal("role", address_of(request), principal.actor)
            raise Forbidden(NOT_ALLOWED)
        return there

    def _there(self, request: Request, principal: Principal, namespace: str | None) -> Principal:
        """The principal with its rights in the cluster of the request, which is noted."""
        known: tuple[str, ...] = request.state.clusters
        named = request.query_params.get("cluster")
        if named is None and _is_only(known, principal):
            request.state.seen_clusters = known
            return principal  # nobody has to know that there could be several
        is_of_all = namespace is None and self.scope is Scope.FLEET
        cluster = cluster_of(self._asked(request, namespace, named), principal, known)
        deps_of(request).cell.name = cluster if len(known) > 1 else None
        allowed = principal.clusters
        request.state.seen_clusters = tuple(
            name for name in known if allowed is None or name in allowed
        )
        # models and the audit log are of all clusters together
        return principal.within(None if is_of_all and len(known) > 1 else cluster)

    def _asked(self, request: Request, namespace: str | None, named: str | None) -> Asked:
        is_session = request.headers.get("authorization") is None
        is_read, given = request.method in _SAFE_METHODS, request.path_params
        if is_session:  # a form says of which cluster its page was: another may be shown by now
            must_name = not is_read and self.scope is Scope.OWN
        else:
            makes = not is_read and self.scope is Scope.OWN and not given
            names = namespace is not None or "gpu_type" in given
            must_name = makes or names or "workload" in request.query_params
        return Asked(named, is_session, must_name)


def _is_only(known: Sequence[str], principal: Principal) -> bool:
    """True where there is one cluster, in which the principal has rights."""
    allowed = principal.clusters
    return len(known) < 2 and (not known or allowed is None or known[0] in allowed)


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
