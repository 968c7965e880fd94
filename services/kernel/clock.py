"""The only place that reads a clock or makes a random generator.

Every other module receives `now` and `rng` as arguments (a banned-API lint enforces it), so that a
decision can be replayed and a test can choose its own time.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import redis

REPLAY_KEY = "harmony:clock:now"
REPLAY_HEADER = "Harmony-Time"
"""Header in which a server that replays another time says what now is there."""


class Clock(Protocol):
    """Tells the current time, aware UTC."""

    def now(self) -> datetime:
        """Current time, aware UTC."""
        ...


class SystemClock:
    """Wall-clock time."""

    def now(self) -> datetime:
        """Current wall-clock time, aware UTC."""
        return datetime.now(UTC)


class FixedClock:
    """A clock that a test or a batch command sets by hand."""

    def __init__(self, at: datetime) -> None:
        """Start at `at`, which must be aware."""
        if at.tzinfo is None:
            raise ValueError(f"at={at!r} must be timezone-aware")
        self._at = at.astimezone(UTC)

    def now(self) -> datetime:
        """The time it was set to."""
        return self._at

    def advance(self, seconds: float) -> None:
        """Move forward; a clock never runs backwards."""
        if seconds < 0:
            raise ValueError(f"seconds={seconds} must be >= 0")
        self._at += timedelta(seconds=seconds)


class ReplayClock:
    """Simulated time shared by all processes of a replay, kept in Redis by the replay's driver.

    Before the driver has set it, the wall clock answers.
    """

    def __init__(self, client: redis.Redis) -> None:
        """Read the time through `client`."""
        self._client = client

    def now(self) -> datetime:
        """The replay's current time, aware UTC."""
        raw = self._client.get(REPLAY_KEY)
        if raw is None:
            return datetime.now(UTC)
        return datetime.fromisoformat(raw.decode() if isinstance(raw, bytes) else str(raw))

    def set(self, at: datetime) -> None:
        """Move the replay to `at` (driver only)."""
        if at.tzinfo is None:
            raise ValueError(f"at={at!r} must be timezone-aware")
        self._client.set(REPLAY_KEY, at.astimezone(UTC).isoformat())


def make_clock(mode: str, redis_url: str) -> Clock:
    """Build the clock named by the setting `clock` (`system` or `replay`)."""
    if mode == "replay":
        import redis  # takes a while to load, and who goes by the wall clock needs none

        return ReplayClock(redis.Redis.from_url(redis_url))
    return SystemClock()


def make_rng(seed: int, *keys: object) -> np.random.Generator:
    """A generator that depends only on `seed` and `keys`, the same in every process.

    Args:
        seed: Base seed.
        *keys: Anything with a stable `str`, e.g. a workload id and an origin.
    """
    digest = hashlib.blake2b("\x1f".join(map(str, keys)).encode(), digest_size=8).digest()
    return np.random.default_rng([seed & 0xFFFFFFFF, int.from_bytes(digest, "little")])


def floor_step(at: datetime, step_s: int) -> datetime:
    """Start of the step that contains `at`, on the epoch-aligned grid."""
    epoch = int(at.timestamp())
    return datetime.fromtimestamp(epoch - epoch % step_s, UTC)


def last_complete_step(now: datetime, step_s: int) -> datetime:
    """`origin_at` at `now`: start of the newest step that has ended."""
    return floor_step(now, step_s) - timedelta(seconds=step_s)


def wall_seconds() -> float:
    """Wall-clock epoch seconds, for file stamps and process supervision only."""
    return time.time()
