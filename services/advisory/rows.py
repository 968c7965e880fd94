"""Rows of a workload's window as arrays on the grid of its steps; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from services.advisory.counterfactual import StoredSteps
from services.advisory.replica_gpus import ReplicaGpus
from services.kernel.clock import floor_step
from services.simulator.fleet.arrays import BoolArray, FloatArray

OWN = frozenset({"applied", "unchanged", "delegated"})
"""Results of actions by which Harmony, or who follows it, had the count that was decided."""
_THEIRS = frozenset({"advisory", "conflict"})
"""Results by which nobody who follows Harmony scaled the target."""
_SCALES = re.compile(r"(\S+) scales the (?:same )?target")
"""How the operator's actions name another autoscaler of a target."""
_OUTCOME_COLUMNS = {
    "cost_usd": "cost_usd",
    "gpu_hours": "gpu_hours",
    "ready": "ready_mean",
    "needed": "needed_replicas",
    "believed": "violation_ratio",
    "measured": "measured_violation_ratio",
    "requests": "sli_requests",
    "missed": "sli_miss_high",
}

Row = RowMapping | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Steps of a window: `n` of `step_s` seconds from `start_s`, epoch seconds."""

    start_s: float
    step_s: float
    n: int

    @property
    def from_at(self) -> datetime:
        """Start of the first step."""
        return datetime.fromtimestamp(self.start_s, UTC)

    @property
    def to_at(self) -> datetime:
        """End of the last step."""
        return datetime.fromtimestamp(self.start_s + self.n * self.step_s, UTC)

    def place(self, at: datetime) -> int:
        """Number of the step that begins at `at`; it may lie outside."""
        return round((at.timestamp() - self.start_s) / self.step_s)


def grid_until(now: datetime, since: timedelta, step_s: int) -> WindowGrid:
    """The complete steps of the time before `now`, at least one."""
    n = max(1, math.ceil(since.total_seconds() / step_s))
    return WindowGrid(floor_step(now, step_s).timestamp() - n * step_s, float(step_s), n)


def is_there(
    grid: WindowGrid, created_at: datetime, absences: Sequence[tuple[datetime, datetime]]
) -> BoolArray:
    """(T,) the workload was there for all of the step; as showback has it.

    Args:
        grid: The steps.
        created_at: When it came first.
        absences: When it left, and when it was back.
    """
    starts_s = grid.start_s + grid.step_s * np.arange(grid.n)
    ends_s = starts_s + grid.step_s
    found = starts_s >= created_at.timestamp()
    for left_at, back_at in absences:
        found &= (ends_s <= left_at.timestamp()) | (starts_s >= back_at.timestamp())
    return found


def to_steps(
    grid: WindowGrid, outcomes: Sequence[Row], decisions: Sequence[Row], gpus: ReplicaGpus
) -> StoredSteps:
    """What is stored of a window.

    A decision is in force from the step after its origin, or where it came late from the step in
    which it came, through the steps that end before it runs out; a newer one replaces it.

    Args:
        grid: The steps.
        outcomes: Their outcomes, oldest first; those of steps of another length are left out: what
            they cost is not what a step of the grid did.
        decisions: Decisions by origin, each with its newest action.
        gpus: What is stored of the GPUs of a replica.
    """
    columns = {name: np.full(grid.n, np.nan) for name in _OUTCOME_COLUMNS}
    for row in _of_grid(grid, outcomes):
        for name, column in _OUTCOME_COLUMNS.items():
            if row[column] is not None:
                columns[name][grid.place(row["step_at"])] = row[column]
    desired, raw, found = (np.full(grid.n, np.nan) for _ in range(3))
    is_own = np.zeros(grid.n, dtype=bool)
    for row in decisions:
        steps = _in_force(grid, row)
        desired[steps], raw[steps] = row["desired_replicas"], row["raw_replicas"]
        found[steps], is_own[steps] = row["current_replicas"], row["result"] in OWN
    held = gpus.of_steps(grid.start_s, grid.step_s, columns.pop("ready"), columns["gpu_hours"])
    decided = {"desired": desired, "raw": raw, "ran": found, "is_own": is_own}
    return StoredSteps(grid.start_s, grid.step_s, **columns, gpus=held, **decided)


def _of_grid(grid: WindowGrid, outcomes: Sequence[Row]) -> list[Row]:
    """Outcomes of steps of the grid's length; no row says how long its step was.

    A step ends where the next one begins: those were shorter between which there is less than a
    step, and longer where three and more lie further apart by the same.
    """
    at_s = np.array([row["step_at"].timestamp() - grid.start_s for row in outcomes])
    is_other = at_s % grid.step_s != 0
    apart_s = np.diff(at_s)
    for place in np.flatnonzero(apart_s < grid.step_s):
        is_other[place : place + 2] = True
    for place in np.flatnonzero((apart_s[1:] == apart_s[:-1]) & (apart_s[1:] > grid.step_s)):
        is_other[place : place + 3] = True
    return [row for row, other in zip(outcomes, is_other, strict=True) if not other]


def _in_force(grid: WindowGrid, decision: Row) -> slice:
    """Steps in which a decision is in force, if no newer one is."""
    came_at = floor_step(decision["decided_at"], round(grid.step_s))
    first = max(grid.place(decision["origin_at"]) + 1, grid.place(came_at))
    left_s = decision["valid_until"].timestamp() - grid.start_s
    return slice(max(0, first), max(0, min(grid.n, math.floor(left_s / grid.step_s))))


def is_own_now(decisions: Sequence[Row]) -> bool:
    """True where Harmony, or who follows it, scales the workload by the newest action that tells.

    In mode Advisory that is a follower, or Harmony itself for a step after the mode was changed.

    Args:
        decisions: Decisions by origin, each with its newest action.
    """
    told = (row["result"] for row in reversed(decisions) if row["result"] in OWN | _THEIRS)
    return next(told, "") in OWN


def scaled_by(decisions: Sequence[Row], counts: tuple[int, int] | None) -> str:
    """Who scaled the workload, as far as the rows tell.

    Args:
        decisions: Decisions with their newest actions.
        counts: Fewest and most replicas that were asked for; None: not known.
    """
    for row in reversed(decisions):
        named = _SCALES.search(row["reason"] or "")
        if named is not None:
            return named[1]
    if counts is None:
        return "not known"
    low, high = counts
    return f"nobody: fixed at {low}" if low == high else f"not told by whom: {low} to {high}"


@dataclass(frozen=True, slots=True, eq=False)
class StartLaw:
    """Start-up times to replay with.

    Attributes:
        lead_s: (N,) seconds each; later starts use them again.
        words: Where they come from.
    """

    lead_s: FloatArray
    words: str


@dataclass(frozen=True, slots=True)
class SeenStart:
    """A start of the window.

    Attributes:
        seconds: From its request until it was ready, or until it was last seen without.
        is_ready: Whether it became ready.
    """

    seconds: float
    is_ready: bool


def start_law(seen: Sequence[SeenStart], stated: FloatArray, least: int) -> StartLaw:
    """Start-up times to replay with.

    A start that did not end takes as long as one of those that took longer than it was seen for,
    each in turn (redistribution to the right: Efron 1967); where none did, as long as it was seen.
    Without them slow starts, which are cut off most, would be missing.

    Args:
        seen: Those of the window, in their order.
        stated: (N,) drawn from what the spec states.
        least: So many that became ready are enough.
    """
    ready = np.sort([one.seconds for one in seen if one.is_ready])
    if ready.size < least:
        return StartLaw(stated, f"start-up times as stated ({ready.size} were measured)")
    times: list[float] = []
    n_open = 0
    for one in seen:
        longer = ready[np.searchsorted(ready, one.seconds, side="right") :]
        if one.is_ready or not longer.size:
            times.append(one.seconds)
        else:
            times.append(float(longer[n_open % longer.size]))
        n_open += not one.is_ready
    beside = f", {n_open} starts that did not end beside them" if n_open else ""
    words = f"{ready.size} measured start-up times{beside}"
    return StartLaw(np.resize(np.array(times), stated.size), words)
