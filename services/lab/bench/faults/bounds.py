"""What the watcher saw against what was allowed: limits, rates, the GPU budget. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.lab.bench.faults.fleet import FaultFleet, FleetMember
from services.lab.bench.faults.outside.scale_log import SeenScale


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold.

    Attributes:
        invariant: Which one: the field of the report that counts it.
        text: Where, when and how.
    """

    invariant: str
    text: str


@dataclass(frozen=True, slots=True)
class ScaleChange:
    """A change of the replicas that a Deployment's spec asks for."""

    at: datetime
    key: str
    before: int
    after: int


def changes(seen: Sequence[SeenScale]) -> list[ScaleChange]:
    """Changes in the cluster's order; what was there at the beginning is none."""
    known: dict[str, int] = {}
    found = []
    for one in seen:
        before = known.get(one.key, one.replicas)
        if before != one.replicas:
            found.append(ScaleChange(one.at, one.key, before, one.replicas))
        known[one.key] = one.replicas
    return found


def check_bounds(
    fleet: FaultFleet, seen: Sequence[SeenScale], tolerance_s: float
) -> list[Violation]:
    """Every moment at which replicas were where they may not be.

    Args:
        fleet: What is allowed.
        seen: All that the watcher saw.
        tolerance_s: Seconds by which the period of a rate limit may be felt shorter: what clocks
            that agree may differ by, and what the watcher may be late by.
    """
    members = {one.key: one for one in fleet.members}
    known = [one for one in seen if one.key in members]
    return [
        *_check_limits(members, known),
        *_check_rates(members, changes(known), tolerance_s),
        *_check_budget(fleet, known),
    ]


def _check_limits(members: dict[str, FleetMember], seen: Sequence[SeenScale]) -> list[Violation]:
    found = []
    for one in seen:
        member = members[one.key]
        low, high = member.min_replicas, member.max_replicas
        if not low <= one.replicas <= high:
            how = "zero unasked" if one.replicas == 0 else f"outside {low} to {high}"
            text = f"{one.key} at {one.at:%H:%M:%S}: {one.replicas} replicas, {how}"
            found.append(Violation("out_of_bounds", text))
    return found


def _check_rates(
    members: dict[str, FleetMember], moves: Sequence[ScaleChange], tolerance_s: float
) -> list[Violation]:
    """Rises against rate limits, as `HorizontalPodAutoscaler` counts them: by where a period began.

    A rise is wrong where it is for every beginning that may have been seen. Falls are left out:
    they yield to the budget.
    """
    courses: dict[str, list[ScaleChange]] = defaultdict(list)
    found = []
    for move in moves:
        rate, course = members[move.key].rate, courses[move.key]
        course.append(move)
        if rate is None or move.after < move.before:
            continue
        slack, period = timedelta(seconds=tolerance_s), timedelta(seconds=rate.period_s)
        start = _most_between(course, move.at - period - slack, move.at - period + slack)
        if move.after - start > rate.pods:
            text = (
                f"{move.key} at {move.at:%H:%M:%S}: {start} to {move.after} within about "
                f"{rate.period_s} s; allowed are {rate.pods}"
            )
            found.append(Violation("out_of_bounds", text))
    return found


def _most_between(course: Sequence[ScaleChange], first: datetime, last: datetime) -> int:
    """Most replicas that a target had at any moment of a stretch of time."""
    most = course[0].before
    for one in course:
        if one.at <= first:
            most = one.after
        elif one.at <= last:
            most = max(most, one.after)
    return most


def _check_budget(fleet: FaultFleet, seen: Sequence[SeenScale]) -> list[Violation]:
    """Each time that the budget begins to be overrun; a target holds what it asks for or has."""
    budgeted = {one.key for one in fleet.budgeted()}
    held: dict[str, int] = {}
    found = []
    was_over = False
    for one in seen:
        if one.key not in budgeted:
            continue
        held[one.key] = max(one.replicas, one.pods)
        total = sum(held.values())
        if total > fleet.budget_gpus and not was_over:
            text = f"{one.key} at {one.at:%H:%M:%S}: {total} GPUs of {fleet.budget_gpus} are held"
            found.append(Violation("out_of_bounds", text))
        was_over = total > fleet.budget_gpus
    return found
