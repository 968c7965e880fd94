"""Bearer tokens of an OIDC issuer: signature, claims, and claims to roles.

Sources: RFC 7519 (JSON Web Token), RFC 8725 (its best current practices), OpenID Connect Core.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt
import orjson

from services.kernel.db.clusters import check_name
from services.kernel.errors import ConfigurationError, Forbidden, InvalidInput, Unauthorized
from services.kernel.security.jwks import JwksCache, JwksTimes
from services.kernel.security.keys import NOT_VALID, check_namespaces
from services.kernel.security.principal import FLEET, Principal, Role, RoleGrant
from services.kernel.security.printable import printable
from services.kernel.security.urls import is_private
from services.kernel.settings import Settings

SAFE_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Signatures by a private key that only the issuer has: never `none`, never a shared secret."""
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_MAX_TOKEN_CHARS = 16_384
_MAX_SHOWN = 100
_YEAR_9000 = 221_845_392_000


@dataclass(frozen=True, slots=True)
class OidcPolicy:
    """Rules for tokens that are accepted, and for what they allow.

    Attributes:
        issuer: Value that `iss` must have; where the keys are found.
        audience: Value that `aud` must hold.
        algorithms: Signature algorithms.
        leeway: How far clocks may differ.
        name_claim: Claim with the caller's name.
        roles_claim: Claim whose values `grants` reads; dots go into objects.
        grants: What each value of that claim allows.
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    leeway: timedelta
    name_claim: str
    roles_claim: str
    grants: Mapping[str, tuple[RoleGrant, ...]]


def policy_of(settings: Settings) -> OidcPolicy | None:
    """The policy that the settings hold; None where no issuer is set.

    Raises:
        ConfigurationError: One of them cannot be used.
    """
    if not settings.oidc_issuer:
        return None
    check_issuer(settings.oidc_issuer)
    if not settings.oidc_audience:
        raise ConfigurationError(
            "HARMONY_OIDC_AUDIENCE is empty; it must name what the issuer puts into `aud` for "
            "Harmony, or any token of the issuer would be accepted"
        )
    algorithms = tuple(part.strip() for part in settings.oidc_algorithms.split(",") if part.strip())
    wrong = set(algorithms) - SAFE_ALGORITHMS
    if wrong or not algorithms:
        raise ConfigurationError(
            f"HARMONY_OIDC_ALGORITHMS={settings.oidc_algorithms!r} must list some of "
            f"{', '.join(sorted(SAFE_ALGORITHMS))}"
        )
    return OidcPolicy(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        algorithms=algorithms,
        leeway=timedelta(seconds=settings.oidc_leeway_s),
        name_claim=settings.oidc_name_claim,
        roles_claim=settings.oidc_roles_claim,
        grants=parse_role_map(settings.oidc_role_map),
    )


def check_issuer(url: str) -> None:
    """Check whether `url` can be trusted for keys: https, or a server on this machine.

    Raises:
        ConfigurationError: It cannot.
    """
    if not is_safe(url):
        raise ConfigurationError(
            f"HARMONY_OIDC_ISSUER={url.rsplit('@', 1)[-1]!r} must be the https:// URL that the "
            "issuer puts into `iss` (http:// on this machine only)"
        )


def is_safe(url: str) -> bool:
    """Check whether keys may be fetched from `url`: nobody on the way can exchange them."""
    return is_private(url) and not urlsplit(url).query


def parse_role_map(text: str) -> dict[str, tuple[RoleGrant, ...]]:
    """Claim values to grants, from JSON such as `{"sre": "admin", "team": ["viewer@team-a"]}`.

    Raises:
        ConfigurationError: It is not of that form.
    """
    try:
        parsed = orjson.loads(text) if text else {}
        if not isinstance(parsed, dict):
            raise ValueError("no object")
        return {
            value: tuple(_grant(item) for item in ([words] if isinstance(words, str) else words))
            for value, words in parsed.items()
        }
    except (ValueError, TypeError, InvalidInput) as error:
        raise ConfigurationError(
            f"HARMONY_OIDC_ROLE_MAP={text[:200]!r}: {error}; it must be JSON that maps values of "
            'the claim to a role or a list of them, e.g. {"sre": "admin", "team": '
            f'["operator@team-a", "viewer"]}}; roles: {", ".join(Role)}'
        ) from error


def _grant(item: object) -> RoleGrant:
    if not isinstance(item, str):
        raise TypeError(f"{item!r} is no text")
    role, at, where = item.partition("@")
    cluster, slash, namespace = where.rpartition("/")
    if slash:
        check_name(cluster)
    if at and not (slash and namespace == FLEET):
        check_namespaces([namespace])
    return RoleGrant(namespace if at else FLEET, Role(role), cluster or None)


def make_verifier(settings: Settings) -> OidcVerifier | None:
    """The verifier that the settings ask for; None where no issuer is set.

    Raises:
        ConfigurationError: One of them cannot be used.
    """
    policy = policy_of(settings)
    if policy is None:
        return None
    times = JwksTimes(settings.oidc_jwks_ttl_s, settings.oidc_jwks_refetch_s)
    return OidcVerifier(policy, JwksCache(policy.issuer, times, is_safe=is_safe))


class OidcVerifier:
    """Tells who a token speaks for. Safe to share between threads."""

    def __init__(self, policy: OidcPolicy, keys: JwksCache) -> None:
        """Accept tokens as `policy` says, signed by one of `keys`."""
        self._policy = policy
        self._keys = keys

    def verify(self, token: str, now: datetime) -> Principal:
        """The token's principal.

        Raises:
            Unauthorized: It is not valid; only `reason` says why.
            Forbidden: It is, but nothing that it claims allows anything.
            Unavailable: The issuer's keys cannot be had.
        """
        claims = self.claims(token, now)
        grants = grants_in(claims, self._policy)
        if not grants:
            raise Forbidden("this credential allows nothing here")
        subject, shown = name_in(claims, self._policy)
        expires_at = _time(claims["exp"])
        assert expires_at is not None, "checked with the claims"
        return Principal(None, f"oidc:{subject}", shown, grants, expires_at + self._policy.leeway)

    def claims(self, token: str, now: datetime) -> dict[str, Any]:
        """Claims of a valid token.

        Raises:
            Unauthorized: It is not valid; only `reason` says why.
            Unavailable: The issuer's keys cannot be had.
        """
        claims = self._signed_claims(token)
        reason = fault_of(claims, self._policy, now)
        if reason is not None:
            raise Unauthorized(NOT_VALID, reason=reason)
        return claims

    def _signed_claims(self, token: str) -> dict[str, Any]:
        if len(token) > _MAX_TOKEN_CHARS:
            raise Unauthorized(NOT_VALID, reason="token_too_long")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise Unauthorized(NOT_VALID, reason="malformed_token") from error
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._policy.algorithms:
            raise Unauthorized(NOT_VALID, reason="token_algorithm")
        kind = header.get("typ", "JWT")
        if "crit" in header or not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise Unauthorized(NOT_VALID, reason="token_header")
        # keys named in the token itself (jwk, jku, x5c, x5u) are never looked at
        key = self._keys.find(kid, algorithm)
        if key is None:
            raise Unauthorized(NOT_VALID, reason="token_key_unknown")
        try:
            # claims are checked here against `now`, not there against the system's clock
            return jwt.decode(token, key, algorithms=[algorithm], options=_SIGNATURE_ONLY)
        except (jwt.InvalidTokenError, jwt.InvalidKeyError) as error:
            raise Unauthorized(NOT_VALID, reason="token_signature") from error


_SIGNATURE_ONLY: Any = {
    "verify_signature": True,
    **dict.fromkeys(
        ["verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub"], False
    ),
    "verify_jti": False,
}


def fault_of(claims: Mapping[str, Any], policy: OidcPolicy, now: datetime) -> str | None:
    """Fault in the claims of a signed token, in one word; None: there is none."""
    if claims.get("iss") != policy.issuer:
        return "token_issuer"
    audience = claims.get("aud")
    if policy.audience not in (audience if isinstance(audience, list) else [audience]):
        return "token_audience"
    expires_at = _time(claims.get("exp"))
    if expires_at is None:
        return "token_without_expiry"
    if now >= expires_at + policy.leeway:
        return "token_expired"
    for name in ("nbf", "iat"):
        if name in claims:
            at = _time(claims[name])
            if at is None or now < at - policy.leeway:
                return "token_not_yet_valid"
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or len(subject) > 255:
        return "token_without_subject"
    return None


def grants_in(claims: Mapping[str, Any], policy: OidcPolicy) -> tuple[RoleGrant, ...]:
    """Rights by the claims: the union of what each value of the roles claim does."""
    return grants_for(known_values(claims, policy), policy)


def known_values(claims: Mapping[str, Any], policy: OidcPolicy) -> tuple[str, ...]:
    """Values of the roles claim that the map knows."""
    values = claim_at(claims, policy.roles_claim)
    named = [values] if isinstance(values, str) else values if isinstance(values, list) else []
    return tuple(str(value) for value in named if str(value) in policy.grants)


def grants_for(values: Iterable[str], policy: OidcPolicy) -> tuple[RoleGrant, ...]:
    """Rights that values of the roles claim give together."""
    found = [grant for value in values for grant in policy.grants.get(value, ())]
    return tuple(dict.fromkeys(found))


def name_in(claims: Mapping[str, Any], policy: OidcPolicy) -> tuple[str, str]:
    """The subject of valid claims and what it is called, both on one line."""
    subject = _shown_subject(claims["sub"])
    name = claims.get(policy.name_claim)
    return subject, printable(name, _MAX_SHOWN) if isinstance(name, str) and name else subject


def _shown_subject(subject: str) -> str:
    """A subject on one line, not too long, and still nobody else's: what is changed has a digest.

    Rights, limits and answers to repeated requests go by it, and so does the audit log.
    """
    shown = printable(subject, _MAX_SHOWN)
    if shown == subject and "~" not in subject:
        return shown
    digest = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{printable(subject, _MAX_SHOWN - 33)}~{digest[:32]}"


def claim_at(claims: Mapping[str, Any], path: str) -> object:
    """A claim by its name, which may hold dots, or by a path of names into objects."""
    if path in claims:
        return claims[path]
    found: object = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _time(seconds: object) -> datetime | None:
    """A NumericDate; None where it is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not 0 <= seconds < _YEAR_9000:  # leaves room to add the leeway; NaN is in no range
        return None
    return datetime.fromtimestamp(seconds, UTC)
