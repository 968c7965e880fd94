"""Token buckets in Redis, shared by all processes; each process counts alone while Redis is away.

A bucket holds at most `burst` tokens and gains `rate_per_s`; a request takes one, or waits.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.kernel import telemetry
from services.kernel.errors import TooManyRequests, Unauthorized
from services.kernel.settings import Settings
from services.kernel.telemetry import get_logger

_AWAY_S = 2.0
_TIMEOUT_S = 0.5
_MAX_LOCAL = 10_000
_EXPIRE_S = 60.0

# The clock is the server's own, so that processes on several machines agree.
_TAKE = """
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local stored = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if stored[1] then
  local passed = math.max(0, now - tonumber(stored[2]))
  tokens = math.min(burst, tonumber(stored[1]) + passed * rate)
end
local wait = 0
if cost > tokens then
  wait = (cost - tokens) / rate
else
  tokens = math.min(burst, tokens - cost)
end
local text = string.format('%.9f', tokens)
redis.call('HSET', KEYS[1], 'tokens', text, 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(1000 * (burst / rate + tonumber(ARGV[4]))))
return string.format('%.9f', wait)
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """Limit of the buckets of one kind.

    Attributes:
        name: Label of the metric, and part of the bucket's key.
        rate_per_s: Tokens gained per second; 0: there is no limit.
        burst: Tokens that a full bucket holds.
        message: Answer to whoever has passed it.
    """

    name: str
    rate_per_s: float
    burst: float
    message: str


class Bucket(NamedTuple):
    """Tokens of a bucket, and the time in seconds that they were counted at."""

    tokens: float
    at_s: float


def take_token(
    bucket: Bucket | None, limit: Limit, now_s: float, cost: float = 1.0
) -> tuple[Bucket, float]:
    """Take `cost` tokens; pure.

    Args:
        bucket: The bucket; None: a full one.
        limit: Its limit.
        now_s: Current time in seconds.
        cost: Tokens to take; negative gives back.

    Returns:
        The bucket now, and the seconds to wait where it did not hold enough (0: taken).
    """
    tokens = limit.burst
    if bucket is not None:
        tokens = min(limit.burst, bucket.tokens + max(0.0, now_s - bucket.at_s) * limit.rate_per_s)
    if cost > tokens:
        return Bucket(tokens, now_s), (cost - tokens) / limit.rate_per_s
    return Bucket(min(limit.burst, tokens - cost), now_s), 0.0


class Limiter:
    """Takes tokens of named buckets. Safe to share between threads."""

    def __init__(
        self,
        app: str,
        client: redis.Redis,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep buckets of the application `app` through `client`."""
        self._app = app
        self._script = client.register_script(_TAKE)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._local: OrderedDict[str, Bucket] = OrderedDict()
        self._away_until_s = float("-inf")

    @classmethod
    def connect(
        cls, app: str, redis_url: str, monotonic: Callable[[], float] = time.monotonic
    ) -> Limiter:
        """A limiter with a connection of its own, which gives up soon: a request waits for it."""
        client = redis.Redis.from_url(
            redis_url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), retries=0),
        )
        return cls(app, client, monotonic)

    def take(self, limit: Limit, who: str, cost: float = 1.0) -> None:
        """Take tokens of the bucket of `who`; no more than a full one holds.

        Raises:
            TooManyRequests: It does not hold enough.
        """
        if limit.rate_per_s <= 0:
            return
        cost = min(cost, limit.burst)
        digest = hashlib.sha256(who.encode()).hexdigest()[:32]
        key = f"harmony:limit:{self._app}:{limit.name}:{digest}"
        wait_s = self._take_shared(key, limit, cost)
        if wait_s is None:
            wait_s = self._take_local(key, limit, cost)
        if wait_s > 0:
            telemetry.rate_limited_total.labels(self._app, limit.name).inc()
            raise TooManyRequests(limit.message, wait_s)

    def give_back(self, limit: Limit, who: str, cost: float = 1.0) -> None:
        """Put tokens back into the bucket of `who`."""
        self.take(limit, who, -cost)

    @contextmanager
    def against_guesses(self, limit: Limit, who: str, cost: float = 1.0) -> Iterator[None]:
        """Take tokens while a credential is looked at; they are gone only where it is wrong.

        They are taken before, so that requests at once count too, and put back where it is right or
        nobody could tell: a database that is away is no mistake of who asks.

        Raises:
            TooManyRequests: The bucket does not hold enough.
        """
        self.take(limit, who, cost)
        try:
            yield
        except Unauthorized:
            raise
        except BaseException:
            self.give_back(limit, who, cost)
            raise
        self.give_back(limit, who, cost)

    def _take_shared(self, key: str, limit: Limit, cost: float) -> float | None:
        """Seconds to wait; None while Redis is away."""
        if self._monotonic() < self._away_until_s:
            return None
        try:
            return float(self._script([key], [limit.rate_per_s, limit.burst, cost, _EXPIRE_S]))
        except redis.RedisError as error:
            self._away_until_s = self._monotonic() + _AWAY_S
            get_logger(self._app).warning("limits_not_shared", error=str(error)[:200])
            return None

    def _take_local(self, key: str, limit: Limit, cost: float) -> float:
        with self._lock:
            bucket, wait_s = take_token(self._local.get(key), limit, self._monotonic(), cost)
            self._local[key] = bucket
            self._local.move_to_end(key)
            while len(self._local) > _MAX_LOCAL:
                self._local.popitem(last=False)
        return wait_s


def address_limit(settings: Settings) -> Limit:
    """Requests of one address."""
    return Limit(
        "address",
        settings.address_rate_per_s,
        settings.address_rate_burst,
        "too many requests from this address; wait as long as Retry-After says",
    )


def principal_limit(settings: Settings) -> Limit:
    """Requests of one credential."""
    return Limit(
        "principal",
        settings.rate_per_s,
        settings.rate_burst,
        "too many requests with this credential; wait as long as Retry-After says",
    )


def failure_limit(settings: Settings) -> Limit:
    """Wrong credentials of one address."""
    return Limit(
        "auth_failures",
        settings.auth_failures_per_min / 60.0,
        max(settings.auth_failures_per_min, 1),
        "too many wrong credentials from this address; wait as long as Retry-After says",
    )
