"""A credential to its principal; what was wrong with one goes to the log and nowhere else."""

from __future__ import annotations

from services.admin.service import AdminDeps
from services.kernel import telemetry
from services.kernel.errors import Forbidden, Unauthorized
from services.kernel.security import NOT_VALID, Principal
from services.kernel.telemetry import get_logger


def identify(deps: AdminDeps, bearer: str | None, cookie: str | None, address: str) -> Principal:
    """The principal behind a bearer credential, or behind a session's cookie.

    Args:
        deps: Dependencies.
        bearer: What the Authorization header holds; it wins.
        cookie: The session's token.
        address: The client's, for the log.

    Raises:
        Unauthorized: There is no valid credential; the message is the same whatever was wrong.
    """
    try:
        return _identify(deps, bearer, cookie)
    except Unauthorized as error:
        note_refusal(error.reason, address)
        raise
    except Forbidden:
        note_refusal("no_role", address)
        raise


def log_in(deps: AdminDeps, token: str, address: str) -> Principal:
    """The principal of an API key that opens a session.

    Raises:
        Unauthorized: The key is not valid.
    """
    try:
        return deps.verifier.verify(token, deps.wall.now())
    except Unauthorized as error:
        note_refusal(error.reason, address)
        raise


def _identify(deps: AdminDeps, bearer: str | None, cookie: str | None) -> Principal:
    now = deps.wall.now()
    if bearer is not None:
        if deps.oidc is not None and bearer.count(".") == 2:
            return deps.oidc.verify(bearer, now)
        return deps.verifier.verify(bearer, now)
    if not cookie:
        raise Unauthorized(NOT_VALID)
    prefix = deps.sessions.find(cookie)
    if prefix is None:
        raise Unauthorized(NOT_VALID, reason="unknown_session")
    return deps.verifier.verify_prefix(prefix, now)


def note_refusal(reason: str, address: str, actor: str = "") -> None:
    """Log and count a refusal; neither the credential nor a part of it is written."""
    telemetry.auth_failures_total.labels("admin", reason).inc()
    get_logger("admin").warning("auth_refused", reason=reason, address=address, actor=actor)
