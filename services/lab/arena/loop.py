"""The scaling loop: what a policy sees at each tick, what it may ask for, what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from services.kernel.domain.pools import Occupied
from services.kernel.errors import InvalidInput
from services.lab.arena.requests import FloatArray, IntArray, ServedRequests

SERVE = "serve"
"""The one pool of an engine that does prefill and decode together."""
PREFILL, DECODE = "prefill", "decode"
"""Those of an engine that keeps them apart."""
ROUTERS = ("round_robin", "kv_router")


@dataclass(frozen=True, slots=True)
class LoopSetup:
    """How workers come and go.

    Attributes:
        startup_s: Seconds from asking for a worker until it is ready; the first ones are at once.
        initial: Workers of each pool at the start, >= 1.
        max_workers: Most workers of a pool, starting ones included; what is asked beyond is cut.
        router: One of `ROUTERS`.
        drain_s: Seconds after the last arrival at which the replay ends: what is not finished then
            counts as never served.
        sample_ms: How often the engine is looked at. Of three or more requests that finish within
            one look the means are known, of two mostly each.
    """

    startup_s: float
    initial: Mapping[str, int] = field(default_factory=lambda: {SERVE: 1})
    max_workers: int = 64
    router: str = "round_robin"
    drain_s: float = 600.0
    sample_ms: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what cannot be replayed."""
        for name, least in (("startup_s", 0.0), ("drain_s", 0.0), ("sample_ms", 1.0)):
            value = getattr(self, name)
            if not least <= value < math.inf:
                raise InvalidInput(f"{name}={value:g} must be finite and >= {least:g}")
        if self.max_workers < 1:
            raise InvalidInput(f"max_workers={self.max_workers} must be >= 1")
        for pool, count in self.initial.items():
            if not 1 <= count <= self.max_workers:
                raise InvalidInput(
                    f"initial[{pool}]={count} must lie in 1 to max_workers={self.max_workers}"
                )
        if self.router not in ROUTERS:
            raise InvalidInput(f"router={self.router}: must be one of {', '.join(ROUTERS)}")


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """Workers of a pool.

    Attributes:
        ready: They get requests.
        starting: They were asked for and are not ready.
        draining: They get no new requests and leave after their last one.
    """

    ready: int
    starting: int = 0
    draining: int = 0

    @property
    def alive(self) -> int:
        """Workers that hold a GPU."""
        return self.ready + self.starting + self.draining


@dataclass(frozen=True, slots=True)
class PoolWork:
    """What a pool has in hand.

    Attributes:
        running: Requests in a batch now.
        waiting: Requests that wait for one of its workers now.
        kv_usage: Share of its KV space in use now, mean of the workers.
        busy: Share of the time since the tick before in which a worker had a request in hand, mean
            of the workers; None: there was none.
    """

    running: int
    waiting: int
    kv_usage: float
    busy: float | None

    def taken(self, of: Occupied) -> float | None:
        """Share of the workers' room that is taken, or of their time."""
        return self.kv_usage if of == "Room" else self.busy


@dataclass(frozen=True, slots=True)
class FinishedRequests:
    """Requests that finished since the tick before, in the order of their ends.

    Where three or more finished at once each has their means.

    Attributes:
        ttft_ms: (M,) time to the first token.
        tpot_ms: (M,) mean time between tokens; NaN for an answer of one token.
        input_tokens: (M,) length of the prompt.
        output_tokens: (M,) length of the answer.
    """

    ttft_ms: FloatArray
    tpot_ms: FloatArray
    input_tokens: FloatArray
    output_tokens: FloatArray

    def __len__(self) -> int:
        """How many there are."""
        return int(self.ttft_ms.size)


