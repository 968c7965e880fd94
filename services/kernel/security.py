"""API keys with roles, and the append-only audit chain.

A key reads `hk_<prefix>_<secret>`: the prefix finds the row and is no secret; the secret has 256
random bits and only its argon2 hash is stored. An unknown prefix is refused without hashing, so
guessing costs the server nothing. Argon2 is slow by design, so a success is remembered in memory
for a minute; that is also how long another process may go on accepting a revoked key.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine, RowMapping

from services.kernel.db import credentials
from services.kernel.errors import ConfigurationError, InvalidInput, NotFound, Unauthorized

_PREFIX_BYTES = 5
_SECRET_BYTES = 32
_MAX_KEY_LENGTH = 128


class Role(StrEnum):
    """What a key may do; each role includes the ones before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"

    def includes(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking.

    Attributes:
        key_id: Row of the key.
        prefix: Its public part, the actor in the audit log together with the name.
        name: What its maker called it.
        role: What it may do.
        expires_at: From then on it is refused; None: never.
    """

    key_id: int
    prefix: str
    name: str
    role: Role
    expires_at: datetime | None = None

    @property
    def actor(self) -> str:
        """How the audit log names it."""
        return f"{self.name} ({self.prefix})"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; `token` is shown once and stored nowhere."""

    key_id: int
    prefix: str
    token: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One write: who did what to which object, with the object before and after."""

    at: datetime
    actor: str
    action: str
    object: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of checking the chain: entries read, and the first whose hash does not follow."""

    n_entries: int
    first_broken_id: int | None

    @property
    def is_intact(self) -> bool:
        """Whether every entry follows from the one before."""
        return self.first_broken_id is None


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def split_key(token: str) -> tuple[str, str] | None:
    """(prefix, secret) of a key; None where it does not look like one."""
    parts = token.split("_", 2)
    if len(token) > _MAX_KEY_LENGTH or len(parts) != 3 or parts[0] != "hk":
        return None
    return (parts[1], parts[2]) if parts[1].isalnum() and len(parts[2]) >= 32 else None


def create_key(
    connection: Connection,
    name: str,
    role: Role,
    now: datetime,
    expires_at: datetime | None = None,
) -> NewKey:
    """Make a key and store its hash.

    Args:
        connection: An open transaction.
        name: What the key is for.
        role: What it may do.
        now: Time of making.
        expires_at: From then on it is refused.

    Raises:
        InvalidInput: It would have expired already.
    """
    if expires_at is not None and expires_at <= now:
        raise InvalidInput(f"expires_at={expires_at.isoformat()} must be later than now")
    prefix = secrets.token_hex(_PREFIX_BYTES)
    token = f"hk_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return NewKey(_store(connection, token, name, role, (now, expires_at)), prefix, token)


def _store(
    connection: Connection,
    token: str,
    name: str,
    role: Role,
    validity: tuple[datetime, datetime | None],
) -> int:
    parts = split_key(token)
    if parts is None:
        raise InvalidInput("key must read hk_<prefix>_<secret> with a secret of >= 32 characters")
    prefix, secret = parts
    values = {"name": name, "prefix": prefix, "hash": _hasher().hash(secret), "role": role.value}
    created_at, expires_at = validity
    return credentials.insert_key(
        connection, values | {"created_at": created_at, "expires_at": expires_at}
    )


def revoke_key(connection: Connection, key_id: int, now: datetime) -> Principal:
    """Revoke a key.

    Raises:
        NotFound: There is no such key in force.
    """
    row = credentials.set_key_revoked(connection, key_id, now)
    if row is None:
        raise NotFound(f"key {key_id} does not exist or is revoked already")
    return _principal(row)


def ensure_first_key(engine: Engine, key_file: Path | None, now: datetime) -> str | None:
    """Make sure that an administrator can log in.

    Args:
        engine: Database.
        key_file: File with the key to accept (`HARMONY_ADMIN_KEY_FILE`), for installations that
            bring their own secret; None: make one unless an admin key is in force.
        now: Current time.

    Returns:
        A key just made, to be printed once; None where there was one or a file gave it.

    Raises:
        ConfigurationError: The file cannot be read or does not hold a key.
    """
    if key_file is not None:
        _accept_file(engine, key_file, now)
        return None
    with engine.begin() as connection:
        credentials.lock_audit_tail(connection)  # two starting processes make one key
        if credentials.has_key_in_force(connection, Role.ADMIN, now):
            return None
        made = create_key(connection, "first admin key", Role.ADMIN, now)
        append_audit(
            connection, AuditEntry(now, "start-up", "key.create", f"key/{made.prefix}", after={})
        )
    return made.token


def _accept_file(engine: Engine, key_file: Path, now: datetime) -> None:
    try:
        token = key_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(
            f"HARMONY_ADMIN_KEY_FILE={str(key_file)!r} cannot be read: {error.strerror}"
        ) from error
    parts = split_key(token)
    if parts is None:
        raise ConfigurationError(
            f"HARMONY_ADMIN_KEY_FILE={str(key_file)!r} must hold hk_<prefix>_<secret> with an "
            "alphanumeric prefix and a secret of >= 32 characters"
        )
    with engine.begin() as connection:
        credentials.lock_audit_tail(connection)
        if credentials.load_key(connection, parts[0]) is None:
            _store(connection, token, "admin key from file", Role.ADMIN, (now, None))


def _principal(row: RowMapping) -> Principal:
    return Principal(row["id"], row["prefix"], row["name"], Role(row["role"]), row["expires_at"])


class KeyVerifier:
    """Tells who a key belongs to; successes are remembered for `ttl_s`.

    Safe to share between threads.
    """

    def __init__(self, engine: Engine, ttl_s: float = 60.0, max_entries: int = 1024) -> None:
        """Verify against `engine`."""
        self._engine = engine
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, token: str, now: datetime) -> Principal:
        """The key's principal.

        Raises:
            Unauthorized: The key is unknown, wrong, revoked or expired; which one is not said.
        """
        digest = hashlib.sha256(token.encode()).digest()
        principal = self._recall(digest) or self._check(token)
        if principal is None or (principal.expires_at and principal.expires_at <= now):
            raise Unauthorized("the API key is not valid; send Authorization: Bearer hk_…")
        return principal

    def verify_prefix(self, prefix: str, now: datetime) -> Principal:
        """The principal of a session that was opened with the key of this prefix.

        Nothing is remembered: a revoked or expired key ends its sessions at once.

        Raises:
            Unauthorized: The key is revoked or expired.
        """
        with self._engine.connect() as connection:
            row = credentials.load_key(connection, prefix)
        principal = None if row is None or row["revoked_at"] is not None else _principal(row)
        if principal is None or (principal.expires_at and principal.expires_at <= now):
            raise Unauthorized("the session has ended; log in again")
        return principal

    def forget(self, key_id: int) -> None:
        """Drop what is remembered of a key, so that a revocation holds at once here."""
        with self._lock:
            stale = [k for k, (_, who) in self._known.items() if who.key_id == key_id]
            for digest in stale:
                del self._known[digest]

    def _recall(self, digest: bytes) -> Principal | None:
        with self._lock:
            found = self._known.get(digest)
            if found is None or found[0] < time.monotonic():
                self._known.pop(digest, None)
                return None
            return found[1]

    def _check(self, token: str) -> Principal | None:
        parts = split_key(token)
        if parts is None:
            return None
        with self._engine.connect() as connection:
            row = credentials.load_key(connection, parts[0])
        if row is None or row["revoked_at"] is not None:
            return None
        try:
            _hasher().verify(row["hash"], parts[1])
        except (VerificationError, InvalidHashError):
            return None
        principal = _principal(row)
        with self._lock:
            until = time.monotonic() + self._ttl_s
            self._known[hashlib.sha256(token.encode()).digest()] = (until, principal)
            while len(self._known) > self._max_entries:
                self._known.popitem(last=False)
        return principal


