"""Makes a response table: an engine under a grid of loads, several minutes each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from services.kernel.clock import make_rng
from services.lab.arena.alone import AloneLaw, measure_alone
from services.lab.arena.engine import EngineChoice, ReplayEngine
from services.lab.arena.goals import MissedGoals, RequestGoals, missed_goals
from services.lab.arena.limits import LimitFinder, LimitSearch, RateLimit
from services.lab.arena.requests import LengthMix, RequestList, Shape, poisson_requests
from services.lab.arena.table import ResponseTable

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TableGrid:
    """Which loads are tried: every length of prompt with every length of answer and every rate.

    Attributes:
        mean_inputs: Mean lengths of prompts, tokens.
        mean_outputs: Mean lengths of answers, tokens.
        rate_ratios: Rates, over the largest that misses at most `share` more than requests alone.
        share: See there.
        warm_minutes: First minutes, not counted.
        minutes: Minutes that are counted.
        pooled_replicas: Replicas of the points that repeat some with more than one.
        n_pooled: How many pairs of lengths are repeated so, evenly spread.
        seed: Seed of arrivals and lengths.
    """

    mean_inputs: tuple[float, ...]
    mean_outputs: tuple[float, ...]
    rate_ratios: tuple[float, ...] = (0.3, 0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
    share: float = 0.05
    warm_minutes: int = 2
    minutes: int = 15
    pooled_replicas: int = 4
    n_pooled: int = 6
    seed: int = 7

    @property
    def shapes(self) -> list[Shape]:
        """Every pair of lengths."""
        return [Shape(i, o) for i in self.mean_inputs for o in self.mean_outputs]


@dataclass(frozen=True, slots=True)
class _RateLadder:
    shape: Shape
    rates: tuple[float, ...]
    replicas: int


class TableMaker:
    """Makes one table with several engines at work."""

    def __init__(
        self, choice: EngineChoice, goals: RequestGoals, mix: LengthMix, tell: Tell
    ) -> None:
        """A table of `choice` under `goals`, of requests with the lengths of `mix`."""
        self._choice, self._goals, self._mix, self._tell = choice, goals, mix, tell
        self._own = threading.local()
        self._engines: list[ReplayEngine] = []
        self._done = 0

    def make(self, grid: TableGrid, n_processes: int, command: str) -> ResponseTable:
        """Find the limit of every pair of lengths, then serve every point.

        Args:
            grid: Which loads.
            n_processes: Engines at work at once; the table is the same with any number.
            command: What to write down as the command.
        """
        with ThreadPoolExecutor(n_processes) as pool:
            try:
                alone = pool.submit(lambda: measure_alone(self._engine())).result()
                limits = list(pool.map(lambda shape: self._limit(shape, alone, grid), grid.shapes))
                self._done = 0
                parts = pool.map(lambda one: self._serve(one, alone, grid), _ladders(grid, limits))
                rows = [row for part in parts for row in part]
                about = self._about(grid, alone, limits, command)
            finally:
                for engine in self._engines:
                    engine.close()
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return ResponseTable(**columns, about=about)

    def _engine(self) -> ReplayEngine:
        if not hasattr(self._own, "engine"):
            self._own.engine = ReplayEngine(self._choice)
            self._engines.append(self._own.engine)
        engine: ReplayEngine = self._own.engine
        return engine

    def _limit(self, shape: Shape, alone: AloneLaw, grid: TableGrid) -> RateLimit:
        search = LimitSearch(grid.share, seed=grid.seed)
        found = LimitFinder(self._engine(), alone, self._goals).find(shape, self._mix, search)
        self._done += 1
        self._tell(f"limits of {self._done} pairs of lengths")
        return found

    def _serve(self, one: _RateLadder, alone: AloneLaw, grid: TableGrid) -> list[dict[str, Any]]:
        length = grid.warm_minutes + grid.minutes
        lists = [
            poisson_requests(
                rate * one.replicas,
                length,
                one.shape,
                self._mix,
                make_rng(grid.seed, one.shape, rate, one.replicas),
            )
            for rate in one.rates
        ]
        each = self._engine().replay_each(lists, one.replicas)
        self._done += len(lists)
        self._tell(f"{self._done} points")
        counted = slice(grid.warm_minutes, length)
        return [
            {
                "replicas": one.replicas,
                "rate": rate,
                "mean_input": one.shape.mean_input,
                "mean_output": one.shape.mean_output,
                "floor": alone.floor(requests, self._goals),
                **_by_minute(requests, missed_goals(served, self._goals), alone, counted),
            }
            for rate, requests, served in zip(one.rates, lists, each, strict=True)
        ]

    def _about(
        self, grid: TableGrid, alone: AloneLaw, limits: Sequence[RateLimit], command: str
    ) -> dict[str, Any]:
        return {
            "engine": {**asdict(self._choice), **self._engines[0].about},
            "licence": "figures made by Apache-2.0 programs; see packages",
            "goals": asdict(self._goals),
            "lengths": self._mix.source,
            "arrivals": "Poisson; placed on replicas in turn; no prefix is shared",
            "grid": asdict(grid),
            "alone": {
                "input_tokens": alone.input_tokens.tolist(),
                "ttft_s": alone.ttft_s.tolist(),
                "token_s": alone.token_s,
            },
            "limits": [
                {"mean_input": s.mean_input, "mean_output": s.mean_output, **asdict(limit)}
                for s, limit in zip(grid.shapes, limits, strict=True)
            ],
            "command": command,
        }


def _by_minute(
    requests: RequestList, missed: MissedGoals, alone: AloneLaw, counted: slice
) -> dict[str, Any]:
    minute = (requests.arrival_ms // 60e3).astype(np.int64)

    def sums(weights: Any) -> Any:
        found = np.bincount(minute, weights.astype(np.float64), minlength=counted.stop)[counted]
        return found if weights.dtype.kind == "f" else np.rint(found).astype(np.int64)

    return {
        "requests": sums(np.ones(len(requests), np.int64)),
        "input_tokens": sums(requests.input_tokens),
        "output_tokens": sums(requests.output_tokens),
        "kv_token_s": sums(alone.kv_token_s(requests)),
        "missed": sums(missed.either),
        "missed_ttft": sums(missed.ttft),
        "missed_tpot": sums(missed.tpot),
    }


def _ladders(grid: TableGrid, limits: Sequence[RateLimit]) -> list[_RateLadder]:
    found = [
        _RateLadder(shape, tuple(ratio * limit.rate for ratio in grid.rate_ratios), 1)
        for shape, limit in zip(grid.shapes, limits, strict=True)
        if limit.rate > 0
    ]
    if not grid.n_pooled or not found:
        return found
    chosen = np.unique(np.linspace(0, len(found) - 1, grid.n_pooled).round().astype(int))
    return found + [replace(found[at], replicas=grid.pooled_replicas) for at in chosen]