@dataclass(frozen=True, slots=True)
class LoopTick:
    """What anyone who scrapes the service could know.

    Attributes:
        now_s: Seconds on the clock of the requests' arrivals.
        pools: Workers of each pool.
        arrived: Requests that arrived since the tick before.
        finished: Requests that finished since then.
        running: Requests in a batch now, all workers.
        waiting: Requests that wait now, at workers or before them.
        kv_usage: Share of the KV space in use now, mean of the workers; of those that decode, where
            there are two pools.
        work: What each pool has in hand, where there are two.
    """

    now_s: float
    pools: Mapping[str, PoolCounts]
    arrived: int
    finished: FinishedRequests
    running: int
    waiting: int
    kv_usage: float
    work: Mapping[str, PoolWork] = field(default_factory=dict)

    def of(self, pool: str) -> LoopTick:
        """One of two pools, as if it were the only one of a service."""
        own = self.work[pool]
        return replace(
            self,
            pools={SERVE: self.pools[pool]},
            running=own.running,
            waiting=own.waiting,
            kv_usage=own.kv_usage,
            work={},
        )


@dataclass(frozen=True, slots=True)
class LoopTargets:
    """What a policy asks for.

    Attributes:
        counts: Workers of each pool, starting ones included, without draining ones. A pool left
            out stays as it is; counts are cut to 1 and the setup's most.
        next_tick_s: When it wants to be asked again, on the clock of `LoopTick.now_s`.
    """

    counts: Mapping[str, int]
    next_tick_s: float


class LoopPolicy(Protocol):
    """Whatever scales: asked at `first_tick_s`, then whenever it said."""

    @property
    def first_tick_s(self) -> float:
        """When it is asked first; at the first arrival if that is later."""

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        """Decide."""


@dataclass(frozen=True, slots=True)
class KeptCounts:
    """Changes nothing, and is asked once in a long while."""

    first_tick_s: float = 1e6

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        """As it is."""
        return LoopTargets({}, tick.now_s + self.first_tick_s)


@dataclass(frozen=True, slots=True)
class LoopDecision:
    """What was asked when, as asked.

    Attributes:
        at_s: Time of the tick.
        counts: Workers of each pool.
    """

    at_s: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WorkerTimeline:
    """Workers of a pool that hold a GPU: ready, starting and draining.

    Attributes:
        at_s: (K,) when the count changed; the first is 0. The last count stands for ever.
        count: (K,) workers from then on.
    """

    at_s: FloatArray
    count: IntArray

    def worker_s(self, from_s: float, until_s: float) -> float:
        """Seconds that workers were alive between two times, summed over workers."""
        edges = np.clip(np.append(self.at_s, max(until_s, self.at_s[-1])), from_s, until_s)
        return float(np.diff(edges) @ self.count)


@dataclass(frozen=True, slots=True)
class LoopResult:
    """What came of a policy.

    Attributes:
        served: (N,) what each request felt, in the order of the list.
        arrival_ms: (N,) when each arrived.
        alive: Workers of each pool over time.
        events: How often the workers asked for changed, of each pool.
        decided: What the policy asked for, tick by tick.
        gpus: GPUs of one worker, of each pool.
        ended_s: When the replay ended.
    """

    served: ServedRequests
    arrival_ms: FloatArray
    alive: Mapping[str, WorkerTimeline]
    events: Mapping[str, int]
    decided: tuple[LoopDecision, ...]
    gpus: Mapping[str, int]
    ended_s: float

    def gpu_hours(self, from_s: float, until_s: float) -> float:
        """GPU-hours of alive workers between two times, all pools."""
        if not from_s < until_s:
            raise InvalidInput(f"until_s={until_s:g} must be > from_s={from_s:g}")
        return (
            sum(
                self.gpus[pool] * line.worker_s(from_s, until_s)
                for pool, line in self.alive.items()
            )
            / 3600.0
        )


def check_targets(targets: LoopTargets, tick: LoopTick) -> None:
    """Refuse pools that there are not and ticks that are not later.

    Raises:
        InvalidInput: Either is so.
    """
    unknown = sorted(set(targets.counts) - set(tick.pools))
    if unknown:
        raise InvalidInput(f"counts[{unknown[0]}]: pools are {', '.join(sorted(tick.pools))}")
    if not tick.now_s < targets.next_tick_s < math.inf:
        raise InvalidInput(
            f"next_tick_s={targets.next_tick_s:g} must be finite and > now_s={tick.now_s:g}"
        )
