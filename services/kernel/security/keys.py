"""API keys with roles. Roles are in `security_principal`, the audit chain in `security_audit`.

A key reads `hk_<prefix>_<secret>`: the prefix finds the row and is no secret; the secret has 256
random bits and only its argon2 hash is stored. An unknown prefix is refused without hashing, so
guessing costs the server nothing. Argon2 is slow by design, so a success is remembered in memory:
for a minute it is taken as it is, which is also how long another process may go on accepting a
revoked key; then the row is read again, and the secret is hashed again only if the stored hash has
changed. What was verified here before is no guess, however long ago, until its key is refused.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine, RowMapping

from services.kernel.db import credentials
from services.kernel.db.clusters import FIRST
from services.kernel.errors import (
    ConfigurationError,
    Conflict,
    InvalidInput,
    NotFound,
    Unauthorized,
)
from services.kernel.security.audit import (
    AuditEntry,
    AuditReport,
    append_audit,
    chain_hash,
    verify_audit,
)
from services.kernel.security.principal import FLEET, Principal, Role, RoleGrant, grants_of

__all__ = [
    "FLEET",
    "AuditEntry",
    "AuditReport",
    "KeyVerifier",
    "NewKey",
    "Principal",
    "Role",
    "RoleGrant",
    "append_audit",
    "chain_hash",
    "check_namespaces",
    "create_key",
    "ensure_first_key",
    "revoke_key",
    "rotate_key",
    "split_key",
    "verify_audit",
]

HASH_COST = {"time_cost": 2, "memory_cost": 19_456, "parallelism": 1}
"""Least cost that OWASP's password storage cheat sheet asks of Argon2id (memory in KiB)."""
_PREFIX_BYTES = 5
_SECRET_BYTES = 32
_MAX_KEY_LENGTH = 128
NOT_VALID = "no valid credential; send Authorization: Bearer and an API key or an OIDC token"
SESSION_ENDED = "the session has ended; log in again"
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; `token` is shown once and stored nowhere."""

    key_id: int
    prefix: str
    token: str


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    return PasswordHasher(
        time_cost=HASH_COST["time_cost"],
        memory_cost=HASH_COST["memory_cost"],
        parallelism=HASH_COST["parallelism"],
    )


def split_key(token: str) -> tuple[str, str] | None:
    """(prefix, secret) of a key; None where it does not look like one."""
    parts = token.split("_", 2)
    if len(token) > _MAX_KEY_LENGTH or len(parts) != 3 or parts[0] != "hk":
        return None
    return (parts[1], parts[2]) if parts[1].isalnum() and len(parts[2]) >= 32 else None


def create_key(  # noqa: PLR0913 - one argument per column
    connection: Connection,
    name: str,
    role: Role,
    now: datetime,
    expires_at: datetime | None = None,
    namespaces: Sequence[str] | None = None,
    cluster_id: int | None = FIRST,
) -> NewKey:
    """Make a key and store its hash.

    Args:
        connection: An open transaction.
        name: What the key is for.
        role: What it may do.
        now: Time of making.
        expires_at: From then on it is refused.
        namespaces: Where it may do that; None: in the whole fleet.
        cluster_id: In which cluster; None: in each of them.

    Raises:
        InvalidInput: It would have expired already, or a namespace cannot exist.
    """
    if expires_at is not None and expires_at <= now:
        raise InvalidInput(f"expires_at={expires_at.isoformat()} must be later than now")
    values: dict[str, Any] = {"name": name, "role": role.value}
    values |= {"namespaces": check_namespaces(namespaces), "cluster_id": cluster_id}
    values |= {"created_at": now, "expires_at": expires_at}
    return _draw(connection, values)


def check_namespaces(namespaces: Sequence[str] | None) -> list[str] | None:
    """Namespaces in order, each once; None: the whole fleet.

    Raises:
        InvalidInput: There is none, or one cannot be a namespace's name.
    """
    if namespaces is None:
        return None
    wrong = [name for name in namespaces if not _NAMESPACE.fullmatch(name)]
    if wrong or not namespaces:
        raise InvalidInput(
            f"namespaces={wrong or []!r} must name namespaces in lower case letters, digits and "
            "dashes, e.g. ['team-a']; leave it out for the whole fleet"
        )
    return sorted(set(namespaces))


def rotate_key(connection: Connection, key_id: int, now: datetime, grace_s: float) -> NewKey:
    """Make a key that takes another's place: same name, role, namespaces and life.

    Args:
        connection: An open transaction.
        key_id: The key to replace.
        now: Time of rotation.
        grace_s: For how long the old key is still accepted, in seconds; 0: not any more.

    Raises:
        NotFound: There is no such key in force.
        Conflict: It has been replaced already.
    """
    old = credentials.lock_key(connection, key_id)
    if old is None or old["revoked_at"] or (old["expires_at"] and old["expires_at"] <= now):
        raise NotFound(f"key {key_id} does not exist, has expired or is revoked")
    if old["replaced_by"] is not None:
        raise Conflict(f"key {key_id} was replaced by key {old['replaced_by']}; rotate that one")
    life = old["expires_at"] - old["created_at"] if old["expires_at"] else None
    values = {name: old[name] for name in ("name", "role", "namespaces", "cluster_id")}
    values |= {"created_at": now, "expires_at": now + life if life else None}
    made = _draw(connection, values)
    until = now + timedelta(seconds=grace_s)
    old_until = min(until, old["expires_at"]) if old["expires_at"] else until
    credentials.set_key_replaced(connection, key_id, made.key_id, old_until)
    return made


def _draw(connection: Connection, values: dict[str, Any]) -> NewKey:
    """Draw a secret and store the key."""
    prefix = secrets.token_hex(_PREFIX_BYTES)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    stored = values | {"prefix": prefix, "hash": _hasher().hash(secret)}
    return NewKey(credentials.insert_key(connection, stored), prefix, f"hk_{prefix}_{secret}")


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
        name = "first admin key"
        made = create_key(connection, name, Role.ADMIN, now, cluster_id=None)
        _audit_first(connection, made.prefix, name, now)
    return made.token


def _audit_first(connection: Connection, prefix: str, name: str, now: datetime) -> None:
    after = {"name": name, "role": Role.ADMIN.value}
    entry = AuditEntry(now, "start-up", "key.create", f"key/{prefix}", after=after)
    append_audit(connection, entry)


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
    prefix, secret = parts
    with engine.begin() as connection:
        credentials.lock_audit_tail(connection)
        row = credentials.load_key(connection, prefix)
        if row is None:
            name = "admin key from file"
            values: dict[str, Any] = {"name": name, "prefix": prefix, "role": Role.ADMIN.value}
            values |= {"created_at": now, "cluster_id": None, "hash": _hasher().hash(secret)}
            credentials.insert_key(connection, values)
            _audit_first(connection, prefix, name, now)
        elif not _is_secret(row, secret):
            raise ConfigurationError(
                f"HARMONY_ADMIN_KEY_FILE={str(key_file)!r} holds another secret than was accepted "
                f"for the prefix {prefix!r} before; a new key needs a new prefix"
            )


def _is_secret(row: RowMapping, secret: str) -> bool:
    try:
        return _hasher().verify(row["hash"], secret)
    except (VerificationError, InvalidHashError):
        return False


def _principal(row: RowMapping) -> Principal:
    grants = grants_of(Role(row["role"]), row["namespaces"], row["cluster"])
    return Principal(row["id"], row["prefix"], row["name"], grants, row["expires_at"])


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that was verified: until when nothing is asked again, whose it is, against what."""

    until_s: float
    principal: Principal
    stored_hash: str


