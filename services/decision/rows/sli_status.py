"""Whether an objective is measured and its demand censored, in words with the remedy; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from decider import FloatArray, SliSteps, contradictions
from services.decision.rows.sli_series import GoalCounts, SliSeries, needed_names
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.objective import (
    LOST,
    WAITING,
    good_name,
    total_name,
    upto_name,
)

Status = Literal["Measured", "NoObjective", "NoSeries", "NoAnswer", "NoRequests"]
N_NEWEST = 3
"""Newest steps that an answer is asked of."""
N_QUEUED = 10
"""Newest known steps that a queue is looked for in."""


@dataclass(frozen=True, slots=True)
class SliStanding:
    """How a workload's objective stands.

    Attributes:
        status: Whether it is measured, or why not.
        message: What is wrong and what to do; empty: nothing.
        demand_censored_message: The same where the demand, or a further load, is what was served
            while requests waited; empty: it is what arrived. None: not known.
    """

    status: Status
    message: str = ""
    demand_censored_message: str | None = ""


def standing(
    spec: WorkloadSpec, series: SliSeries, found: GoalCounts, steps: SliSteps | None
) -> SliStanding:
    """How the objective of a workload that has one stands.

    Args:
        spec: The workload.
        series: Series of its objective.
        found: Its goals' counts.
        steps: Their misses; None where no goal is counted.
    """
    status, message = _status(series, found, steps)
    return SliStanding(status, message, demand_censored(spec, series.of(WAITING)))


def demand_censored(spec: WorkloadSpec, waiting: FloatArray) -> str | None:
    """Why the demand or a further load is less than what was asked for.

    Empty: none is; None: not known.

    Args:
        spec: The workload.
        waiting: (T,) requests that waited in each step; NaN: unknown.
    """
    if not spec.served_loads:
        return ""
    known = waiting[np.isfinite(waiting)][-N_QUEUED:]
    if known.size == 0:
        return None
    queued = known[known > 0]
    if 2 * queued.size < known.size or queued.size == 0:
        return ""
    return (
        f"{_words_of(spec)} counts what was served while {queued.mean():.3g} requests waited "
        f"(in {queued.size} of the last {known.size} steps): more arrived than it says. Set it to "
        "a load as it arrives: a counter of arrivals (gateway, router), or an offered load of the "
        "preset (`harmony presets show`)"
    )


def _words_of(spec: WorkloadSpec) -> str:
    """The loads that count what was served, each named."""
    further = [name for name in spec.served_loads if name != spec.demand]
    words = [f"demand {spec.demand!r}"] if spec.demand_counts == "served" else []
    return ", ".join(words + [f"further load {name!r}" for name in further])


def _status(series: SliSeries, found: GoalCounts, steps: SliSteps | None) -> tuple[Status, str]:
    if found.counts is None or steps is None:
        return "NoSeries", (
            f"the objective has no series to be counted with ({_listed(found.missing)}): push "
            "them, give their queries, or set indicatorsFrom to the program's preset"
        )
    flaws = _flaws(series, found)
    known = np.isfinite(steps.miss_high[-N_NEWEST:])
    if not known.any():
        return "NoAnswer", flaws or _silent_series(series, found)
    if not (steps.requests[-N_NEWEST:][known] > 0).any():
        return "NoRequests", flaws or f"no request in the last {known.size} steps, none waiting"
    return "Measured", "; ".join(part for part in (flaws, _gaps(series, found)) if part)


def _gaps(series: SliSeries, found: GoalCounts) -> str:
    """What a measured objective leaves out."""
    parts = []
    if found.missing:
        parts.append(f"goals without {_listed(found.missing)} are not measured: add the series")
    if series.is_there(LOST) and np.isnan(series.of(LOST)[-N_NEWEST:]).all():
        parts.append(f"{LOST} does not answer: requests that were lost are not counted")
    return "; ".join(parts)


def _silent_series(series: SliSeries, found: GoalCounts) -> str:
    """Which series do not answer, and since when."""
    names = dict.fromkeys(name for goal in found.goals for name in needed_names(goal))
    silent = [n for n in names if np.isnan(series.of(n)[-N_NEWEST:]).any()]
    known_at = [_last_known(series, name) for name in silent]
    told = [f"{name} ({at})" for name, at in zip(silent, known_at, strict=True)]
    return (
        f"no answer of {_listed(told)}: check the query, or what pushes it; a query whose counter "
        "begins with the first event must give 0 before it"
    )


def _last_known(series: SliSeries, name: str) -> str:
    known = np.flatnonzero(np.isfinite(series.of(name)))
    starts_s = series.grid.starts_s
    at_s = starts_s[known[-1]] + series.grid.step_s if known.size else starts_s[0]
    word = "last known at" if known.size else "not known since"
    return f"{word} {datetime.fromtimestamp(float(at_s), UTC):%Y-%m-%d %H:%M:%S} UTC"


def _flaws(series: SliSeries, found: GoalCounts) -> str:
    """Series whose newest values cannot be true; empty where all can."""
    parts = [
        f"{name} is negative"
        for name in series.values
        if (np.nan_to_num(series.of(name)[-N_NEWEST:]) < 0).any()
    ]
    if found.counts is not None and not parts:
        wrong = np.asarray(contradictions(found.counts)[:, -N_NEWEST:].any(axis=1)).tolist()
        for goal, is_wrong in zip(found.goals, wrong, strict=True):
            names = total_name(goal.metric), good_name(goal.metric), upto_name(goal.metric)
            given = [name for name in names[1:] if name in series.values]
            if is_wrong:
                parts.append(f"{_listed(given)} and {names[0]} contradict each other")
    if not parts:
        return ""
    return (
        "; ".join(parts) + ": steps with such values are unknown; let all of a goal's series count "
        "the same requests over exactly one step"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
