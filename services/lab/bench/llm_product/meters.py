"""What a service of vLLM's kind and the gateway before it count, and how it is read each scrape.

Histograms are cumulative and have vLLM's bucket edges; of them only the counts at the edges next to
a threshold are read, as the preset's queries do. Requests are counted when they finish: the loop
knows no sooner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from services.kernel.domain.objective import (
    LOST,
    good_name,
    sum_name,
    total_name,
    upto_name,
)
from services.kernel.domain.presets.fit import Bracket, bracket
from services.kernel.domain.presets.vllm import TOKEN_EDGES_S, TTFT_EDGES_S
from services.kernel.errors import InvalidInput
from services.lab.arena.loop import FinishedRequests, LoopTick
from services.lab.arena.requests import FloatArray, IntArray

GOAL_EDGES_S: Mapping[str, tuple[float, ...]] = {"ttft": TTFT_EDGES_S, "tpot": TOKEN_EDGES_S}
MEAN_WINDOW_S = 1800.0
"""Requests that finished within it tell the mean lengths, as in the preset's queries."""


def edges_of(edges_s: tuple[float, ...], threshold_s: float) -> Bracket:
    """The bucket edges next to a threshold.

    Raises:
        InvalidInput: Every bucket ends above it.
    """
    found = bracket(edges_s, threshold_s)
    if found.below_s == 0:
        raise InvalidInput(
            f"threshold {threshold_s:g} s is below the first bucket edge {edges_s[0]:g} s"
        )
    return found


@dataclass(slots=True)
class Histogram:
    """A cumulative histogram.

    Attributes:
        edges_s: Upper edges, rising; what lies above the last is in the count alone.
        at_or_below: (E,) observations up to each edge.
        count: Observations.
        sum_s: Their sum.
    """

    edges_s: tuple[float, ...]
    at_or_below: IntArray = field(init=False)
    count: int = 0
    sum_s: float = 0.0

    def __post_init__(self) -> None:
        """Start empty."""
        self.at_or_below = np.zeros(len(self.edges_s), dtype=np.int64)

    def observe(self, values_s: FloatArray) -> None:
        """Count some values."""
        self.at_or_below += np.searchsorted(np.sort(values_s), self.edges_s, side="right")
        self.count += values_s.size
        self.sum_s += float(values_s.sum())

    def upto(self, edge_s: float | None) -> int:
        """Observations up to an edge; all of them where there is none."""
        return self.count if edge_s is None else int(self.at_or_below[self.edges_s.index(edge_s)])


@dataclass(frozen=True, slots=True)
class _Finished:
    """Requests of one scrape that finished, and their tokens."""

    at_s: float
    n: int
    input_tokens: float
    output_tokens: float


@dataclass(slots=True)
class ServiceMeter:
    """Counters, histograms and gauges of the service, and of the gateway before it.

    Attributes:
        thresholds_s: Of each goal, by its metric.
        histograms: By metric.
        arrived: Requests that the gateway has let in.
        recent: What finished within the window of the means.
    """

    thresholds_s: Mapping[str, float]
    histograms: dict[str, Histogram] = field(init=False)
    arrived: int = 0
    recent: deque[_Finished] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Nothing has happened yet."""
        self.histograms = {name: Histogram(GOAL_EDGES_S[name]) for name in self.thresholds_s}

    def observe(self, tick: LoopTick) -> None:
        """Count what happened since the tick before."""
        self.arrived += tick.arrived
        done = tick.finished
        self.histograms["ttft"].observe(done.ttft_ms / 1e3)
        # vLLM observes 0 for an answer of one token
        self.histograms["tpot"].observe(np.nan_to_num(done.tpot_ms, nan=0.0) / 1e3)
        self.recent.append(_of(done, tick.now_s))
        while self.recent[0].at_s <= tick.now_s - MEAN_WINDOW_S:
            self.recent.popleft()

    def counters(self) -> dict[str, float]:
        """Cumulative counts by series: of the objective, and arrivals."""
        found: dict[str, float] = {}
        for metric, threshold_s in self.thresholds_s.items():
            histogram, edges = self.histograms[metric], edges_of(GOAL_EDGES_S[metric], threshold_s)
            found[total_name(metric)] = histogram.count
            found[good_name(metric)] = histogram.upto(edges.below_s)
            if not edges.is_exact:
                found[upto_name(metric)] = histogram.upto(edges.above_s)
                found[sum_name(metric)] = histogram.sum_s
        return {**found, LOST: 0.0}

    def offered(self, arrived: int) -> tuple[float, float] | None:
        """Input and output tokens of the requests that arrived; None: no request has finished.

        The prompt of what finished is counted as it was, the rest by the mean: the preset's
        offered loads do the same.
        """
        n = sum(one.n for one in self.recent)
        if n == 0:
            return None
        mean_in = sum(one.input_tokens for one in self.recent) / n
        mean_out = sum(one.output_tokens for one in self.recent) / n
        last = self.recent[-1]
        tokens = max(0.0, arrived * mean_in + last.input_tokens - last.n * mean_in)
        return tokens, arrived * mean_out


def _of(done: FinishedRequests, at_s: float) -> _Finished:
    return _Finished(
        at_s, done.ttft_ms.size, float(done.input_tokens.sum()), float(done.output_tokens.sum())
    )
