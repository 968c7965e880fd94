"""A percentile of the workers that were needed lately, times a margin: the simplest good rule.

It is told what no service knows of itself, the seconds of a worker that each request takes.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from services.lab.arena.loop import SERVE, LoopTargets, LoopTick
from services.lab.bench.llm.rivals.capacity import WorkLaw

TICK_S = 15.0
_N_FINISHED = 400
"""Finished requests that the mean work of one that arrives is taken from."""


@dataclass(frozen=True, slots=True)
class TrailingRules:
    """What is set.

    Attributes:
        margin: What the percentile is multiplied by.
        percentile: Of the needs in the window.
        window_s: How far back it looks.
        smooth_s: Seconds that one need is a mean over.
    """

    margin: float
    percentile: float = 90.0
    window_s: float = 600.0
    smooth_s: float = 60.0


class TrailingPolicy:
    """Asked every 15 s, with the work of arrivals at the lengths of requests that just finished."""

    first_tick_s = TICK_S

    def __init__(self, rules: TrailingRules, law: WorkLaw) -> None:
        """Without a past."""
        self._rules, self._law = rules, law
        self._work_s: deque[float] = deque(maxlen=_N_FINISHED)
        self._arrived: deque[float] = deque(maxlen=round(rules.smooth_s / TICK_S))
        self._needed: deque[float] = deque(maxlen=round(rules.window_s / TICK_S))

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        """Needed lately; nothing is changed before the first request has finished."""
        finished = tick.finished
        self._work_s.extend(self._law.of(finished.input_tokens, finished.output_tokens))
        self._arrived.append(tick.arrived / TICK_S)
        counts = {}
        if self._work_s:
            self._needed.append(float(np.mean(self._arrived)) * float(np.mean(self._work_s)))
            lately = float(np.percentile(list(self._needed), self._rules.percentile))
            counts = {SERVE: max(1, math.ceil(self._rules.margin * lately))}
        return LoopTargets(counts, tick.now_s + TICK_S)
