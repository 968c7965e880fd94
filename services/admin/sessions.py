"""Sessions of the console, and logins under way, kept in Redis under the hash of a random token.

The cookie holds the token, never a credential; only its hash is stored, so that who reads Redis
cannot take a session over.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict

import orjson
import redis

from services.kernel.security.oidc_login import LoginAttempt, Person

SESSION_S = 12 * 3600
"""How long a session that a key opened lasts."""
ATTEMPT_S = 600
"""How long the issuer's answer to a login is waited for."""


class SessionStore:
    """Opens, finds and ends sessions."""

    def __init__(self, client: redis.Redis) -> None:
        """Keep sessions through `client`."""
        self._client = client

    def open(self, prefix: str) -> str:
        """A new session of the key with this prefix; returns its token."""
        return self._store("session", prefix.encode(), SESSION_S)

    def open_for(self, person: Person, lasting_s: float) -> str:
        """A new session of somebody whom the issuer has named; returns its token."""
        return self._store("session", orjson.dumps(asdict(person)), round(lasting_s))

    def find(self, token: str) -> str | Person | None:
        """Prefix of the key, or the person, that the session is of; None where it has ended."""
        found = self._client.get(_name("session", token))
        if not isinstance(found, bytes):
            return None
        if not found.startswith(b"{"):
            return found.decode()
        values = orjson.loads(found)
        return Person(**values | {"values": tuple(values["values"])})

    def close(self, token: str) -> None:
        """End the session."""
        self._client.delete(_name("session", token))

    def begin(self, attempt: LoginAttempt) -> str:
        """Remember a login that was begun; returns the token for the browser's cookie."""
        return self._store("login", orjson.dumps(asdict(attempt)), ATTEMPT_S)

    def take(self, token: str) -> LoginAttempt | None:
        """The login that was begun with this token, once; None: there is none, or no more."""
        found = self._client.getdel(_name("login", token))
        return LoginAttempt(**orjson.loads(found)) if isinstance(found, bytes) else None

    def _store(self, kind: str, value: bytes, lasting_s: int) -> str:
        token = secrets.token_urlsafe(32)
        self._client.set(_name(kind, token), value, ex=lasting_s)
        return token


def _name(kind: str, token: str) -> str:
    return f"harmony:{kind}:{hashlib.sha256(token.encode()).hexdigest()}"
