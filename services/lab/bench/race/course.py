"""The course of a race: a decision benchmark's task with the demand of its sub-steps.

Shapes: W workloads, C steps of history, T steps of prelude and test, n sub-steps of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forecaster.types import Series
from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.bench.decide.task import (
    DecideOptions,
    DecideTask,
    make_decide_task,
    steps_of,
)
from services.lab.bench.forecast.task import BenchTask
from services.lab.bench.race.bridge import Bridge, bridged
from services.simulator.course import Course
from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.native_run import mean_known_part

WARM_UP, TUNING, FIRST_COUNTED = 0, 1, 2
"""Blocks: what is not scored, what settings are chosen on, and the first that is counted."""


@dataclass(frozen=True, slots=True)
class RaceGrid:
    """The lengths of time of a race.

    Attributes:
        sub_s: Seconds of a sub-step: demand is constant within one.
        per_step: Sub-steps of a step of Harmony's forecasts and plans.
        bridge: How the trace's steps were divided.
    """

    sub_s: float
    per_step: int
    bridge: Bridge = Bridge.NONE

    @property
    def step_s(self) -> float:
        """Seconds of a step."""
        return self.sub_s * self.per_step


@dataclass(frozen=True, slots=True)
class RaceTask:
    """A race's data at one lead time.

    Attributes:
        decide: Harmony's view: steps, split and scale.
        course: What happens, in sub-steps.
        grid: Their lengths.
        lead_s: Seconds that a start takes.
        seed: Of the bridge.
    """

    decide: DecideTask
    course: Course
    grid: RaceGrid
    lead_s: float
    seed: int

    def blocks(self, first_step: int, n_per_block: int) -> IntArray:
        """(T * n,) block of each sub-step: warm-up, tuning, and blocks of `n_per_block` steps.

        Args:
            first_step: Step of the prelude from which settings are chosen.
            n_per_block: Steps of a counted block.
        """
        step = np.arange(self.course.n_steps) // self.grid.per_step
        counted = FIRST_COUNTED + (step - self.decide.n_prelude) // n_per_block
        early = np.where(step < first_step, WARM_UP, TUNING)
        return np.where(step < self.decide.n_prelude, early, counted)


def race_grid(trace_step_s: float, step_s: float, sub_s: float, bridge: Bridge) -> RaceGrid:
    """Lengths that fit a trace.

    A trace with steps of at most a minute is raced as it is, and Harmony's steps may be several of
    its own; a coarser one is bridged to sub-steps.

    Raises:
        InvalidInput: If the lengths are no multiples of each other.
    """
    is_bridged = bridge is not Bridge.NONE
    fine_s = sub_s if is_bridged else trace_step_s
    own_s = trace_step_s if is_bridged else step_s
    per_step = round(own_s / fine_s)
    if per_step < 1 or abs(per_step * fine_s - own_s) > 1e-6:
        raise InvalidInput(f"a step of {own_s:g} s must be a multiple of {fine_s:g} s")
    return RaceGrid(fine_s, per_step, bridge)


def coarser(task: BenchTask, n: int) -> BenchTask:
    """The same data in steps `n` times as long: means of what was observed."""
    if n == 1:
        return task
    series = tuple(_coarse(one, n) for one in task.series)
    ends = tuple(max(1, end // n) for end in task.train_ends)
    stops = tuple(max(2, stop // n) for stop in task.validation_ends)
    return replace(task, series=series, train_ends=ends, validation_ends=stops)


def _coarse(series: Series, n: int) -> Series:
    first = _offset(series, n)
    n_steps = (series.n_steps - first) // n
    cut = slice(first, first + n_steps * n)
    values = np.where(series.observed[cut], series.values[cut].astype(float), np.nan)
    parts = values.reshape(n_steps, n, -1).transpose(0, 2, 1)
    means = mean_known_part(parts)
    return replace(
        series,
        values=np.nan_to_num(means).astype(np.float32),
        observed=np.isfinite(means),
        start_s=series.start_s + first * series.step_s,
        step_s=series.step_s * n,
    )


def _offset(series: Series, n: int) -> int:
    """Steps before the first step of the coarser grid."""
    return (-(series.start_s // series.step_s)) % n


def make_race_task(
    trace: BenchTask, grid: RaceGrid, lead_s: float, options: DecideOptions, seed: int
) -> RaceTask:
    """Split and scale as a decision benchmark does, and lay the sub-steps beneath it.

    Args:
        trace: At the trace's own steps.
        grid: Lengths.
        lead_s: Seconds that a start takes.
        options: How a trace becomes a benchmark; its lead time is replaced.
        seed: Of the bridge.
    """
    is_bridged = grid.bridge is not Bridge.NONE
    harmony = trace if is_bridged else coarser(trace, grid.per_step)
    options = replace(options, lead_median_steps=lead_s / grid.step_s)
    task = make_decide_task(harmony, options)
    own = task.course
    if is_bridged:
        rng = make_rng(seed, "bench", "race", str(grid.bridge))
        means = np.concatenate([own.history, own.demand], axis=1)
        fine = bridged(means, grid.per_step, grid.bridge, own.history.shape[1], rng)
    else:
        fine = _fine_demand(trace, task, grid.per_step)
    n_before = own.history.shape[1] * grid.per_step
    course = replace(
        own,
        history=fine[:, :n_before],
        demand=fine[:, n_before:],
        is_live=np.repeat(own.is_live, grid.per_step, axis=1),
        capacity_factor=np.repeat(own.capacity_factor, grid.per_step, axis=1),
        lead_s=np.full((own.n_workloads, 1), lead_s),
        step_s=grid.sub_s,
    )
    return RaceTask(task, course, grid, lead_s, seed)


def _fine_demand(trace: BenchTask, task: DecideTask, n: int) -> FloatArray:
    """(W, (C + T) * n) the trace's own demand under the steps of the task, in GPUs."""
    own = task.course
    n_before = own.history.shape[1]
    n_steps = n_before + own.n_steps
    rows = []
    for w, (series, stop) in enumerate(
        zip(trace.series, task.forecast.validation_ends, strict=True)
    ):
        first = (stop - task.n_prelude - n_before) * n + (_offset(series, n) if n > 1 else 0)
        fine = steps_of(series, series.demand_index, first, n_steps * n)
        rows.append(fine * task.gpus_per_unit[w])
    return np.stack(rows)
