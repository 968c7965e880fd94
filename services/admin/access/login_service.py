"""Use cases of the console's login at the identity provider."""

from __future__ import annotations

from dataclasses import dataclass

from services.admin.deps import AdminDeps
from services.admin.identity import authentication
from services.kernel.errors import BadRequest, Forbidden, NotFound, Unauthorized
from services.kernel.security import keys as security
from services.kernel.security.addresses import limited_name
from services.kernel.security.keys import AuditEntry, Principal
from services.kernel.security.limits import failure_limit
from services.kernel.security.oidc_login import OidcLogin
from services.kernel.security.printable import printable

_MAX_SAID = 200


@dataclass(frozen=True, slots=True)
class LoginReturn:
    """Parameters with which the identity provider sends the browser back; each may be missing.

    Attributes:
        issuer: `iss` (RFC 9207).
        error: Why there is no code.
        description: The same in words.
    """

    state: str
    code: str
    issuer: str | None = None
    error: str = ""
    description: str = ""


def find_login(deps: AdminDeps) -> OidcLogin:
    """The login.

    Raises:
        NotFound: The settings name none.
    """
    if deps.oidc_login is None:
        raise NotFound("no login through an identity provider is configured here")
    return deps.oidc_login


def begin(deps: AdminDeps, redirect_uri: str, following: str, address: str) -> tuple[str, str, str]:
    """Begin a login: where to send the browser, its state, and the token for its cookie.

    Raises:
        NotFound: The settings name no login.
        TooManyRequests: Too many were begun from there and not finished.
        Unavailable: The identity provider cannot be asked.
    """
    login = find_login(deps)
    if deps.limiter is not None:  # given back to those who come back with a role
        deps.limiter.take(failure_limit(deps.settings), limited_name(address))
    url, attempt = login.begin(redirect_uri, following)
    return url, attempt.state, deps.sessions.begin(attempt)


def finish(deps: AdminDeps, cookie: str, answer: LoginReturn, address: str) -> tuple[str, str]:
    """Open the session of who came back; returns its token, and the page to show.

    Raises:
        BadRequest: Nothing was begun here that the answer fits, or the issuer refused.
        Unauthorized: The answer cannot be trusted.
        Forbidden: Nothing gives them a role.
        Unavailable: The identity provider cannot be asked.
    """
    try:
        return _finish(deps, cookie, answer, address)
    except Unauthorized as error:
        authentication.note_refusal(error.reason, address)
        raise


def _finish(deps: AdminDeps, cookie: str, answer: LoginReturn, address: str) -> tuple[str, str]:
    login = find_login(deps)
    attempt = deps.sessions.take(cookie) if cookie else None
    # the cookie is named after the state, and holds what only this browser was given
    if attempt is None or attempt.state != answer.state:
        authentication.note_refusal("login_unknown", address)
        raise BadRequest(
            "This login was not begun in this browser, or more than ten minutes ago, or it is "
            "finished already. Start again."
        )
    if answer.error or not answer.code:
        reasons = " ".join(part for part in (answer.error, answer.description) if part)
        authentication.note_refusal("login_refused", address)
        said = printable(reasons, _MAX_SAID).rstrip(". ") or "it gave no code"
        raise BadRequest(f"The identity provider did not log you in: {said}.")
    now = deps.wall.now()
    person = login.finish(attempt, answer.code, answer.issuer, now)
    grants = login.grants(person)
    principal = Principal(None, f"oidc:{person.subject}", person.name, grants)
    if not grants:
        authentication.note_refusal("no_role", address, principal.actor)
        raise Forbidden(
            f"You are {person.name} at {login.host}, but none of what it says of you (claim "
            f"{login.roles_claim}) gives a role here. An administrator can map one."
        )
    with deps.engine.begin() as connection:
        entry = AuditEntry(now, principal.actor, "session.open", f"user/{principal.prefix}")
        security.append_audit(connection, entry)
        # within: what cannot be opened is not noted as open
        token = deps.sessions.open_for(person, deps.settings.oidc_session_s)
    if deps.limiter is not None:
        deps.limiter.give_back(failure_limit(deps.settings), limited_name(address))
    return token, attempt.following
