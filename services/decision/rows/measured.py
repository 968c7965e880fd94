"""What was measured of the requests of finished steps; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from decider import MINUTE_S, FloatArray, SliSteps, count_misses, promised_violation
from services.decision.rows.members import ShardMember
from services.decision.rows.sli_series import SliGrid, goal_counts, to_series
from services.decision.rows.sli_status import SliStanding, demand_censored, standing
from services.decision.rows.waiting import RequestQueue, queue_of
from services.kernel.domain.objective import WAITING

_MARGIN_STEPS = 2


@dataclass(frozen=True, slots=True)
class StepSli:
    """What requests of one step felt; all of it known.

    Attributes:
        requests: Requests of the step.
        miss_low: Least share of them that missed a goal.
        miss_high: The share that decides: estimated where a threshold lies between two bucket
            edges, else the largest.
        violation_ratio: Violation of the promise, in [0, 1], by that share.
        curable_ratio: What would be left of it without the share that misses at any load.
        low_violation_ratio: Violation by the least share.
        low_requests: Requests that the least share is of.
        high_requests: Requests that the share that decides is of.
        most_violation_ratio: Violation by the largest share.
        most_requests: Requests that the largest share is of.
    """

    requests: float
    miss_low: float
    miss_high: float
    violation_ratio: float
    curable_ratio: float
    low_violation_ratio: float
    low_requests: float
    high_requests: float
    most_violation_ratio: float
    most_requests: float


@dataclass(frozen=True, slots=True)
class MeasuredSli:
    """What was measured of one workload.

    Attributes:
        standing: How its objective stands.
        steps: Known steps by start (epoch seconds).
        queue: Requests that wait; None: there are none, or it is not known.
    """

    standing: SliStanding
    steps: Mapping[float, StepSli] = field(default_factory=dict)
    queue: RequestQueue | None = None


def open_steps(step_s: float, late_s: float) -> int:
    """Newest steps that may still change: until `late_s` and a step after their (minute's) end."""
    wait_s = late_s if step_s >= MINUTE_S else late_s + MINUTE_S
    return math.ceil(wait_s / step_s) + _MARGIN_STEPS


def measure(
    member: ShardMember,
    sampled: Mapping[str, tuple[FloatArray, FloatArray]],
    grid: SliGrid,
    was_measured: bool,
    floor: float = 0.0,
) -> MeasuredSli:
    """Measure a workload's steps; one without an objective is not measured.

    Args:
        member: The workload.
        sampled: Step starts (epoch seconds) and values of the objective's series by name.
        grid: The steps to measure; the more there are, the better small ones are judged.
        was_measured: The workload has been measured before.
        floor: Share of requests that misses at any load: no replica cures it.
    """
    sla = member.spec.sla
    if sla.objective is None:
        return MeasuredSli(
            SliStanding(
                "NoObjective",
                "no objective is set: violations are what the believed capacity says. Set "
                "sla.objective to what requests are to feel",
                demand_censored(member.spec, np.zeros(0)),
            )
        )
    series = to_series(sla.objective, sampled, grid, was_measured)
    found = goal_counts(sla.objective, series)
    if found.counts is None:
        return MeasuredSli(standing(member.spec, series, found, None))
    steps = count_misses(found.counts)
    most = count_misses(replace(found.counts, likely=()))  # no estimate: the sure upper end
    starts_s = grid.starts_s
    least = replace(steps, miss_high=steps.miss_low)
    violation, curable, by_least, by_most = (
        promised_violation(each, sla.kind, sla.objective.share, grid.step_s, float(starts_s[0]))
        for each in (steps, without_floor(steps, floor), least, most)
    )
    low_requests, high_requests, most_requests = (
        each.requests if n is None else n
        for each, n in (
            (steps, steps.low_requests),
            (steps, steps.high_requests),
            (most, most.high_requests),
        )
    )
    columns = (
        *(steps.requests, steps.miss_low, steps.miss_high, violation, curable, by_least),
        *(low_requests, high_requests, by_most, most_requests),
    )
    known = {
        float(starts_s[t]): StepSli(*(float(column[t]) for column in columns))
        for t in np.flatnonzero(np.isfinite(violation))
    }
    # Tokens are no requests: of goals that count nothing else, what a request is is not known.
    is_counted = bool(found.counts.is_of_requests.any())
    queue = queue_of(series.of(WAITING), steps, starts_s) if is_counted else None
    return MeasuredSli(standing(member.spec, series, found, steps), known, queue)


def without_floor(steps: SliSteps, floor: float) -> SliSteps:
    """Misses that replicas can cure, of the requests that the floor leaves.

    Args:
        steps: What was measured.
        floor: Share that misses at any load, in [0, 1).
    """
    low, high = (
        np.maximum(0.0, (share - floor) / (1.0 - floor))
        for share in (steps.miss_low, steps.miss_high)
    )
    return replace(steps, miss_low=low, miss_high=high)
