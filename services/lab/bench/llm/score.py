"""What came of a run, minute by minute: any part of it can be scored later.

Shapes: M minutes, N requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

from services.lab.arena.goals import RequestGoals, missed_goals
from services.lab.arena.loop import DECODE, PREFILL, SERVE, LoopResult
from services.lab.arena.requests import FloatArray, IntArray

MINUTE_S = 60.0
MINUTE_SHARE = 0.95
"""A minute is out of SLA where fewer of its requests met both goals."""


@dataclass(frozen=True, slots=True)
class PathCost:
    """CPU that Harmony's own path took over a run: what a worker would have taken for it.

    Attributes:
        path_s: Seconds of all jobs of the run, from scrapes taken in to decisions.
        decide_s: Of these, seconds of deciding.
        decisions: Decisions made.
    """

    path_s: float
    decide_s: float
    decisions: int


@dataclass(frozen=True, slots=True, eq=False)
class RunMinutes:
    """Sums over the minutes of a run, the first starting with its warm-up.

    Attributes:
        requests: (M,) that arrived.
        good: (M,) of these, that met both goals; one that was never served met none.
        missed: (M,) of these, that missed a goal that a pool's workers keep, by pool: of two pools
            prefill keeps the first token's, decode the time between tokens.
        gpu_s: (M,) seconds that GPUs were held by workers, starting and draining ones included.
        events: (M,) changes of the workers asked for, over pools.
        cost: CPU of Harmony's own path; None: another policy's run.
    """

    requests: IntArray
    good: IntArray
    missed: Mapping[str, IntArray]
    gpu_s: FloatArray
    events: IntArray
    cost: PathCost | None = None

    def to_json(self) -> dict[str, Any]:
        """As a document."""
        return {
            "requests": self.requests.tolist(),
            "good": self.good.tolist(),
            "missed": {pool: counts.tolist() for pool, counts in self.missed.items()},
            "gpu_s": np.round(self.gpu_s, 3).tolist(),
            "events": self.events.tolist(),
            "cost": None if self.cost is None else asdict(self.cost),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """From a document of `to_json`."""
        requests, good, events = (
            np.array(document[name], np.int64) for name in ("requests", "good", "events")
        )
        missed = {pool: np.array(one, np.int64) for pool, one in document["missed"].items()}
        cost = None if document["cost"] is None else PathCost(**document["cost"])
        return cls(requests, good, missed, np.array(document["gpu_s"], np.float64), events, cost)

    @property
    def cpu(self) -> dict[str, float] | None:
        """Seconds of CPU of an hour's replay and milliseconds of a decision; None: not known."""
        if self.cost is None or not self.cost.decisions:
            return None
        hours = self.requests.size * MINUTE_S / 3600.0
        return {
            "hour_s": round(self.cost.path_s / hours, 3),
            "decision_ms": round(1e3 * self.cost.decide_s / self.cost.decisions, 3),
        }

    def part(self, first: int, last: int) -> PartScore:
        """Minutes from `first` up to `last`, without it, scored."""
        part = slice(first, last)
        requests, good = self.requests[part], self.good[part]
        is_out = (requests > 0) & (good < MINUTE_SHARE * requests)
        return PartScore(
            n_requests=int(requests.sum()),
            n_good=int(good.sum()),
            gpu_hours=float(self.gpu_s[part].sum()) / 3600.0,
            minutes_out_of_sla=float(is_out.sum()),
            scale_events=float(self.events[part].sum()),
        )


@dataclass(frozen=True, slots=True)
class PartScore:
    """Figures of a part of a run.

    Attributes:
        n_requests: Requests that arrived in it.
        n_good: Of these, that met both goals.
        gpu_hours: GPU-hours held.
        minutes_out_of_sla: Minutes in which under `MINUTE_SHARE` of the requests were good.
        scale_events: Changes of the workers asked for.
    """

    n_requests: int
    n_good: int
    gpu_hours: float
    minutes_out_of_sla: float
    scale_events: float

    @property
    def goodput(self) -> float:
        """Share of requests that met both goals; NaN where none arrived."""
        return self.n_good / self.n_requests if self.n_requests else float("nan")


def minutes_of(result: LoopResult, goals: RequestGoals, most: int) -> RunMinutes:
    """Sum a run over its minutes, up to the last arrival.

    Args:
        result: The run.
        goals: What a request is promised.
        most: Workers that there are at most: asking for more changes nothing.
    """
    n_minutes = int(result.arrival_ms[-1] / 1e3 // MINUTE_S) + 1
    at = (result.arrival_ms / 1e3 // MINUTE_S).astype(int)
    found = missed_goals(result.served, goals)
    missed = {SERVE: found.either}
    if SERVE not in result.alive:
        missed = {PREFILL: found.ttft, DECODE: found.tpot}
    edges = np.arange(n_minutes + 1) * MINUTE_S
    gpu_s = [
        sum(
            result.gpus[pool] * line.worker_s(float(start), float(end))
            for pool, line in result.alive.items()
        )
        for start, end in pairwise(edges)
    ]
    return RunMinutes(
        np.bincount(at, minlength=n_minutes),
        np.bincount(at[~found.either], minlength=n_minutes),
        {pool: np.bincount(at[those], minlength=n_minutes) for pool, those in missed.items()},
        np.array(gpu_s, np.float64),
        _events(result, n_minutes, most),
    )


def _events(result: LoopResult, n_minutes: int, most: int) -> IntArray:
    found = np.zeros(n_minutes, np.int64)
    # The Planner's list has changes alone: its first is one of the workers at the start.
    last = {pool: int(line.count[0]) for pool, line in result.alive.items()}
    for one in result.decided:
        minute = int(one.at_s // MINUTE_S)
        for pool, count in one.counts.items():
            asked = min(max(count, 1), most)
            if last[pool] != asked and minute < n_minutes:
                found[minute] += 1
            last[pool] = asked
    return found
