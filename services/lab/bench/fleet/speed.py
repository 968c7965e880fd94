"""How fast the replay's time passes, told to workers by a file beside their records.

How long a job may wait for a worker is counted by the broker on the wall. Where a step of 60 s
passes in two, a job would wait for thirty times as many steps as in a platform: so its limits go
with the speed.
"""

from __future__ import annotations

from pathlib import Path

from celery import Celery

_LIMITS = ("harmony_expires_s", "harmony_deferred_s")
_NAME = "speed"


def write_speed(folder: Path, speed: float) -> None:
    """Tell the workers, whole or not at all."""
    unfinished = folder / f"{_NAME}.new"
    unfinished.write_text(repr(speed))
    unfinished.replace(folder / _NAME)


class WaitLimits:
    """Limits of what a worker sends, by the speed that is told."""

    def __init__(self, folder: Path) -> None:
        """Look in `folder`."""
        self._file = folder / _NAME
        self._told = ""
        self._limits: dict[str, float] = {}

    def follow(self, app: Celery) -> None:
        """Set the limits of an application where the speed has changed."""
        told = self._file.read_text() if self._file.exists() else "1.0"
        if told == self._told:
            return
        self._told = told
        for name in _LIMITS:
            self._limits.setdefault(name, app.conf[name])
            app.conf[name] = max(1, round(self._limits[name] / float(told)))
