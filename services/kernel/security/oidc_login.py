"""Login of people at an OIDC issuer: authorization code flow with PKCE, state and nonce.

Sources: OpenID Connect Core 3.1 (the flow, the ID token), RFC 7636 (PKCE), RFC 9700 (security of
OAuth 2.0), RFC 9207 (the issuer in the answer).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx

from services.kernel.errors import ConfigurationError, Unauthorized, Unavailable
from services.kernel.security.jwks import JwksCache, JwksTimes, ask_json
from services.kernel.security.oidc import (
    OidcPolicy,
    OidcVerifier,
    claim_at,
    grants_for,
    is_safe,
    known_values,
    name_in,
    policy_of,
)
from services.kernel.security.principal import RoleGrant
from services.kernel.security.urls import is_private, parse_url
from services.kernel.settings import Settings
from services.kernel.telemetry import get_logger

NOT_TRUSTED = "the identity provider's answer cannot be used; the admin service's log says why"
_TIMEOUT_S = 10.0
_MAX_LOGGED = 200


@dataclass(frozen=True, slots=True)
class LoginClient:
    """The console as the issuer knows it.

    Attributes:
        secret: None: a public client.
        scopes: What is asked for.
    """

    id: str
    secret: str | None
    scopes: str


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """A login that was begun: what the answer must fit, and where it leads.

    Attributes:
        state: Comes back with the answer.
        nonce: Comes back in the ID token.
        verifier: What the code can be exchanged with (PKCE).
        redirect_uri: Where the issuer sends the browser.
        following: Page of the console that is shown then.
    """

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    following: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom the issuer has named.

    Attributes:
        subject: `sub`, printable.
        name: What the audit log calls them.
        values: Of the roles claim, those that the map knew at the login.
    """

    issuer: str
    subject: str
    name: str
    values: tuple[str, ...]


def make_login(settings: Settings) -> OidcLogin | None:
    """The login that the settings ask for; None where they ask for none.

    Raises:
        ConfigurationError: One of them cannot be used.
    """
    if not settings.oidc_client_id:
        return None
    policy = policy_of(settings)
    if policy is None:
        raise ConfigurationError(
            f"HARMONY_OIDC_CLIENT_ID={settings.oidc_client_id!r} needs HARMONY_OIDC_ISSUER"
        )
    if "openid" not in settings.oidc_scopes.split():
        raise ConfigurationError(
            f"HARMONY_OIDC_SCOPES={settings.oidc_scopes!r} must hold openid, or no ID token comes"
        )
    check_console_url(settings.console_url)
    secret = settings.oidc_client_secret
    client = LoginClient(
        settings.oidc_client_id,
        secret.get_secret_value() if secret else None,
        " ".join(settings.oidc_scopes.split()),
    )
    times = JwksTimes(settings.oidc_jwks_ttl_s, settings.oidc_jwks_refetch_s)
    return OidcLogin(client, policy, JwksCache(policy.issuer, times, is_safe=is_safe))


def check_console_url(url: str) -> None:
    """Check whether `url`, if there is one, is where a browser can find the console.

    Raises:
        ConfigurationError: It is not.
    """
    parts = parse_url(url) or urlsplit("")
    is_whole = parts.scheme in {"http", "https"} and parts.hostname and not parts.username
    if url and not (is_whole and url.rstrip("/") == f"{parts.scheme}://{parts.netloc}"):
        raise ConfigurationError(
            f"HARMONY_CONSOLE_URL={url.rsplit('@', 1)[-1]!r} must be scheme and host, without a "
            "path, e.g. https://harmony.example.org"
        )