class KeyVerifier:
    """Tells who a key belongs to; successes are remembered, and asked about again after `ttl_s`.

    Safe to share between threads. One of them hashes at a time: many requests with a key that is
    new here wait for the first of them instead of all hashing it.
    """

    def __init__(self, engine: Engine, ttl_s: float = 60.0, max_entries: int = 1024) -> None:
        """Verify against `engine`; of too many successes the one used longest ago is forgotten."""
        self._engine = engine
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = threading.Lock()
        self._hashing = threading.Lock()

    def verify(self, token: str, now: datetime) -> Principal:
        """The key's principal.

        Raises:
            Unauthorized: The key is unknown, wrong, revoked or expired; only `reason` says which.
        """
        return self.recall(token, now) or self._check(token, now)

    def recall(self, token: str, now: datetime) -> Principal | None:
        """The principal of a key that was verified here before; None: it has to be verified.

        Within `ttl_s` there is no work at all; after that the row is read again, nothing is hashed.

        Raises:
            Unauthorized: The key has expired or was revoked since. It is forgotten, so that who
                goes on sending it is taken for somebody who guesses.
        """
        digest = hashlib.sha256(token.encode()).digest()
        with self._lock:
            found = self._known.get(digest)
            if found is None:
                return None
            self._known.move_to_end(digest)
        try:
            if found.until_s >= time.monotonic():
                return _in_force(found.principal, now)
            row = self._row_of(found.principal.prefix)
            if row["hash"] != found.stored_hash:
                return None
            principal = _in_force(_principal(row), now)
        except Unauthorized:
            with self._lock:
                self._known.pop(digest, None)
            raise
        self._remember(digest, row, is_new=False)
        return principal

    def verify_prefix(self, prefix: str, now: datetime) -> Principal:
        """The principal of a session that was opened with the key of this prefix.

        Nothing is remembered: a revoked or expired key ends its sessions at once.

        Raises:
            Unauthorized: The key is revoked or expired.
        """
        principal = _principal(self._row_of(prefix, SESSION_ENDED))
        return _in_force(principal, now, SESSION_ENDED)

    def forget(self, key_id: int) -> None:
        """Drop what is remembered of a key, so that a revocation holds at once here."""
        with self._lock:
            for digest in [k for k, v in self._known.items() if v.principal.key_id == key_id]:
                del self._known[digest]

    def _check(self, token: str, now: datetime) -> Principal:
        parts = split_key(token)
        if parts is None:
            raise Unauthorized(NOT_VALID, reason="malformed_key")
        row = self._row_of(parts[0])
        self._check_secret(hashlib.sha256(token.encode()).digest(), row, parts[1])
        return _in_force(_principal(row), now)

    def _row_of(self, prefix: str, message: str = NOT_VALID) -> RowMapping:
        with self._engine.connect() as connection:
            row = credentials.load_key(connection, prefix)
        if row is None or row["revoked_at"] is not None:
            raise Unauthorized(message, reason="unknown_key" if row is None else "revoked_key")
        return row

    def _check_secret(self, digest: bytes, row: RowMapping, secret: str) -> None:
        if self._is_unchanged(digest, row):
            self._remember(digest, row)
            return
        with self._hashing:  # who waited here finds what the first one remembered
            if not self._is_unchanged(digest, row) and not _is_secret(row, secret):
                raise Unauthorized(NOT_VALID, reason="wrong_secret")
            self._remember(digest, row)

    def _is_unchanged(self, digest: bytes, row: RowMapping) -> bool:
        """Check whether this very token was verified against this very hash before."""
        with self._lock:
            found = self._known.get(digest)
        return found is not None and found.stored_hash == row["hash"]

    def _remember(self, digest: bytes, row: RowMapping, *, is_new: bool = True) -> None:
        """Remember a success; one that is not new only where it was not forgotten meanwhile."""
        until_s = time.monotonic() + self._ttl_s
        with self._lock:
            if not is_new and digest not in self._known:
                return
            self._known[digest] = _Known(until_s, _principal(row), row["hash"])
            self._known.move_to_end(digest)
            while len(self._known) > self._max_entries:
                self._known.popitem(last=False)


def _in_force(principal: Principal, now: datetime, message: str = NOT_VALID) -> Principal:
    if principal.expires_at is not None and principal.expires_at <= now:
        raise Unauthorized(message, reason="expired_key")
    return principal
