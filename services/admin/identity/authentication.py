"""A credential to its principal; what was wrong with one goes to the log and nowhere else."""

from __future__ import annotations

from services.admin.deps import AdminDeps
from services.kernel import telemetry
from services.kernel.errors import Forbidden, Unauthorized
from services.kernel.security.addresses import limited_name
from services.kernel.security.keys import NOT_VALID, SESSION_ENDED, Principal
from services.kernel.security.limits import failure_limit, principal_limit
from services.kernel.security.oidc import OidcVerifier
from services.kernel.security.oidc_login import Person
from services.kernel.telemetry import get_logger

LOGIN_COST = 5.0
"""A wrong key at the login form counts as this many wrong credentials."""


def identify(deps: AdminDeps, bearer: str | None, cookie: str | None, address: str) -> Principal:
    """The principal behind a bearer credential, or behind a session's cookie.

    Args:
        deps: Dependencies.
        bearer: What the Authorization header holds; it wins.
        cookie: The session's token.
        address: The client's.

    Raises:
        Unauthorized: There is no valid credential; the message is the same whatever was wrong.
        Forbidden: There is, but it allows nothing.
        TooManyRequests: Too many wrong ones came from there, or too many requests with this one.
    """
    try:
        principal = _identify(deps, bearer, cookie, limited_name(address))
    except Unauthorized as error:
        note_refusal(error.reason, address)
        raise
    except Forbidden:
        note_refusal("no_role", address)
        raise
    if deps.limiter is not None:
        deps.limiter.take(principal_limit(deps.settings), principal.prefix)
    return principal


def log_in(deps: AdminDeps, token: str, address: str) -> Principal:
    """The principal of an API key that opens a session.

    Raises:
        Unauthorized: The key is not valid.
        TooManyRequests: Too many wrong ones came from there.
    """
    try:
        return _verify_key(deps, token, limited_name(address), LOGIN_COST)
    except Unauthorized as error:
        note_refusal(error.reason, address)
        raise


def _identify(deps: AdminDeps, bearer: str | None, cookie: str | None, who: str) -> Principal:
    now = deps.wall.now()
    if bearer is not None:
        if deps.oidc is not None and bearer.count(".") == 2:
            return _verify_token(deps, deps.oidc, bearer, who)
        return _verify_key(deps, bearer, who, 1.0)
    if not cookie:
        raise Unauthorized(NOT_VALID)
    found = deps.sessions.find(cookie)
    if found is None:
        raise Unauthorized(NOT_VALID, reason="unknown_session")
    if isinstance(found, Person):
        return _principal_of(deps, found)
    return deps.verifier.verify_prefix(found, now)


def _principal_of(deps: AdminDeps, person: Person) -> Principal:
    """The principal of a session that the issuer opened, by the roles as they are mapped now.

    Raises:
        Unauthorized: People no longer log in through this issuer, or the map gives them no role.
    """
    grants = deps.oidc_login.grants(person) if deps.oidc_login else ()
    if not grants:
        raise Unauthorized(SESSION_ENDED, reason="revoked_login")
    return Principal(None, f"oidc:{person.subject}", person.name, grants)


def _verify_key(deps: AdminDeps, token: str, who: str, cost: float) -> Principal:
    """Verify a key; while too many wrong ones come from an address, no secret is hashed for it.

    A key that this process has verified before goes on: it is no guess, so that one bad neighbour
    behind the same address does not lock the others out.
    """
    now = deps.wall.now()
    known = deps.verifier.recall(token, now)
    if known is not None:
        return known
    if deps.limiter is None:
        return deps.verifier.verify(token, now)
    with deps.limiter.against_guesses(failure_limit(deps.settings), who, cost):
        return deps.verifier.verify(token, now)


def _verify_token(deps: AdminDeps, oidc: OidcVerifier, token: str, who: str) -> Principal:
    """Verify a token; a signature costs little, so only wrong ones are counted."""
    try:
        return oidc.verify(token, deps.wall.now())
    except Unauthorized:
        if deps.limiter is not None:
            deps.limiter.take(failure_limit(deps.settings), who)
        raise


def note_refusal(reason: str, address: str, actor: str = "") -> None:
    """Log and count a refusal; neither the credential nor a part of it is written."""
    telemetry.auth_failures_total.labels("admin", reason).inc()
    get_logger("admin").warning("auth_refused", reason=reason, address=address, actor=actor)
