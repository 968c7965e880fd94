"""A stand-in for the engine: replicas read prompts one after the other, and decode side by side."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from services.lab.arena.goals import RequestGoals
from services.lab.arena.loop import FinishedRequests, LoopPolicy, LoopTick, PoolCounts
from services.lab.arena.requests import FloatArray, RequestList


@dataclass(frozen=True, slots=True)
class QueueingLaw:
    """How fast one replica is: tokens/s of prompts, ms per token alone, requests that double it."""

    prefill_tokens_per_s: float = 8000.0
    alone_ms: float = 15.0
    doubling: float = 40.0


@dataclass
class _Worker:
    ready_s: float
    free_s: float = 0.0
    ends: list[float] = field(default_factory=list)
    is_draining: bool = False


@dataclass(frozen=True)
class LoopOutcome:
    """What requests felt, and what was alive."""

    ttft_ms: FloatArray
    tpot_ms: FloatArray
    counts: list[tuple[float, int]]
    gpu_hours: float

    def goodput(self, goals: RequestGoals, requests: RequestList, warm_s: float) -> float:
        """Share of the requests after the warm-up that met both goals."""
        good = (self.ttft_ms <= goals.ttft_ms) & ~(self.tpot_ms > goals.tpot_ms)
        return float(good[requests.arrival_ms >= warm_s * 1e3].mean())


def run_loop(
    requests: RequestList,
    policy: LoopPolicy,
    law: QueueingLaw,
    startup_s: float,
    initial: int,
) -> LoopOutcome:
    """Serve the requests, asking the policy at its ticks."""
    workers = [_Worker(0.0) for _ in range(initial)]
    arrive = requests.arrival_ms / 1e3
    n = len(requests)
    first, end, tpot = (np.full(n, np.nan) for _ in range(3))
    tick_s, before_s, at, turn, gpu_s = policy.first_tick_s, 0.0, 0, 0, 0.0
    counts = []
    while at < n:
        start = at
        while at < n and arrive[at] <= tick_s:
            now = arrive[at]
            able = [w for w in workers if w.ready_s <= now and not w.is_draining]
            worker = able[turn % len(able)]
            turn += 1
            worker.ends = [e for e in worker.ends if e > now]
            worker.free_s = (
                max(now, worker.free_s) + requests.input_tokens[at] / law.prefill_tokens_per_s
            )
            tpot[at] = law.alone_ms * (1.0 + len(worker.ends) / law.doubling)
            first[at] = worker.free_s
            end[at] = worker.free_s + requests.output_tokens[at] * tpot[at] / 1e3
            worker.ends.append(end[at])
            at += 1
        gpu_s += len(workers) * (tick_s - before_s)
        workers = [w for w in workers if not (w.is_draining and max(w.ends, default=0) <= tick_s)]
        done = (end > before_s) & (end <= tick_s)
        alive = [w for w in workers if not w.is_draining]
        ready = sum(w.ready_s <= tick_s for w in alive)
        pool = PoolCounts(ready, len(alive) - ready, len(workers) - len(alive))
        known = slice(0, at)
        tick = LoopTick(
            tick_s,
            {"serve": pool},
            at - start,
            FinishedRequests(
                (first[done] - arrive[done]) * 1e3,
                tpot[done],
                requests.input_tokens[done].astype(float),
                requests.output_tokens[done].astype(float),
            ),
            int(((first[known] <= tick_s) & (end[known] > tick_s)).sum()),
            int((first[known] > tick_s).sum()),
            0.0,
        )
        targets = policy.on_tick(tick)
        wanted = targets.counts["serve"]
        counts.append((tick_s, wanted))
        for worker in sorted(alive, key=lambda w: -w.ready_s)[: max(0, len(alive) - wanted)]:
            worker.is_draining = True
        workers += [_Worker(tick_s + startup_s) for _ in range(wanted - len(alive))]
        before_s, tick_s = tick_s, targets.next_tick_s
    return LoopOutcome((first - arrive) * 1e3, tpot, counts, gpu_s / 3600.0)
