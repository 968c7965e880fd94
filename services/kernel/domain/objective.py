"""What requests are to feel: goals, and the series of counts that tell how many met them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

GoalMetric = Literal["ttft", "tpot", "itl", "e2e", "queue", "errors"]
"""Time to the first token, per output token of a request, between two tokens, of the whole request
and in the queue; and requests without an answer. `itl` counts tokens, the others requests."""

MOST_THRESHOLD_S = 86400.0
SERIES_PREFIX = "sli_"
LOST = "sli_lost"
"""Requests that got no answer: failed, refused, aborted, timed out."""
WAITING = "sli_waiting"
"""Requests in the queue."""
READY = "sli_ready"
"""Ready replicas that served a step; of history alone, later the operator sees them."""
GAUGES = frozenset({WAITING, READY})
"""Series that are means of a step, not counts."""


class _Promised(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GoalSpec(_Promised):
    """A threshold that a request is to keep.

    Attributes:
        metric: What is measured of a request.
        threshold_s: Seconds that it may take; None for errors, which have none.
    """

    metric: GoalMetric
    threshold_s: float | None = Field(None, gt=0, le=MOST_THRESHOLD_S)

    @model_validator(mode="after")
    def _has_its_threshold(self) -> GoalSpec:
        if (self.metric == "errors") != (self.threshold_s is None):
            raise ValueError(
                f"threshold_s={self.threshold_s} of goal {self.metric!r}: a latency needs one, "
                "errors have none"
            )
        return self


class SliSeriesSpec(_Promised):
    """One series that an objective is counted with.

    Attributes:
        name: One of `series_names`.
        query: PromQL that gives it per second (`sli_waiting` and `sli_ready`: as a number), over
            exactly one step; empty when it is pushed, as a cumulative counter (these two: as a
            gauge).
        edge_s: Bucket edge up to which it counts, in seconds; None: not told, or it is no such
            count. With the edges on both sides of a threshold, and the sum, what met the goal
            between them is estimated.
    """

    name: Annotated[str, Field(pattern=r"^sli_[a-z0-9_]{1,58}$")]
    query: str = ""
    edge_s: float | None = Field(None, gt=0, le=1e6)

    @property
    def is_counter(self) -> bool:
        """A cumulative count, differenced to a rate."""
        return not self.query and self.name not in GAUGES


class ObjectiveSpec(_Promised):
    """What requests are to feel, all of it at once.

    Attributes:
        goals: Thresholds; a request that misses any of them is a miss.
        share: Share of a minute's requests that must meet the goals for the minute to be a good one
            (of a promise of time; one of requests does not read it).
        series: Where the counts come from; a name that is missing is not measured.
    """

    goals: tuple[GoalSpec, ...] = Field(min_length=1, max_length=6)
    share: float = Field(0.95, gt=0, lt=1)
    series: tuple[SliSeriesSpec, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> ObjectiveSpec:
        metrics = [goal.metric for goal in self.goals]
        if len(set(metrics)) != len(metrics):
            raise ValueError(f"goals: each metric may be given once, got {metrics}")
        given = [one.name for one in self.series]
        allowed = series_names(self.goals)
        for name in given:
            if name not in allowed or given.count(name) > 1:
                raise ValueError(f"series: {name!r} must be one of {allowed}, each at most once")
        return self


def total_name(metric: GoalMetric) -> str:
    """Series of the requests (`itl`: tokens) that a goal was observed of."""
    return f"{SERIES_PREFIX}{metric}_total"


def good_name(metric: GoalMetric) -> str:
    """Series of those at or below the largest bucket edge that does not exceed the threshold."""
    return f"{SERIES_PREFIX}{metric}_good"


def upto_name(metric: GoalMetric) -> str:
    """Series of those at or below the smallest bucket edge that is not below the threshold.

    Left out where the threshold is an edge: then `good_name` is exact.
    """
    return f"{SERIES_PREFIX}{metric}_upto"


def sum_name(metric: GoalMetric) -> str:
    """Series of the sum of what a goal was observed of, in seconds.

    Read only where the threshold lies between two bucket edges.
    """
    return f"{SERIES_PREFIX}{metric}_sum"


def series_names(goals: tuple[GoalSpec, ...]) -> list[str]:
    """Names of the series that an objective of these goals may have: counts, and `READY`."""
    return [*counted_names(goals), READY]


def counted_names(goals: tuple[GoalSpec, ...]) -> list[str]:
    """Names of the series that an objective of these goals may be counted with."""
    names = []
    for goal in goals:
        names.append(total_name(goal.metric))
        if goal.metric != "errors":
            names += [good_name(goal.metric), upto_name(goal.metric), sum_name(goal.metric)]
    return [*names, LOST, WAITING]
