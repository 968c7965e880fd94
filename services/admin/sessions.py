"""Sessions of the console, and logins under way, kept in Redis under the hash of a random token.

The cookie holds the token, never a credential; only its hash is stored, so that who reads Redis
cannot take a session over. What is stored is signed together with its name and its end, so that
who writes Redis can neither make a session nor prolong one or move it to another token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import redis

from services.kernel.clock import Clock
from services.kernel.errors import ConfigurationError, Unavailable
from services.kernel.security.oidc_login import LoginAttempt, Person
from services.kernel.telemetry import get_logger

SESSION_S = 12 * 3600
"""How long a session that a key opened lasts."""
ATTEMPT_S = 600
"""How long the issuer's answer to a login is waited for."""
_MAC_BYTES = hashlib.sha256().digest_size


def session_key(admin_key_file: Path | None) -> bytes:
    """The key that sessions are signed with, the same in every process that reads the same file.

    It follows from the first admin key, which whoever may sign a session of an administrator has
    anyway. Without a file it is this process's own, and sessions end with the process.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    if admin_key_file is None:
        return secrets.token_bytes(_MAC_BYTES)
    try:
        secret = admin_key_file.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(
            f"HARMONY_ADMIN_KEY_FILE={str(admin_key_file)!r} cannot be read: {error.strerror}"
        ) from error
    return hmac.digest(secret, b"harmony console sessions", "sha256")


@contextmanager
def _answered() -> Iterator[None]:
    """Redis is asked within.

    Raises:
        Unavailable: It cannot be reached.
    """
    try:
        yield
    except redis.RedisError as error:
        raise Unavailable(
            "Redis cannot be reached, which keeps the console's sessions and logins; try again "
            "shortly, or call the REST API with a key"
        ) from error


class SessionStore:
    """Opens, finds and ends sessions; each raises `Unavailable` where Redis cannot be reached."""

    def __init__(self, client: redis.Redis, key: bytes, wall: Clock) -> None:
        """Keep sessions through `client`.

        Args:
            client: Redis.
            key: Signs them; see `session_key`.
            wall: Wall clock, which says when one has ended.
        """
        self._client = client
        self._key = key
        self._wall = wall

    def open(self, prefix: str) -> str:
        """A new session of the key with this prefix; returns its token."""
        return self._store("session", prefix, SESSION_S)

    def open_for(self, person: Person, lasting_s: float) -> str:
        """A new session of somebody whom the issuer has named; returns its token."""
        return self._store("session", asdict(person), round(lasting_s))

    def find(self, token: str) -> str | Person | None:
        """Prefix of the key, or the person, that the session is of; None where it has ended."""
        name = _name("session", token)
        with _answered():
            stored = self._client.get(name)
        found = self._unseal(name, stored)
        if found is None or isinstance(found, str):
            return found
        return Person(**found | {"values": tuple(found["values"])})

    def close(self, token: str) -> None:
        """End the session."""
        with _answered():
            self._client.delete(_name("session", token))

    def begin(self, attempt: LoginAttempt) -> str:
        """Remember a login that was begun; returns the token for the browser's cookie."""
        return self._store("login", asdict(attempt), ATTEMPT_S)

    def take(self, token: str) -> LoginAttempt | None:
        """The login that was begun with this token, once; None: there is none, or no more."""
        name = _name("login", token)
        with _answered():
            stored = self._client.getdel(name)
        found = self._unseal(name, stored)
        return None if found is None else LoginAttempt(**found)

    def _store(self, kind: str, value: str | dict[str, Any], lasting_s: int) -> str:
        token = secrets.token_urlsafe(32)
        name = _name(kind, token)
        until_s = self._wall.now().timestamp() + lasting_s
        body = orjson.dumps({"until_s": until_s, "value": value})
        with _answered():
            self._client.set(name, self._mac(name, body) + body, ex=lasting_s)
        return token

    def _unseal(self, name: str, stored: object) -> Any:
        """What was stored under a name; None: nothing, nothing of ours, or it has ended."""
        if not isinstance(stored, bytes):
            return None
        mac, body = stored[:_MAC_BYTES], stored[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(name, body)):
            get_logger(__name__).warning("session_refused", reason="not signed with this key")
            return None
        found = orjson.loads(body)
        return found["value"] if self._wall.now().timestamp() < found["until_s"] else None

    def _mac(self, name: str, body: bytes) -> bytes:
        return hmac.digest(self._key, name.encode() + b"\0" + body, "sha256")


def _name(kind: str, token: str) -> str:
    return f"harmony:{kind}:{hashlib.sha256(token.encode()).hexdigest()}"
