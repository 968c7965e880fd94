"""What a preset is: the metrics of one serving program, as data.

An indicator is one number a step. A goal's histogram says which share of requests (or tokens) met a
threshold, and a loss counter which requests got no answer: these two are what a promise can be
measured on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from services.kernel.domain.presets.promql import PODS, Promql
from services.kernel.domain.workload import LoadCounts

Goal = Literal["ttft", "itl", "tpot", "e2e", "queue"]
"""Time to the first token, between two tokens, per output token of a request, of the whole request,
and in the queue. All but `itl` have one observation a request; `itl` has one a token."""

GOAL_WORDS: dict[Goal, str] = {
    "ttft": "time to first token",
    "itl": "inter-token latency, per token",
    "tpot": "time per output token, per request",
    "e2e": "end-to-end latency",
    "queue": "time in the queue",
}
LossKind = Literal["error", "refusal", "abort"]
LOSS_WORDS: dict[LossKind, str] = {
    "error": "requests that failed",
    "refusal": "requests that were refused",
    "abort": "requests that were aborted",
}
_ANSWERS = "output_tokens_per_s"
_METRIC = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{")


def metrics_in(expression: str) -> tuple[str, ...]:
    """Names of the metrics that a preset's expression reads, each once."""
    return tuple(dict.fromkeys(_METRIC.findall(expression)))


@dataclass(frozen=True, slots=True)
class PresetIndicator:
    """An indicator; `$namespace` and `$pod` of its expressions are filled in per workload.

    Attributes:
        name: Unit-carrying name, e.g. `request_rate_rps`.
        level: 1 service, 2 container, 3 hardware.
        unit: Unit in words.
        expressions: The same number by the program's newest names first, then by older ones.
        needs: What must be switched on before the program reports it; empty: nothing.
        counts: What it counts as a load; None: what the preset says.
        is_offered: A load that is put together from others (`offered.py`). A workload has it only
            where its spec names it as a load.
        optional: Metrics without which it is measured all the same.
    """

    name: str
    level: Literal[1, 2, 3]
    unit: str
    expressions: tuple[str, ...]
    needs: str = ""
    counts: LoadCounts | None = None
    is_offered: bool = False
    optional: tuple[str, ...] = ()

    @property
    def expression(self) -> str:
        """PromQL that takes the first of the names that is there."""
        return " or ".join(self.expressions)


@dataclass(frozen=True, slots=True)
class GoalHistogram:
    """The classic histogram that a goal is measured on.

    Attributes:
        goal: Which latency it is.
        metrics: Its names without `_bucket`, the newest first.
        edges_s: Bucket edges in seconds that the program uses unless it is told otherwise.
        unit_s: Seconds of the histogram's own unit.
        needs: What must be switched on before the program reports it; empty: nothing.
        note: Where it is not quite what the goal's name says, or who sets the edges.
    """

    goal: Goal
    metrics: tuple[str, ...]
    edges_s: tuple[float, ...]
    unit_s: float = 1.0
    needs: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class LossCounter:
    """A counter of requests that got no answer: each is a miss of every goal.

    Attributes:
        kind: Failed, refused or aborted.
        metrics: Its names, the newest first.
        labels: Matchers that pick these requests, e.g. `finished_reason="abort"`; empty: all.
        needs: What must be switched on before the program reports it; empty: nothing.
    """

    kind: LossKind
    metrics: tuple[str, ...]
    labels: str = ""
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Preset:
    """What one program reports.

    Attributes:
        name: Key of the preset, e.g. `vllm`.
        program: The program, in words.
        sources: Where the names and edges were read: repository, commit, path.
        place: Whether the replicas report it, or a router in front of them whose pods are others.
        counts: What `request_rate_rps` counts: requests as they arrive, as they finish, or nothing.
        marks: Series by which a page is known to be the program's: one of them is enough.
        demands: Names of the indicators that may be the demand.
        indicators: Indicators, those that may be the demand first.
        goals: Histograms of latencies.
        losses: Counters of requests without an answer.
        promql: How the series of one workload are picked.
    """

    name: str
    program: str
    sources: tuple[str, ...]
    place: Literal["replica", "router"]
    counts: Literal["arrivals", "finished", "nothing"]
    marks: tuple[str, ...]
    demands: tuple[str, ...]
    indicators: tuple[PresetIndicator, ...]
    goals: tuple[GoalHistogram, ...] = ()
    losses: tuple[LossCounter, ...] = ()
    promql: Promql = PODS

    @property
    def loads(self) -> dict[str, LoadCounts]:
        """Indicators that replicas can be bound by, and what they count."""
        return {
            one.name: self.load_counts(one)
            for one in self.indicators
            if one.name in self.demands or one.is_offered
        }

    def load_counts(self, indicator: PresetIndicator) -> LoadCounts:
        """What one of the indicators counts, taken as a load; tokens of answers are served ones."""
        if indicator.counts is not None:
            return indicator.counts
        is_served = self.counts != "arrivals" or indicator.name == _ANSWERS
        return "served" if is_served else "arrives"