class OidcLogin:
    """Sends people to the issuer and tells who came back. Safe to share between threads."""

    def __init__(self, client: LoginClient, policy: OidcPolicy, keys: JwksCache) -> None:
        """Log people in as `client`; roles follow `policy`, signatures are by one of `keys`."""
        self._client = client
        self._policy = policy
        self._keys = keys
        # an ID token is meant for the client that asked for it (Core 3.1.3.7)
        self._verifier = OidcVerifier(replace(policy, audience=client.id), keys)
        self._http = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._keys.close()

    @property
    def host(self) -> str:
        """The issuer as people know it."""
        return urlsplit(self._policy.issuer).netloc

    @property
    def roles_claim(self) -> str:
        """Claim that gives roles."""
        return self._policy.roles_claim

    def begin(self, redirect_uri: str, following: str) -> tuple[str, LoginAttempt]:
        """Address to send the browser to, and what its return must fit.

        Raises:
            Unavailable: The issuer cannot be asked, or names no endpoint.
        """
        attempt = LoginAttempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            redirect_uri=redirect_uri,
            following=following,
        )
        asked = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": redirect_uri,
            "scope": self._client.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge_of(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return _with_query(self._endpoint("authorization_endpoint"), asked), attempt

    def finish(self, attempt: LoginAttempt, code: str, issuer: str | None, now: datetime) -> Person:
        """User who came back.

        Args:
            attempt: What was begun in this browser.
            code: From the issuer's answer.
            issuer: `iss` of the answer, where it has one.
            now: Current time.

        Raises:
            Unauthorized: The answer cannot be trusted; only `reason` says why.
            Unavailable: The issuer cannot be asked.
        """
        names_itself = self._keys.discovery().get("authorization_response_iss_parameter_supported")
        if issuer != self._policy.issuer and (issuer is not None or names_itself is True):
            raise Unauthorized(NOT_TRUSTED, reason="login_issuer")
        answer = self._exchange(attempt, code)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Unauthorized(NOT_TRUSTED, reason="login_without_id_token")
        try:
            claims = self._verifier.claims(token, now)
        except Unauthorized as error:
            raise Unauthorized(NOT_TRUSTED, reason=error.reason) from error
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode(), attempt.nonce.encode()
        ):
            raise Unauthorized(NOT_TRUSTED, reason="login_nonce")
        if claims.get("azp", self._client.id) != self._client.id:
            raise Unauthorized(NOT_TRUSTED, reason="login_party")
        if claim_at(claims, self._policy.roles_claim) is None:
            claims = self._with_user_info(claims, answer)
        subject, name = name_in(claims, self._policy)
        values = known_values(claims, self._policy)
        return Person(self._policy.issuer, subject, name, values)

    def grants(self, person: Person) -> tuple[RoleGrant, ...]:
        """Rights that they have now: by the map as it stands, and none under another issuer."""
        if person.issuer != self._policy.issuer:
            return ()
        return grants_for(person.values, self._policy)

    def logout_url(self, back: str) -> str | None:
        """Page where the browser can end its session at the issuer; None: it names none."""
        try:
            found = self._keys.discovery().get("end_session_endpoint")
        except Unavailable:
            return None
        if not isinstance(found, str) or not is_private(found):
            return None
        asked = {"client_id": self._client.id, "post_logout_redirect_uri": back}
        return _with_query(found, asked)

    def _endpoint(self, name: str) -> str:
        found = self._keys.discovery().get(name)
        if not isinstance(found, str) or not is_private(found):
            get_logger("oidc").warning("issuer_endpoint_unusable", endpoint=name)
            raise Unavailable(f"the identity provider names no usable {name}")
        return found

    def _exchange(self, attempt: LoginAttempt, code: str) -> dict[str, Any]:
        """The tokens that a code stands for."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        auth = None
        if self._client.secret is not None and self._speaks_basic():
            pair = quote_plus(self._client.id), quote_plus(self._client.secret)  # RFC 6749, 2.3.1
            auth = httpx.BasicAuth(*pair)
        else:
            form["client_id"] = self._client.id
            if self._client.secret is not None:
                form["client_secret"] = self._client.secret
        status, answer = self._ask("POST", "token_endpoint", data=form, auth=auth)
        if status != 200:
            said = str(answer.get("error", ""))[:_MAX_LOGGED]
            get_logger("oidc").warning("login_code_refused", status=status, error=said)
            raise Unauthorized(NOT_TRUSTED, reason="login_code_refused")
        return answer

    def _speaks_basic(self) -> bool:
        known = self._keys.discovery().get("token_endpoint_auth_methods_supported")
        return not isinstance(known, list) or "client_secret_basic" in known

    def _with_user_info(self, claims: dict[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
        """The claims, with those of the user info endpoint where the issuer has one."""
        token = answer.get("access_token")
        if not isinstance(token, str) or "userinfo_endpoint" not in self._keys.discovery():
            return claims
        headers = {"Authorization": f"Bearer {token}"}
        status, found = self._ask("GET", "userinfo_endpoint", headers=headers)
        if status != 200 or found.get("sub") != claims["sub"]:
            get_logger("oidc").warning("user_info_not_used", status=status)
            return claims
        return found | claims

    def _ask(self, method: str, name: str, **kwargs: Any) -> tuple[int, dict[str, Any]]:
        """Ask one of the issuer's endpoints.

        Raises:
            Unavailable: No answer came that can be read.
        """
        try:
            status, answer = ask_json(self._http, method, self._endpoint(name), **kwargs)
        except (httpx.HTTPError, ValueError, TypeError) as error:
            get_logger("oidc").warning(
                "issuer_not_answering", endpoint=name, error=str(error)[:_MAX_LOGGED]
            )
            raise Unavailable("the identity provider does not answer; try again shortly") from error
        if status >= 500:
            get_logger("oidc").warning("issuer_not_answering", endpoint=name, status=status)
            raise Unavailable("the identity provider does not answer; try again shortly")
        return status, answer


def challenge_of(verifier: str) -> str:
    """PKCE's S256 challenge of a verifier (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _with_query(url: str, values: Mapping[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(values)}"
