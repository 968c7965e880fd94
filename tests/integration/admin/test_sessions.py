"""Sessions of the console and logins under way, in Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from services.admin.sessions import ATTEMPT_S, SESSION_S, SessionStore
from services.kernel.security.oidc_login import LoginAttempt, Person

pytestmark = pytest.mark.integration


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """An empty Redis."""
    with redis.Redis.from_url(redis_url) as found:
        yield found


def test_a_session_is_found_by_its_token_until_it_is_closed(client: redis.Redis) -> None:
    store = SessionStore(client)
    person = Person("https://issuer", "17", "Ada", ("ops", "dev"))
    key, oidc = store.open("0123456789"), store.open_for(person, 60.4)
    assert (store.find(key), store.find(oidc)) == ("0123456789", person)
    store.close(key)
    assert store.find(key) is None
    assert store.find(oidc) == person


def test_a_login_is_taken_once(client: redis.Redis) -> None:
    store = SessionStore(client)
    attempt = LoginAttempt("state", "nonce", "verifier", "https://console/back", "/models")
    token = store.begin(attempt)
    assert store.find(token) is None, "a login under way is no session"
    assert store.take(token) == attempt
    assert store.take(token) is None


def test_only_hashes_are_stored_and_they_end_by_themselves(client: redis.Redis) -> None:
    store = SessionStore(client)
    attempt = LoginAttempt("state", "nonce", "verifier", "https://console/back", "/")
    tokens = [store.open("0123456789"), store.begin(attempt)]
    left_s = sorted(client.ttl(key) for key in client.scan_iter("harmony:*"))
    assert len(left_s) == 2
    assert 0 < left_s[0] <= ATTEMPT_S < left_s[1] <= SESSION_S
    assert not any(token.encode() in key for token in tokens for key in client.scan_iter())