def append_audit(connection: Connection, entry: AuditEntry) -> int:
    """Append to the audit chain, in the caller's transaction.

    Each hash covers the previous one, so changing, inserting or removing an entry breaks every
    later one. Cutting entries off the end is not visible from the chain alone: keep the newest
    hash elsewhere to see that.

    Returns:
        Id of the entry.
    """
    previous = credentials.lock_audit_tail(connection)
    values: dict[str, Any] = {
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "object": entry.object,
        "before": entry.before,
        "after": entry.after,
    }
    digest = chain_hash(previous, values)
    return credentials.insert_audit(
        connection, values | {"previous_hash": previous, "hash": digest}
    )


def verify_audit(connection: Connection) -> AuditReport:
    """Recompute the chain from its first entry."""
    previous: bytes | None = None
    n_entries = 0
    with closing(credentials.iterate_audit(connection)) as entries:
        for row in entries:
            n_entries += 1
            if row["previous_hash"] != previous or row["hash"] != chain_hash(previous, row):
                return AuditReport(n_entries, int(row["id"]))
            previous = row["hash"]
    return AuditReport(n_entries, None)


def chain_hash(previous: bytes | None, values: RowMapping | dict[str, Any]) -> bytes:
    """SHA-256 over the previous hash and the entry as canonical JSON."""
    body = {name: values[name] for name in ("actor", "action", "object", "before", "after")}
    body["at"] = values["at"].astimezone(UTC).isoformat()
    canonical = json.dumps(
        _canonical(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256((previous or b"") + canonical.encode()).digest()


def _canonical(value: Any) -> Any:
    """`value` as Postgres gives it back: in JSONB, 1.0 and 1 are one number."""
    if isinstance(value, dict):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
