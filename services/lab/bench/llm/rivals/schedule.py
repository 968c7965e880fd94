"""Counts known before: a constant, or a schedule that is asked for one start-up ahead.

Shapes: T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.lab.arena.loop import SERVE, LoopTargets, LoopTick
from services.lab.arena.requests import FloatArray, IntArray

STEP_S = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class KnownSchedule:
    """Workers that must be ready in each step.

    Attributes:
        counts: (T,) workers, >= 1; the last stands on.
        startup_s: Seconds that a worker is asked for before.
        step_s: Seconds of a step.
    """

    counts: IntArray
    startup_s: float
    step_s: float = STEP_S

    @property
    def first_tick_s(self) -> float:
        """From the start on."""
        return 0.0

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        """The most that is needed until what is asked for now would be ready."""
        first = min(int(tick.now_s / self.step_s + 1e-6), self.counts.size - 1)
        last = min(int((tick.now_s + self.startup_s) / self.step_s + 1e-6), self.counts.size - 1)
        next_s = (int(tick.now_s / self.step_s + 1e-6) + 1) * self.step_s
        return LoopTargets({SERVE: int(self.counts[first : last + 1].max())}, next_s)


def constant(count: int) -> KnownSchedule:
    """Always as many."""
    return KnownSchedule(np.array([count]), 0.0)


def ideal_counts(needed: FloatArray, margin: float, smooth_s: float = 60.0) -> IntArray:
    """(T,) whole workers for needs known before, each a mean over what surrounds it."""
    width = max(1, round(smooth_s / STEP_S))
    around = np.convolve(
        np.pad(needed, (width // 2, width - 1 - width // 2), mode="edge"),
        np.full(width, 1.0 / width),
        mode="valid",
    )
    return np.maximum(1, np.ceil(margin * around - 1e-9)).astype(np.int64)
