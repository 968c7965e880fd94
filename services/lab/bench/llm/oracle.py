"""A schedule that knows all requests, and what each count of workers came to in each minute.

It is searched on the engine itself: from runs so far it reads, minute by minute, how many requests
missed at how many workers; takes the schedule that loses least for its GPU-hours; runs that; and
looks again. Minutes are taken one by one, which queues between them are not: it is a ceiling of
what a forecast could win, no proven optimum.

Where prefill and decode have workers of their own, each pool has its schedule, for what is missed
of its own goal; both are bought at one price of a miss. A request that misses both counts twice.

Shapes: M minutes, C counts of workers, from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.lab.arena.requests import FloatArray, IntArray
from services.lab.bench.llm.score import MINUTE_S, RunMinutes

Schedule = Mapping[str, IntArray]
"""(M,) workers ready in each minute, by pool."""
RunSchedule = Callable[[Schedule], RunMinutes]
"""Runs a schedule on the engine."""
_BISECTIONS = 40
_CHEAP_MISS, _DEAR_MISS = -6.0, 14.0
"""Logarithms of the GPU-seconds that one miss is worth: the range that is searched."""
_STEP = (0.4, 2.5)
"""What is asked for changes between two tries by such a factor at most: one queue is no trend."""
_PRIOR_SLOPE = 8.0
"""Of missed requests in the workers, in logarithms, outside of what was seen."""


@dataclass(frozen=True, slots=True, eq=False)
class TriedSchedule:
    """A schedule that was run.

    Attributes:
        counts: (M,) workers ready in each minute, by pool.
        minutes: What came of it.
    """

    counts: Schedule
    minutes: RunMinutes


@dataclass(frozen=True, slots=True)
class OracleGoal:
    """What is looked for.

    Attributes:
        goodput: Share of requests that are to meet both goals.
        startup_s: Seconds that a worker holds its GPU before it is ready.
        most: Workers that there are at most.
        first_minute: The first that is scored.
        n_tries: Schedules that are run for it.
    """

    goodput: float
    startup_s: float
    most: int
    first_minute: int
    n_tries: int = 3


def expected_missed(tried: Sequence[TriedSchedule], pool: str, most: int) -> FloatArray:
    """(M, C) requests of each minute expected to miss with each count, never rising in the count.

    Of what the pool's workers keep.

    Between counts that were seen the logarithm is interpolated; beyond them it falls steeply.
    """
    n_minutes = tried[0].counts[pool].size
    log_counts = np.log(np.arange(1, most + 1))
    found = np.empty((n_minutes, most))
    for minute in range(n_minutes):
        seen: dict[int, list[float]] = {}
        for one in tried:
            n_missed = int(one.minutes.missed[pool][minute])
            # The last runs are nearest to where the search ends: they count more.
            seen.setdefault(int(one.counts[pool][minute]), []).append(n_missed + 0.01)
        counts = np.array(sorted(seen))
        missed = np.array([np.average(seen[c], weights=_newer(len(seen[c]))) for c in counts])
        logs = np.minimum.accumulate(np.log(missed))
        at = np.log(counts)
        row = np.interp(log_counts, at, logs)
        row = np.where(log_counts > at[-1], logs[-1] - _PRIOR_SLOPE * (log_counts - at[-1]), row)
        row = np.where(log_counts < at[0], logs[0] + _PRIOR_SLOPE * (at[0] - log_counts), row)
        found[minute] = np.minimum(np.exp(row), tried[0].minutes.requests[minute])
    return found


def cheapest_schedule(
    missed: Mapping[str, FloatArray], goal: OracleGoal, allowed: float
) -> Schedule:
    """Counts that hold the fewest GPU-seconds while the expected misses are allowed.

    A worker that is added also holds its GPU while it starts. The price of a miss is bisected;
    for each the schedule is found by dynamic programming.

    Args:
        missed: (M, C) expected misses with each count, by pool.
        goal: What is looked for.
        allowed: Requests that may miss.
    """
    low, high = _CHEAP_MISS, _DEAR_MISS

    def at(log_price: float) -> Schedule:
        price = float(np.exp(log_price))
        return {pool: _schedule(own, goal.startup_s, price) for pool, own in missed.items()}

    best = at(high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        counts = at(middle)
        each = sum(own[np.arange(own.shape[0]), counts[pool] - 1] for pool, own in missed.items())
        if np.asarray(each)[goal.first_minute :].sum() <= allowed:
            high, best = middle, counts
        else:
            low = middle
    return best


def _schedule(missed: FloatArray, startup_s: float, price: float) -> IntArray:
    n_minutes, n_counts = missed.shape
    counts = np.arange(1, n_counts + 1, dtype=np.float64)
    added = np.maximum(counts[None, :] - counts[:, None], 0.0) * startup_s
    cost = counts * MINUTE_S + price * missed[0]
    before = np.zeros((n_minutes, n_counts), np.int64)
    for minute in range(1, n_minutes):
        whole = cost[:, None] + added
        before[minute] = whole.argmin(axis=0)
        cost = whole.min(axis=0) + counts * MINUTE_S + price * missed[minute]
    found = np.empty(n_minutes, np.int64)
    found[-1] = int(cost.argmin())
    for minute in range(n_minutes - 1, 0, -1):
        found[minute - 1] = before[minute, found[minute]]
    return found + 1


def _newer(n: int) -> FloatArray:
    return np.power(2.0, np.arange(n, dtype=np.float64))


def search_schedules(
    first: Sequence[TriedSchedule], run: RunSchedule, goal: OracleGoal
) -> tuple[TriedSchedule, ...]:
    """Schedules tried for a goodput, each from all before it.

    Args:
        first: Runs to start from.
        run: Runs a schedule on the engine.
        goal: What is looked for.
    """
    part = slice(goal.first_minute, None)
    allowed = (1.0 - goal.goodput) * float(first[0].minutes.requests[part].sum())
    tried, asked = list(first), allowed
    for _ in range(goal.n_tries):
        expected = {pool: expected_missed(tried, pool, goal.most) for pool in first[0].counts}
        counts = cheapest_schedule(expected, goal, asked)
        minutes = run(counts)
        tried.append(TriedSchedule(counts, minutes))
        missed = float((minutes.requests - minutes.good)[part].sum())
        # What is expected and what comes differ by queues: ask for what will come to the goal.
        asked *= float(np.clip(allowed / max(missed, 1.0), *_STEP))
    return tuple(tried[len(first) :])
