"""An engine of a few lines: a request takes a worker a millisecond per token of its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from services.lab.arena.engine import EngineChoice
from services.lab.arena.goals import RequestGoals
from services.lab.arena.loop import (
    SERVE,
    FinishedRequests,
    LoopDecision,
    LoopPolicy,
    LoopResult,
    LoopSetup,
    LoopTick,
    PoolCounts,
    WorkerTimeline,
)
from services.lab.arena.requests import RequestList, ServedRequests
from services.lab.bench.llm.traces.arrivals import poisson_s
from services.lab.bench.llm.traces.trace import LlmTrace

GOALS = RequestGoals(2000.0, 100.0)


class QueueWorker:
    """One worker: when it is ready, when it has done what it was given, when it must go."""

    def __init__(self, ready_s: float, asked_s: float) -> None:
        self.ready_s, self.asked_s, self.free_s = ready_s, asked_s, ready_s
        self.leaves_s = float("inf")


class QueueEngine:
    """Requests go to whoever is free first, and their first token is their last but one."""

    def __init__(self, choice: EngineChoice | None = None) -> None:
        self.choice = choice or EngineChoice("Qwen/Qwen3-32B", "h200_sxm")
        self.about: dict[str, Any] = {
            "engine_version": "1",
            "kv_tokens": 50_000,
            "max_model_tokens": 40_000,
        }
        self.n_loops = 0

    def __enter__(self) -> QueueEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def replay(self, requests: RequestList, workers: int = 1) -> ServedRequests:
        pool = [QueueWorker(0.0, 0.0) for _ in range(workers)]
        ends = [_serve(pool, requests, at) for at in range(len(requests))]
        return _served([ttft for ttft, _ in ends])

    def replay_each(
        self, lists: Sequence[RequestList], workers: int = 1
    ) -> tuple[ServedRequests, ...]:
        return tuple(self.replay(requests, workers) for requests in lists)

    def loop(self, requests: RequestList, setup: LoopSetup, policy: LoopPolicy) -> LoopResult:
        self.n_loops += 1
        pool = [QueueWorker(0.0, 0.0) for _ in range(setup.initial[SERVE])]
        everyone, decided = list(pool), []
        tick_s = max(policy.first_tick_s, 0.0)
        ttft, ends, seen, arrived = [], np.zeros(len(requests)), 0, 0
        for at in range(len(requests)):
            while tick_s <= requests.arrival_ms[at] / 1e3:
                over = (ends[:at] <= tick_s).nonzero()[0]
                done = over[over >= seen]
                seen = at if not done.size else int(done.max()) + 1
                in_hand = int((ends[:at] > tick_s).sum())
                tick = _tick(tick_s, pool, requests, at - arrived, done, in_hand)
                tick = replace(tick, finished=replace(tick.finished, ttft_ms=np.array(ttft)[done]))
                arrived = at
                targets = policy.on_tick(tick)
                decided.append(LoopDecision(tick_s, dict(targets.counts)))
                wanted = int(np.clip(targets.counts.get(SERVE, len(pool)), 1, setup.max_workers))
                while len(pool) > wanted:
                    gone = pool.pop()
                    gone.leaves_s = max(tick_s, gone.free_s)
                while len(pool) < wanted:
                    pool.append(QueueWorker(tick_s + setup.startup_s, tick_s))
                    everyone.append(pool[-1])
                tick_s = targets.next_tick_s
            first, ends[at] = _serve(pool, requests, at)
            ttft.append(first)
        return LoopResult(
            served=_served(ttft),
            arrival_ms=requests.arrival_ms,
            alive={SERVE: timeline(everyone)},
            events={SERVE: 0},
            decided=tuple(decided),
            gpus={SERVE: 1},
            ended_s=float(ends.max()),
        )


def small_trace(seed: int = 7, minutes: int = 12, history: bool = False) -> LlmTrace:
    """Prompts of 500 tokens at 4 to 12 requests/s: two to six workers of a `QueueEngine`."""
    rate = np.interp(np.arange(60 * minutes), [240, 420], [4.0, 12.0])
    times_s = poisson_s(rate, np.random.default_rng(seed))
    n = times_s.size
    requests = RequestList(times_s * 1e3, np.full(n, 500), np.full(n, 2))
    before = RequestList(np.array([-2.0, -1.0]), np.ones(2, int), np.ones(2, int))
    return LlmTrace("small", requests, GOALS, "h200_sxm", 16, 60.0, before if history else None)


def _serve(pool: list[QueueWorker], requests: RequestList, at: int) -> tuple[float, float]:
    arrival_s = requests.arrival_ms[at] / 1e3
    worker = min(pool, key=lambda one: one.free_s)
    start_s = max(arrival_s, worker.free_s)
    worker.free_s = start_s + requests.input_tokens[at] / 1e3
    return 1e3 * (worker.free_s - arrival_s), worker.free_s


def _served(ttft_ms: list[float]) -> ServedRequests:
    ttft = np.array(ttft_ms)
    return ServedRequests(ttft, np.full(ttft.size, 20.0), ttft + 20.0)


def _tick(
    now_s: float,
    pool: list[QueueWorker],
    requests: RequestList,
    arrived: int,
    done: np.ndarray,
    in_hand: int,
) -> LoopTick:
    ready = sum(worker.ready_s <= now_s for worker in pool)
    finished = FinishedRequests(
        np.zeros(done.size),
        np.full(done.size, 20.0),
        requests.input_tokens[done].astype(float),
        requests.output_tokens[done].astype(float),
    )
    counts = {SERVE: PoolCounts(ready, len(pool) - ready)}
    running = min(in_hand, ready)
    usage = running / max(ready, 1)
    return LoopTick(now_s, counts, arrived, finished, running, in_hand - running, usage)


def timeline(everyone: list[QueueWorker]) -> WorkerTimeline:
    """Workers that were alive, over time."""
    moves = sorted(
        [(worker.asked_s, 1) for worker in everyone]
        + [(worker.leaves_s, -1) for worker in everyone if worker.leaves_s < float("inf")]
    )
    return WorkerTimeline(
        np.array([at for at, _ in moves]), np.cumsum([by for _, by in moves]).astype(np.int64)
    )
