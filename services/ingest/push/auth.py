"""Right to send samples: the push token, or an API key with the role operator."""

from __future__ import annotations

import hmac

from fastapi import Request

from services.ingest.deps import IngestDeps
from services.kernel import telemetry
from services.kernel.errors import Forbidden, Unauthorized
from services.kernel.security.bind import is_loopback
from services.kernel.security.http import limited_name
from services.kernel.security.keys import FLEET, KeyVerifier, Principal, Role
from services.kernel.security.limits import failure_limit
from services.kernel.telemetry import get_logger

_NOT_VALID = "no valid credential; send Authorization: Bearer and the push token or an API key"
_NOT_ALLOWED = "this credential does not allow this; samples need the role operator"


class PushAuthority:
    """Tells what a request may write. Safe to share between threads."""

    def __init__(self, deps: IngestDeps) -> None:
        """Verify against the database of `deps`."""
        self._deps = deps
        self._verifier = KeyVerifier(deps.engine)

    def check_pusher(self, request: Request) -> None:
        """Refuse a request that may not push samples of any workload.

        Without a push token in the settings anyone may; such a service answers this machine only
        (`services.kernel.security.bind`).

        Raises:
            Unauthorized: No valid credential.
            Forbidden: A key that is not an operator's of the whole fleet.
            TooManyRequests: Too many wrong credentials came from this address.
        """
        if self._deps.settings.push_token is None:
            return
        principal = self._principal(request)
        if principal is not None and not principal.may(Role.OPERATOR, FLEET):
            raise self._refused(request, principal)

    def writable(self, request: Request) -> frozenset[str] | None:
        """Namespaces that a request may write to; None: all of them.

        Raises:
            Unauthorized: No valid credential.
            Forbidden: A key that is an operator's of no namespace.
            TooManyRequests: Too many wrong credentials came from this address.
        """
        principal = self._principal(request)
        if principal is None:
            return None
        if not principal.may_somewhere(Role.OPERATOR):
            raise self._refused(request, principal)
        return principal.namespaces(Role.OPERATOR)

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
