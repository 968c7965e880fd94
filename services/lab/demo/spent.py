"""Processor time of the demo's processes, by part of the demo: what a busy machine cannot blur."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from services.platform.processes import family_cpu_s

DRIVER = "demo"
"""The demo's own process, and what it has waited for: the making of a database, ended rivals."""


class CpuMeter:
    """Adds up the processor time of this process and of some others, part by part."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        """Count what has been used so far to the first part.

        Args:
            pids: Process ids by name, as they are now; what they have started is counted with them.
        """
        self._pids = pids
        self._seen: dict[str, float] = {}
        self._ended_s = 0.0
        self._parts: dict[str, dict[str, float]] = {}

    def mark(self, part: str) -> None:
        """What was used since the last mark was used for `part`."""
        now = {name: family_cpu_s(pid) for name, pid in self._pids().items()}
        # all time of a process that has ended is this one's from then on: some was counted already
        self._ended_s += sum(self._seen[name] for name in self._seen if name not in {*now, DRIVER})
        now[DRIVER] = _own_cpu_s() - self._ended_s
        self._parts[part] = {
            name: max(0.0, total_s - self._seen.get(name, 0.0))
            for name, total_s in sorted(now.items())
        }
        self._seen = now

    def to_json(self) -> dict[str, dict[str, float]]:
        """Processor seconds of each part, by process and in all."""
        return {
            part: {"all": round(sum(by_name.values()), 2)}
            | {name: round(spent_s, 2) for name, spent_s in by_name.items()}
            for part, by_name in self._parts.items()
        }


def _own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
