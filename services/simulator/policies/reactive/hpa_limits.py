"""Rate limits of an HPA's `behavior`: so much in so many seconds.

They are of the spec, whether its pods are ready or not. A controller that syncs every 15 s meets
them many times in a step of minutes. So where a step is longer than the shortest period, the one
sync that is simulated may go as far as syncs one such period apart could within the step. A step
of a period or less is one sync.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np

from services.simulator.policies.view import FloatArray

SYNC_S = 15.0
"""Seconds from one sync of a controller to the next, by default."""
_GUARD = 1e-9


@dataclass(frozen=True, slots=True)
class HpaScalingPolicy:
    """One entry of `behavior.scaleUp.policies` or `scaleDown.policies`."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float

    def __post_init__(self) -> None:
        """Check the values."""
        if self.value <= 0 or self.period_s <= 0:
            raise ValueError(f"value={self.value} and period_s={self.period_s} must be > 0")


@dataclass(frozen=True, slots=True)
class HpaScalingRules:
    """One direction of `behavior`."""

    policies: tuple[HpaScalingPolicy, ...]
    stabilisation_s: float
    select: Literal["Max", "Min", "Disabled"] = "Max"


@dataclass(frozen=True, slots=True, eq=False)
class HpaEvent:
    """Counts that were proposed, or by which the count changed, at `at_s`."""

    at_s: float
    counts: FloatArray


@dataclass(frozen=True, slots=True)
class SyncSpan:
    """The time that one simulated sync stands for.

    Attributes:
        start_s: Time of the sync.
        step_s: Time until the next one.
    """

    start_s: float
    step_s: float

    def n_syncs(self, every_s: float) -> int:
        """How many syncs that are so far apart begin in it, the first one included."""
        return max(1, math.ceil(self.step_s / every_s - _GUARD))


def reach(
    rules: HpaScalingRules,
    span: SyncSpan,
    replicas: FloatArray,
    changes: Sequence[HpaEvent],
    *,
    until: FloatArray,
    sign: Literal[1, -1],
) -> FloatArray:
    """Farthest count that `rules` permit in the direction of `sign`.

    Args:
        rules: Of that direction.
        span: What the sync stands for.
        replicas: Current spec.
        changes: Scale events before it.
        until: Bound that is applied later: nothing beyond it is of interest.
        sign: 1 up, -1 down.
    """
    if rules.select == "Disabled" or not rules.policies:
        return replicas
    every_s = min(policy.period_s for policy in rules.policies)
    events = tuple(changes)
    for sync in range(span.n_syncs(every_s)):
        at_s = span.start_s + sync * every_s
        further = _reach_at(rules, at_s, replicas, events, sign)
        events = (*events, HpaEvent(at_s, further - replicas))
        replicas = further
        if np.all(sign * replicas >= sign * until):
            break
    return replicas


def _reach_at(
    rules: HpaScalingRules,
    at_s: float,
    replicas: FloatArray,
    changes: Sequence[HpaEvent],
    sign: int,
) -> FloatArray:
    """Farthest count that one sync may go to."""
    limits = []
    for policy in rules.policies:
        since_s = at_s - policy.period_s
        start = replicas - _changed_within(changes, since_s, 1)
        start = start + _changed_within(changes, since_s, -1)
        if policy.kind == "Pods":
            limits.append(start + sign * policy.value)
        elif sign > 0:
            limits.append(np.ceil(start * (1.0 + policy.value / 100.0) - _GUARD))
        else:
            limits.append(np.trunc(start * (1.0 - policy.value / 100.0) + _GUARD))
    farthest = np.maximum if (sign > 0) == (rules.select == "Max") else np.minimum
    limit: FloatArray = reduce(farthest, limits)
    return np.maximum(limit, replicas) if sign > 0 else np.minimum(limit, replicas)


def _changed_within(changes: Sequence[HpaEvent], since_s: float, sign: int) -> FloatArray | float:
    recent = [np.maximum(sign * one.counts, 0.0) for one in newer(changes, since_s)]
    return reduce(np.add, recent) if recent else 0.0


def newer(events: Sequence[HpaEvent], after_s: float) -> tuple[HpaEvent, ...]:
    """The events after a time."""
    return tuple(event for event in events if event.at_s > after_s)
