"""What a policy of the engine's loop sees and says; names first, the engine's side follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.lab.arena.requests import FloatArray


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """Workers of a pool."""

    ready: int
    starting: int
    draining: int


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRequests:
    """Requests that finished since the tick before; `tpot_ms` NaN for one token."""

    ttft_ms: FloatArray
    tpot_ms: FloatArray
    input_tokens: FloatArray
    output_tokens: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LoopTick:
    """What anyone who scrapes could know, everything since the tick before."""

    now_s: float
    pools: Mapping[str, PoolCounts]
    arrived: int
    finished: FinishedRequests
    running: int
    waiting: int
    kv_usage: float


@dataclass(frozen=True, slots=True)
class LoopTargets:
    """Absolute counts; a pool left out stays."""

    counts: Mapping[str, int]
    next_tick_s: float


class LoopPolicy(Protocol):
    """A policy of the loop."""

    @property
    def first_tick_s(self) -> float:
        """When it is first asked."""
        ...

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        """The counts that it wants, and when it is asked next."""
        ...
