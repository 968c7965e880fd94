"""The time that all processes of a measurement share: it passes, and may be moved forward.

While there is work it passes as on a clock on the wall (or faster, by a factor), so that what takes
long is late. When nothing is left to do it may jump to what comes next, so that nobody waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

_TICK_S = 0.02


class SettableClock(Protocol):
    """A clock that somebody sets."""

    def set(self, at: datetime) -> None:
        """Set it."""
        ...


class ReplayTime:
    """Time as it passes, told to a clock that others read. Safe to share between threads."""

    def __init__(
        self,
        clock: SettableClock,
        start: datetime,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin at `start`; nobody is told before `tell` or `run`."""
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._from, self._since, self._speed = start, monotonic(), 1.0
        self._limit: datetime | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def passed(self) -> datetime:
        """The time, also beyond the limit: how late something is."""
        with self._lock:
            return self._passed()

    def now(self) -> datetime:
        """The time that others are told: it stands still at the limit."""
        with self._lock:
            return self._now()

    def jump(self, at: datetime) -> None:
        """Go on at `at`, unless that has passed."""
        with self._lock:
            self._restart(max(at, self._now()))
            self._clock.set(self._now())

    def pace(self, speed: float, limit: datetime | None) -> None:
        """Pass at `speed` from now on, and stand still at `limit`."""
        with self._lock:
            self._restart(self._now())
            self._speed, self._limit = speed, limit

    def run(self) -> None:
        """Tell the clock from a thread until `close`."""
        self.tell()
        self._thread = threading.Thread(target=self._tell_on, name="replay-time", daemon=True)
        self._thread.start()

    def tell(self) -> None:
        """Tell the clock now."""
        with self._lock:
            self._clock.set(self._now())

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _tell_on(self) -> None:
        while not self._stop.wait(_TICK_S):
            self.tell()

    def _restart(self, at: datetime) -> None:
        self._from, self._since = at, self._monotonic()

    def _passed(self) -> datetime:
        return self._from + timedelta(seconds=self._speed * (self._monotonic() - self._since))

    def _now(self) -> datetime:
        passed = self._passed()
        return passed if self._limit is None else min(passed, self._limit)
