"""Series of an objective: on the grid of steps, and as counts of its goals; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decider import EdgeCounts, EdgeGap, FloatArray, SliCounts, met_between
from services.kernel.domain.objective import (
    GAUGES,
    LOST,
    WAITING,
    GoalSpec,
    ObjectiveSpec,
    good_name,
    sum_name,
    total_name,
    upto_name,
)


@dataclass(frozen=True, slots=True)
class SliGrid:
    """The steps that are measured: `n_steps` of `step_s` seconds, the last from `last_s`."""

    last_s: float
    step_s: float
    n_steps: int

    @property
    def starts_s(self) -> FloatArray:
        """(T,) step starts, epoch seconds."""
        return self.last_s + self.step_s * np.arange(1.0 - self.n_steps, 1.0)


@dataclass(frozen=True, slots=True)
class SliSeries:
    """Series of one workload's objective over T steps.

    Attributes:
        grid: The steps.
        values: By name, (T,) counts of each step; of gauges their mean. NaN: unknown.
        expected: Names of the series that must have values.
    """

    grid: SliGrid
    values: Mapping[str, FloatArray]
    expected: frozenset[str]

    def of(self, name: str) -> FloatArray:
        """(T,) values; unknown where there is no such series."""
        found = self.values.get(name)
        return np.full(self.grid.n_steps, np.nan) if found is None else found

    def is_there(self, name: str) -> bool:
        """Check whether the series exists, answering or not."""
        return name in self.expected or bool(np.isfinite(self.of(name)).any())


@dataclass(frozen=True, slots=True)
class GoalCounts:
    """The goals that are counted, and why others are not.

    Attributes:
        counts: Counts of the goals that are; None where none is.
        goals: These goals, in order.
        missing: Series without which the others are not counted.
    """

    counts: SliCounts | None
    goals: tuple[GoalSpec, ...]
    missing: tuple[str, ...]


def to_series(
    objective: ObjectiveSpec,
    sampled: Mapping[str, tuple[FloatArray, FloatArray]],
    grid: SliGrid,
    was_measured: bool,
) -> SliSeries:
    """What was observed, as counts of each step.

    Args:
        objective: The objective.
        sampled: Step starts (epoch seconds) and values per second by name.
        grid: The steps.
        was_measured: The workload has been measured before: pushed series are expected back.
    """
    values = {}
    for name, (at_s, rates) in sampled.items():
        found = np.full(grid.n_steps, np.nan)
        at = np.round((at_s - grid.starts_s[0]) / grid.step_s).astype(np.int64)
        inside = (at >= 0) & (at < grid.n_steps)
        found[at[inside]] = rates[inside] * (1.0 if name in GAUGES else grid.step_s)
        values[name] = np.where(np.isfinite(found), found, np.nan)
    expected = frozenset(one.name for one in objective.series if one.query or was_measured)
    return SliSeries(grid, values, expected)


def goal_counts(objective: ObjectiveSpec, series: SliSeries) -> GoalCounts:
    """Counts of the goals whose series are there; errors are counted by what was lost."""
    needed = {goal: needed_names(goal) for goal in objective.goals}
    missing = [n for names in needed.values() for n in names if not series.is_there(n)]
    goals = tuple(goal for goal, names in needed.items() if not set(names) & set(missing))
    counts = _to_counts(goals, series, _gaps(objective)) if goals else None
    return GoalCounts(counts, goals, tuple(dict.fromkeys(missing)))


def needed_names(goal: GoalSpec) -> tuple[str, str]:
    """Series without which a goal is not counted."""
    metric = goal.metric
    return total_name(metric), LOST if metric == "errors" else good_name(metric)


def _gaps(objective: ObjectiveSpec) -> dict[GoalSpec, EdgeGap]:
    """Of the goals whose threshold lies between two bucket edges that are told, these edges."""
    edges_s = {one.name: one.edge_s for one in objective.series}
    found = {}
    for goal in objective.goals:
        below_s = edges_s.get(good_name(goal.metric))
        above_s = edges_s.get(upto_name(goal.metric))
        if below_s is None or above_s is None or goal.threshold_s is None:
            continue
        if below_s < goal.threshold_s < above_s:
            found[goal] = EdgeGap(below_s, goal.threshold_s, above_s)
    return found


def _to_counts(
    goals: Sequence[GoalSpec], series: SliSeries, gaps: Mapping[GoalSpec, EdgeGap]
) -> SliCounts:
    total = np.stack([series.of(total_name(goal.metric)) for goal in goals])
    good = np.stack([_good(goal, series) for goal in goals])
    upto = np.stack(
        [
            series.of(name) if series.is_there(name) else met
            for name, met in zip((upto_name(goal.metric) for goal in goals), good, strict=True)
        ]
    )
    is_of_requests = np.array([goal.metric != "itl" for goal in goals])
    likely = tuple(
        met_between(
            gaps[goal],
            EdgeCounts(total[row], good[row], upto[row], series.of(sum_name(goal.metric))),
        )
        if goal in gaps
        else None
        for row, goal in enumerate(goals)
    )
    return SliCounts(total, good, upto, is_of_requests, series.of(LOST), series.of(WAITING), likely)


def _good(goal: GoalSpec, series: SliSeries) -> FloatArray:
    """(T,) requests that met a goal; what was lost is counted beside the goals, not in one."""
    if goal.metric != "errors":
        return series.of(good_name(goal.metric))
    return np.where(np.isnan(series.of(LOST)), np.nan, series.of(total_name("errors")))
