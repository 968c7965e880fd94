"""Two queues in a row: prompts are read by one pool, answers written by another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.lab.arena.engine import EngineChoice
from services.lab.arena.loop import (
    DECODE,
    PREFILL,
    FinishedRequests,
    LoopDecision,
    LoopPolicy,
    LoopResult,
    LoopSetup,
    LoopTick,
    PoolCounts,
    PoolWork,
)
from services.lab.arena.requests import RequestList, ServedRequests
from tests.unit.lab.bench.llm.queue_engine import QueueEngine, QueueWorker, timeline

STEPS_MS = {PREFILL: 1.0, DECODE: 6.0}
"""Of a worker, for each token of a prompt or an answer."""
ALONE_MS = 200.0


@dataclass
class QueuePool:
    """Workers of a pool, and when each request left it."""

    n_requests: int
    workers: list[QueueWorker]
    everyone: list[QueueWorker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.everyone = list(self.workers)
        self.begins, self.ends = np.full((2, self.n_requests), np.inf)

    def serve(self, at: int, from_s: float, work_s: float) -> float:
        """When request `at` has been served that came at a time."""
        worker = min(self.workers, key=lambda one: one.free_s)
        self.begins[at] = max(from_s, worker.free_s)
        worker.free_s = self.ends[at] = self.begins[at] + work_s
        return worker.free_s

    def scale(self, wanted: int, now_s: float, startup_s: float) -> None:
        """Add workers that start, or let the newest go."""
        while len(self.workers) > wanted:
            gone = self.workers.pop()
            gone.leaves_s = max(now_s, gone.free_s)
        while len(self.workers) < wanted:
            self.workers.append(QueueWorker(now_s + startup_s, now_s))
            self.everyone.append(self.workers[-1])

    def counts(self, now_s: float) -> PoolCounts:
        """Workers now."""
        ready = sum(worker.ready_s <= now_s for worker in self.workers)
        return PoolCounts(ready, len(self.workers) - ready)

    def work(self, now_s: float, before_s: float, came: np.ndarray) -> PoolWork:
        """What is in hand of the requests that have come to it; busy since the tick before."""
        in_hand = int((self.ends[came] > now_s).sum())
        running = min(in_hand, len(self.workers))
        spans_s = np.minimum(self.ends[came], now_s) - np.maximum(self.begins[came], before_s)
        busy_s = float(spans_s[spans_s > 0].sum())
        could_s = (now_s - before_s) * len(self.workers)
        return PoolWork(running, in_hand - running, running / len(self.workers), busy_s / could_s)


class PoolEngine(QueueEngine):
    """As `QueueEngine`, of two pools; tokens of an answer are late by what it waits for decode."""

    def __init__(self, choice: EngineChoice | None = None) -> None:
        super().__init__(choice or EngineChoice("Qwen/Qwen3-32B", "h200_sxm", mode="disaggregated"))

    def replay(self, requests: RequestList, workers: int | Mapping[str, int] = 1) -> ServedRequests:
        counts = dict.fromkeys(STEPS_MS, workers) if isinstance(workers, int) else workers
        pools = {name: _pool(len(requests), counts[name]) for name in STEPS_MS}
        return _felt([_through(pools, requests, at) for at in range(len(requests))])

    def replay_each(
        self, lists: Sequence[RequestList], workers: int | Mapping[str, int] = 1
    ) -> tuple[ServedRequests, ...]:
        return tuple(self.replay(requests, workers) for requests in lists)

    def loop(self, requests: RequestList, setup: LoopSetup, policy: LoopPolicy) -> LoopResult:
        self.n_loops += 1
        pools = {name: _pool(len(requests), setup.initial[name]) for name in STEPS_MS}
        felt: list[tuple[float, float]] = []
        decided, tick_s, before_s, arrived = [], policy.first_tick_s, -1.0, 0
        for at in range(len(requests)):
            while tick_s <= requests.arrival_ms[at] / 1e3:
                tick = _tick(tick_s, before_s, pools, requests, felt, at - arrived)
                targets = policy.on_tick(tick)
                decided.append(LoopDecision(tick_s, dict(targets.counts)))
                for name, wanted in targets.counts.items():
                    wanted = int(np.clip(wanted, 1, setup.max_workers))
                    pools[name].scale(wanted, tick_s, setup.startup_s)
                arrived, before_s, tick_s = at, tick_s, targets.next_tick_s
            felt.append(_through(pools, requests, at))
        return LoopResult(
            served=_felt(felt),
            arrival_ms=requests.arrival_ms,
            alive={name: timeline(pool.everyone) for name, pool in pools.items()},
            events=dict.fromkeys(pools, 0),
            decided=tuple(decided),
            gpus=dict.fromkeys(pools, 1),
            ended_s=float(pools[DECODE].ends.max()),
        )


def _pool(n_requests: int, count: int) -> QueuePool:
    return QueuePool(n_requests, [QueueWorker(0.0, 0.0) for _ in range(count)])


def _through(pools: Mapping[str, QueuePool], requests: RequestList, at: int) -> tuple[float, float]:
    """TTFT and time between tokens of a request, ms."""
    came_s = requests.arrival_ms[at] / 1e3
    n_in, n_out = int(requests.input_tokens[at]), int(requests.output_tokens[at])
    first_s = pools[PREFILL].serve(at, came_s, n_in * STEPS_MS[PREFILL] / 1e3)
    last_s = pools[DECODE].serve(at, first_s, n_out * STEPS_MS[DECODE] / 1e3)
    waited_ms = 1e3 * (last_s - first_s) - n_out * STEPS_MS[DECODE]
    return 1e3 * (first_s - came_s), ALONE_MS + waited_ms / n_out


def _felt(felt: list[tuple[float, float]]) -> ServedRequests:
    ttft, tpot = np.array(felt).T
    return ServedRequests(ttft, tpot, ttft + tpot)


def _tick(
    now_s: float,
    before_s: float,
    pools: Mapping[str, QueuePool],
    requests: RequestList,
    felt: list[tuple[float, float]],
    arrived: int,
) -> LoopTick:
    came = np.arange(len(felt))
    read = came[pools[PREFILL].ends[came] <= now_s]
    ends = pools[DECODE].ends[came]
    done = np.flatnonzero((ends > before_s) & (ends <= now_s))
    ttft, tpot = (np.array([felt[at][which] for at in done]) for which in range(2))
    work = {
        PREFILL: pools[PREFILL].work(now_s, before_s, came),
        DECODE: pools[DECODE].work(now_s, before_s, read),
    }
    return LoopTick(
        now_s,
        {name: pool.counts(now_s) for name, pool in pools.items()},
        arrived,
        FinishedRequests(
            ttft,
            tpot,
            requests.input_tokens[done].astype(float),
            requests.output_tokens[done].astype(float),
        ),
        sum(one.running for one in work.values()),
        sum(one.waiting for one in work.values()),
        work[DECODE].kv_usage,
        work,
    )
