"""Sessions of the console, kept in Redis: a random token in the cookie, the key's prefix behind it.

Only the token's hash is stored, so that who reads Redis cannot take a session over.
"""

from __future__ import annotations

import hashlib
import secrets

import redis

SESSION_S = 12 * 3600


class SessionStore:
    """Opens, finds and ends sessions."""

    def __init__(self, client: redis.Redis) -> None:
        """Keep sessions through `client`."""
        self._client = client

    def open(self, prefix: str) -> str:
        """A new session of the key with this prefix; returns its token."""
        token = secrets.token_urlsafe(32)
        self._client.set(_name(token), prefix, ex=SESSION_S)
        return token

    def find(self, token: str) -> str | None:
        """Prefix of the key that opened the session; None where it has ended."""
        found = self._client.get(_name(token))
        return found.decode() if isinstance(found, bytes) else None

    def close(self, token: str) -> None:
        """End the session."""
        self._client.delete(_name(token))


def _name(token: str) -> str:
    return f"harmony:session:{hashlib.sha256(token.encode()).hexdigest()}"
