"""Sessions of the console and logins under way, in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
import redis

from services.admin.sessions import ATTEMPT_S, SESSION_S, SessionStore, session_key
from services.kernel.clock import FixedClock
from services.kernel.errors import ConfigurationError
from services.kernel.security.oidc_login import LoginAttempt, Person

pytestmark = pytest.mark.integration
KEY = b"k" * 32


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """An empty Redis."""
    with redis.Redis.from_url(redis_url) as found:
        yield found


@pytest.fixture
def wall() -> FixedClock:
    return FixedClock(datetime(2026, 1, 5, tzinfo=UTC))


@pytest.fixture
def store(client: redis.Redis, wall: FixedClock) -> SessionStore:
    return SessionStore(client, KEY, wall)


def only_name(client: redis.Redis) -> bytes:
    (name,) = client.scan_iter("harmony:*")
    return bytes(name)


def test_a_session_is_found_by_its_token_until_it_is_closed(store: SessionStore) -> None:
    person = Person("https://issuer", "17", "Ada", ("ops", "dev"))
    key, oidc = store.open("0123456789"), store.open_for(person, 60.4)
    assert (store.find(key), store.find(oidc)) == ("0123456789", person)
    store.close(key)
    assert store.find(key) is None
    assert store.find(oidc) == person


def test_a_login_is_taken_once(store: SessionStore) -> None:
    attempt = LoginAttempt("state", "nonce", "verifier", "https://console/back", "/models")
    token = store.begin(attempt)
    assert store.find(token) is None, "a login under way is no session"
    assert store.take(token) == attempt
    assert store.take(token) is None


def test_only_hashes_are_stored_and_they_end_by_themselves(
    client: redis.Redis, store: SessionStore
) -> None:
    attempt = LoginAttempt("state", "nonce", "verifier", "https://console/back", "/")
    tokens = [store.open("0123456789"), store.begin(attempt)]
    left_s = sorted(client.ttl(key) for key in client.scan_iter("harmony:*"))
    assert len(left_s) == 2
    assert 0 < left_s[0] <= ATTEMPT_S < left_s[1] <= SESSION_S
    assert not any(token.encode() in key for token in tokens for key in client.scan_iter())


def test_what_somebody_else_wrote_is_no_session(client: redis.Redis, store: SessionStore) -> None:
    """Who writes Redis knows a token, and the name that belongs to it, but not the key."""
    token = store.open("viewerskey")
    name = only_name(client)
    body = orjson.dumps({"until_s": 4e9, "value": "adminskey0"})
    stored = client.get(name)
    assert isinstance(stored, bytes)
    for forged in (b"adminskey0", b"", body, b"\0" * 32 + body, stored[:32] + body, stored + b" "):
        client.set(name, forged)
        assert store.find(token) is None, forged
    client.set(name, stored)
    assert store.find(token) == "viewerskey"


def test_a_session_cannot_be_moved_to_another_token(
    client: redis.Redis, store: SessionStore
) -> None:
    store.open("adminskey0")
    admins = client.get(only_name(client))
    client.flushdb()
    token = store.open("viewerskey")
    client.set(only_name(client), admins)
    assert store.find(token) is None


def test_a_session_ends_however_long_redis_keeps_it(
    client: redis.Redis, store: SessionStore, wall: FixedClock
) -> None:
    token = store.open("0123456789")
    client.persist(only_name(client))
    wall.advance(SESSION_S - 1)
    assert store.find(token) == "0123456789"
    wall.advance(1)
    assert store.find(token) is None


def test_replicas_with_one_key_file_share_sessions(
    client: redis.Redis, wall: FixedClock, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("hk_0123456789_" + "s" * 32)
    second.write_text("hk_0123456789_" + "t" * 32)
    token = SessionStore(client, session_key(first), wall).open("0123456789")
    assert SessionStore(client, session_key(first), wall).find(token) == "0123456789"
    for key in (session_key(second), session_key(None)):
        assert SessionStore(client, key, wall).find(token) is None
    assert session_key(None) != session_key(None)
    with pytest.raises(ConfigurationError, match="HARMONY_ADMIN_KEY_FILE"):
        session_key(tmp_path / "absent")
