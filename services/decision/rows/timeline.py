"""Replicas of one step from what was observed: snapshots, applied scalings, pods turning ready.

A snapshot holds the state at its time. Between snapshots, a scaling cuts at once (what is not
ready first) or binds new pods, and a pod turns ready at the time of its condition. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from decider import ReplicaInterval


@dataclass(frozen=True, slots=True)
class ReplicaEvent:
    """A change of the replicas, or a snapshot of them.

    Attributes:
        at_s: Epoch seconds.
        kind: `snapshot` (ready and bound are known), `scale` (spec set to `ready`), `ready` (one
            more pod serves).
        ready: Ready replicas, or the new spec for `scale`.
        bound: Replicas on a node.
    """

    at_s: float
    kind: Literal["snapshot", "scale", "ready"]
    ready: int = 0
    bound: int = 0


_RANK = {"ready": 0, "snapshot": 1, "scale": 2}


def step_intervals(
    events: Sequence[ReplicaEvent], start_s: float, end_s: float
) -> list[ReplicaInterval]:
    """Replicas over [start_s, end_s).

    Args:
        events: Events in any order; those before the step set its initial state.
        start_s: Step start.
        end_s: Step end.

    Returns:
        Intervals without gaps from the first moment at which the state is known; empty if the
        first snapshot is not before the step's end.
    """
    known = False
    ready = bound = 0
    since = start_s
    intervals: list[ReplicaInterval] = []
    for event in sorted(events, key=lambda e: (e.at_s, _RANK[e.kind])):
        if event.at_s >= end_s:
            break
        if not known and event.kind != "snapshot":
            continue
        at = max(event.at_s, start_s)
        if known and at > since:
            intervals.append(ReplicaInterval(since, at, ready, bound))
        since = at
        ready, bound = _after(event, ready, bound)
        known = True
    if known and end_s > since:
        intervals.append(ReplicaInterval(since, end_s, ready, bound))
    return intervals


def _after(event: ReplicaEvent, ready: int, bound: int) -> tuple[int, int]:
    if event.kind == "snapshot":
        return event.ready, event.bound
    if event.kind == "scale":
        return min(ready, event.ready), event.ready
    return min(ready + 1, bound), bound
