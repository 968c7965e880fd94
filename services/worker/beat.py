"""When beat sends its jobs: a clock that is set back makes none of them wait for its old time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery.beat import PersistentScheduler

_AHEAD = timedelta(seconds=1)


class WaryScheduler(PersistentScheduler):  # type: ignore[misc]  # celery is untyped
    """Celery's scheduler, which counts from when it sent a job last, by the wall clock."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; returns seconds until the next look.

        What was sent at a time that is still to come counts as sent now.
        """
        entries = self.schedule.values()
        if any(entry.last_run_at > entry.default_now() + _AHEAD for entry in entries):
            for entry in entries:
                entry.last_run_at = min(entry.last_run_at, entry.default_now())
            self._heap = None  # made anew: it holds times of then
        return float(super().tick(*args, **kwargs))
