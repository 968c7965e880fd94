"""Token buckets in a real Redis-protocol server, and without it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis
from structlog.testing import capture_logs

from services.kernel.errors import TooManyRequests, Unauthorized, Unavailable
from services.kernel.security.limits import Limit, Limiter

pytestmark = pytest.mark.integration
LIMIT = Limit("x", rate_per_s=0.001, burst=3, message="slow down")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    found = redis.Redis.from_url(redis_url)
    yield found
    found.close()


def n_passed(limiter: Limiter, who: str, n: int, limit: Limit = LIMIT) -> int:
    passed, waits = 0, []
    for _ in range(n):
        try:
            limiter.take(limit, who)
            passed += 1
        except TooManyRequests as error:
            waits.append(error.retry_after_s)
    assert all(0 < wait_s <= 1000 for wait_s in waits)
    return passed


def test_processes_share_a_bucket(client: redis.Redis) -> None:
    one, two = Limiter("admin", client), Limiter("admin", client)
    assert n_passed(one, "a", 2) == 2
    assert n_passed(two, "a", 5) == 1
    assert n_passed(two, "b", 1) == 1
    assert n_passed(Limiter("ingest", client), "a", 5) == 3
    one.give_back(LIMIT, "a")
    assert n_passed(two, "a", 5) == 1
    assert n_passed(one, "free", 50, Limit("off", 0.0, 1, "")) == 50


def test_the_bucket_fills_again(client: redis.Redis) -> None:
    limiter, fast = Limiter("admin", client), Limit("fast", 1000.0, 1, "")
    limiter.take(fast, "a")
    deadline_s = time.monotonic() + 60
    while n_passed(limiter, "a", 1, fast) == 0:  # it takes a millisecond
        assert time.monotonic() < deadline_s


def test_threads_at_once_take_no_more_than_there_is(client: redis.Redis) -> None:
    limiter, limit, counts = Limiter("admin", client), Limit("y", 0.001, 40, ""), []
    threads = [
        threading.Thread(target=lambda: counts.append(n_passed(limiter, "a", 10, limit)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sum(counts) == 40


def test_buckets_do_not_stay_for_ever_and_hold_no_name(client: redis.Redis) -> None:
    Limiter("admin", client).take(Limit("z", 1.0, 10, ""), "198.51.100.1")
    (key,) = client.keys("harmony:limit:*")
    assert b"198.51.100.1" not in key
    assert 0 < client.ttl(key) <= 71


def test_while_redis_is_away_the_process_counts_alone() -> None:
    with socket.socket() as taken:  # bound, and nobody answers
        taken.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        now_s = [0.0]
        limiter = Limiter.connect("admin", url, monotonic=lambda: now_s[0])
        with capture_logs() as logs:
            assert n_passed(limiter, "a", 6) == 3
            assert [line["event"] for line in logs] == ["limits_not_shared"]  # asked once
            now_s[0] = 1000.0
            assert n_passed(limiter, "a", 6) == 1
        assert len(logs) == 2


def test_only_a_wrong_credential_costs_its_guess(client: redis.Redis) -> None:
    limiter = Limiter("admin", client)
    outcomes: list[Exception | None] = [None, Unavailable("away"), None, OSError("gone")]
    for error in [*outcomes, *outcomes]:
        with suppress(Unavailable, OSError), limiter.against_guesses(LIMIT, "a", 2.0):
            if error is not None:
                raise error
    with pytest.raises(Unauthorized), limiter.against_guesses(LIMIT, "a", 2.0):
        raise Unauthorized("wrong")
    with pytest.raises(TooManyRequests), limiter.against_guesses(LIMIT, "a", 2.0):
        pytest.fail("it has not been let in")
    assert n_passed(limiter, "a", 5) == 1
