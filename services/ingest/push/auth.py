"""Right to send samples: the push token, or an API key with the role operator."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from fastapi import Request

from services.ingest.cells import Cells
from services.ingest.deps import IngestDeps
from services.kernel import telemetry
from services.kernel.errors import Forbidden, Unauthorized
from services.kernel.security.addresses import limited_name
from services.kernel.security.bind import is_loopback
from services.kernel.security.keys import FLEET, KeyVerifier, Principal, Role
from services.kernel.security.limits import failure_limit
from services.kernel.telemetry import get_logger

_NOT_VALID = "no valid credential; send Authorization: Bearer and the push token or an API key"
_NOT_ALLOWED = "this credential does not allow this; samples need the role operator"


@dataclass(frozen=True, slots=True)
class Writable:
    """Where a request may write to.

    Attributes:
        deps: Dependencies for its cluster.
        namespaces: Those that it may write to there; None: all of them.
    """

    deps: IngestDeps
    namespaces: frozenset[str] | None


class PushAuthority:
    """Tells what a request may write. Safe to share between threads."""

    def __init__(self, deps: IngestDeps) -> None:
        """Verify against the database of `deps`."""
        self._deps = deps
        self._cells = Cells(deps)
        self._verifier = KeyVerifier(deps.engine)

    def check_pusher(self, request: Request) -> IngestDeps:
        """The dependencies for a request's cluster, if it may push samples of any workload there.

        Without a push token in the settings anyone may; such a service answers this machine only
        (`services.kernel.security.bind`).

        Raises:
            Unauthorized: No valid credential.
            Forbidden: A key that is not an operator's of the whole fleet there.
            NotFound: There is no such cluster.
            TooManyRequests: Too many wrong credentials came from this address.
        """
        if self._deps.settings.push_token is None:
            return self._there(request, None)[0]
        principal = self._principal(request)
        deps, there = self._there(request, principal)
        if there is not None and not there.may(Role.OPERATOR, FLEET):
            raise self._refused(request, there)
        return deps

    def writable(self, request: Request) -> Writable:
        """Where a request may write to.

        Raises:
            Unauthorized: No valid credential.
            Forbidden: A key that is an operator's of no namespace of the cluster.
            NotFound: There is no such cluster.
            TooManyRequests: Too many wrong credentials came from this address.
        """
        deps, there = self._there(request, self._principal(request))
        if there is None:
            return Writable(deps, None)
        if not there.may_somewhere(Role.OPERATOR):
            raise self._refused(request, there)
        return Writable(deps, there.namespaces(Role.OPERATOR))

    def of_token(self, request: Request) -> IngestDeps:
        """The dependencies for the cluster of a request with the push token; asks nobody.

        Raises:
            Forbidden: It names another cluster than that of the settings.
        """
        return self._there(request, None)[0]

    def _there(
        self, request: Request, principal: Principal | None
    ) -> tuple[IngestDeps, Principal | None]:
        """The dependencies for the cluster of a request, and its principal as it is there.

        A key is for its own cluster, the push token for that of the settings; one for every cluster
        says which by `?cluster=`, or means that of the settings.
        """
        own = self._deps.settings.cluster
        allowed = frozenset({own}) if self._is_bound(principal) else None
        if principal is not None:
            allowed = principal.clusters
        named = request.query_params.get("cluster")
        if named is None:
            named = next(iter(allowed)) if allowed is not None and len(allowed) == 1 else own
        if allowed is not None and named not in allowed:
            reason = "" if principal is None else principal.actor
            _report_refusal("role", request, reason)
            raise Forbidden(_NOT_ALLOWED)
        deps = self._cells.of(named)
        return deps, None if principal is None else principal.within(named)

    def _is_bound(self, principal: Principal | None) -> bool:
        """True for the push token; who needs none, on this machine, may name any cluster."""
        return principal is None and self._deps.settings.push_token is not None

    def has_token(self, request: Request) -> bool:
        """Check for the push token; it tells all without the database, and waits for nothing."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(given)

    def _is_token(self, given: str) -> bool:
        token = self._deps.settings.push_token
        if not given or not token:
            return False
        return hmac.compare_digest(given.encode(), token.get_secret_value().encode())

    def _principal(self, request: Request) -> Principal | None:
        """The principal of a key; None: the push token."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer" or not given:
                raise Unauthorized(_NOT_VALID)
            if self._is_token(given):
                return None
            return self._verified(given, limited_name(_address(request)))
        except Unauthorized as error:
            _report_refusal(error.reason, request)
            raise Unauthorized(_NOT_VALID + self._hint(), error.reason) from error

    def _hint(self) -> str:
        """Where the token is, where only callers on this machine can ask."""
        file = self._deps.token_file
        return f"; the token is in {file}" if file and is_loopback(self._deps.settings.host) else ""

    def _verified(self, key: str, address: str) -> Principal:
        now = self._deps.wall.now()
        known = self._verifier.recall(key, now)
        if known is not None:
            return known
        limiter = self._deps.limiter
        if limiter is None:
            return self._verifier.verify(key, now)
        with limiter.against_guesses(failure_limit(self._deps.settings), address):
            return self._verifier.verify(key, now)

    def _refused(self, request: Request, principal: Principal) -> Forbidden:
        _report_refusal("role", request, principal.actor)
        return Forbidden(_NOT_ALLOWED)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _report_refusal(reason: str, request: Request, actor: str = "") -> None:
    telemetry.auth_failures_total.labels("ingest", reason).inc()
    values = {"reason": reason, "address": _address(request), "actor": actor}
    get_logger("ingest").warning("auth_refused", **values)
