"""The signing keys of an OIDC issuer: found through its discovery document, kept, fetched again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.kernel.errors import Unavailable
from services.kernel.http.answers import ACCEPTED, AnswerTooLarge, AnswerUnreadable, read_chunks
from services.kernel.telemetry import get_logger

_FAMILIES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_MIN_RSA_BITS = 2048
_MAX_BYTES = 1_000_000
_MAX_ANSWER_S = 10.0
"""How long a whole answer may take: somebody waits for it, and httpx limits each read only."""
_MAX_STALE_S = 86_400.0
"""How old keys may become while the issuer cannot be reached."""


@dataclass(frozen=True, slots=True)
class JwksTimes:
    """When keys are fetched.

    Attributes:
        ttl_s: Age at which they are fetched again.
        refetch_s: Least time between two fetches, whoever asks for them.
        timeout_s: Time limit of each read of a fetch; of each whole answer see `ask_json`.
    """

    ttl_s: float = 3600.0
    refetch_s: float = 30.0
    timeout_s: float = 5.0


class JwksCache:
    """Keys of one issuer. Safe to share between threads.

    A key id that is not known asks for one fetch, and not more often than `refetch_s`: whoever
    makes ids up cannot make this service call the issuer without end. An issuer that cannot be
    reached leaves the keys there are in use for a day.
    """

    def __init__(
        self,
        issuer: str,
        times: JwksTimes | None = None,
        *,
        is_safe: Callable[[str], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Find keys of `issuer`.

        Args:
            issuer: Its URL, as tokens name it.
            times: When to fetch.
            is_safe: Whether keys may be fetched from a URL.
            monotonic: Seconds that never go back.
        """
        self._issuer = issuer
        self._times = times or JwksTimes()
        self._is_safe = is_safe
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys: list[dict[str, Any]] = []
        self._document: dict[str, Any] = {}
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._client = httpx.Client(
            timeout=self._times.timeout_s, follow_redirects=False, trust_env=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def find(self, kid: object, algorithm: str) -> jwt.PyJWK | None:
        """The key with this id that fits the algorithm; None: there is none.

        Raises:
            Unavailable: No keys could be fetched within a day.
        """
        self._refresh()
        found = self._match(kid, algorithm)
        if found is None and self._fetch():
            found = self._match(kid, algorithm)
        return found

    def discovery(self) -> dict[str, Any]:
        """The issuer's discovery document, fetched together with the keys.

        Raises:
            Unavailable: It could not be fetched within a day.
        """
        self._refresh()
        return self._document

    def _refresh(self) -> None:
        if self._age_s() > self._times.ttl_s:
            self._fetch()
        if self._age_s() > max(_MAX_STALE_S, self._times.ttl_s):
            raise Unavailable("the identity provider cannot be reached; try again shortly")

    def _age_s(self) -> float:
        return float("inf") if self._fetched_s is None else self._monotonic() - self._fetched_s

    def _match(self, kid: object, algorithm: str) -> jwt.PyJWK | None:
        fitting = [key for key in self._keys if fits(key, algorithm)]
        if kid is not None:
            fitting = [key for key in fitting if key.get("kid") == kid]
        # without an id only a key that cannot be mistaken for another
        return to_public_key(fitting[0], algorithm) if len(fitting) == 1 else None

    def _fetch(self) -> bool:
        """Fetch the keys if it is time; False where it was not, or failed."""
        with self._lock:
            now_s = self._monotonic()
            if self._tried_s is not None and now_s - self._tried_s < self._times.refetch_s:
                return False
            self._tried_s = now_s
            try:
                document, keys = self._download()
            except (httpx.HTTPError, ValueError, TypeError) as error:
                get_logger("oidc").warning("issuer_keys_not_fetched", error=str(error)[:300])
                return False
            self._document, self._keys, self._fetched_s = document, keys, now_s
            return True

    def _download(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        document = self._get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer:
            raise ValueError(f"discovery names another issuer: {document.get('issuer')!r:.200}")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not self._is_safe(url):
            raise ValueError(f"discovery names no https:// jwks_uri: {url!r:.200}")
        keys = self._get(url).get("keys")
        if not isinstance(keys, list):
            raise TypeError("the key set holds no list `keys`")
        return document, [key for key in keys if isinstance(key, dict)]

    def _get(self, url: str) -> dict[str, Any]:
        status, parsed = ask_json(self._client, "GET", url, monotonic=self._monotonic)
        if status != 200:
            raise ValueError(f"{url}: status {status}; expected 200")
        return parsed


def ask_json(
    client: httpx.Client,
    method: str,
    url: str,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    **kwargs: Any,
) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of an answer bounded in size and time; an empty one is no error.

    Raises:
        httpx.HTTPError: No answer came, or it took longer than ten seconds.
        ValueError: It is too long, cannot be unpacked or is no JSON.
        TypeError: It is no object.
    """
    headers = {"Accept": "application/json"} | ACCEPTED | kwargs.pop("headers", {})
    ends_s = monotonic() + _MAX_ANSWER_S
    with client.stream(method, url, headers=headers, **kwargs) as response:
        try:
            body = _read_until(ends_s, response, monotonic)
        except AnswerTooLarge as error:
            raise ValueError(f"{url}: the answer has {error}") from error
        except AnswerUnreadable as error:
            raise ValueError(f"{url}: the answer {error}") from error
    if response.status_code != 200 and not body:
        return response.status_code, {}
    parsed = orjson.loads(body)
    if not isinstance(parsed, dict):
        raise TypeError(f"{url}: no JSON object")
    return response.status_code, parsed


def _read_until(
    ends_s: float, response: httpx.Response, monotonic: Callable[[], float]
) -> bytearray:
    """The body of an answer that is there by a time."""
    body = bytearray()
    for chunk in read_chunks(response, _MAX_BYTES):
        body += chunk
        if monotonic() > ends_s:
            raise httpx.ReadTimeout(
                f"{response.url}: the answer takes longer than {_MAX_ANSWER_S:g} s"
            )
    return body


def fits(key: dict[str, Any], algorithm: str) -> bool:
    """Check whether a key may verify signatures of `algorithm`, by type, curve and use."""
    if key.get("kty") != _FAMILIES.get(algorithm[:2]) or "d" in key:
        return False
    if algorithm in _CURVES and key.get("crv") != _CURVES[algorithm]:
        return False
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and isinstance(operations, list)
        and "verify" in operations
    )


def to_public_key(key: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """The key, ready to verify; None where it is malformed or too weak."""
    try:
        found = jwt.PyJWK(key, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        get_logger("oidc").warning(
            "issuer_key_unusable", kid=key.get("kid"), error=str(error)[:200]
        )
        return None
    if isinstance(found.key, RSAPublicKey) and found.key.key_size < _MIN_RSA_BITS:
        get_logger("oidc").warning("issuer_key_too_weak", kid=key.get("kid"))
        return None
    return found
