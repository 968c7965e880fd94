"""The race on one trace at one lead time.

Shapes: W workloads, B blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any

import numpy as np

from decider import DecideConfig
from services.lab.bench.decide.deployed import Deployed
from services.lab.bench.decide.forecasts import Forecasts
from services.lab.bench.decide.run import task_block
from services.lab.bench.forecast.arm import Tell
from services.lab.bench.race.course import RaceTask
from services.lab.bench.race.entrants import Entrant, race_rivals
from services.lab.bench.race.keep import RaceShelf
from services.lab.bench.race.score import RaceYard
from services.simulator.fleet.arrays import FloatArray
from services.simulator.native_run import NativePace, NativeRun, PathsOf, simulate_native
from services.simulator.policies.grid import GridPolicy
from services.simulator.policies.oracle import OracleGrid
from services.simulator.policies.predictive.fast_path import FastPath
from services.simulator.policies.predictive.planned import PlannedGrid
from services.simulator.policies.predictive.predicted import ForecastQuantile
from services.simulator.policies.rivals import HARMONY, PRICES, forecast_policies

QUANTILE = "forecast_quantile"
FAST = "harmony_fast"
FINEST_S = 15.0


@dataclass(frozen=True, slots=True)
class RivalChoice:
    """Which rivals race.

    Attributes:
        names: Their names; none: all.
        finest_s: Nobody decides more often.
        shelf: Where their runs are kept.
    """

    names: Sequence[str] = ()
    finest_s: float = FINEST_S
    shelf: RaceShelf = field(default_factory=RaceShelf)


@dataclass(frozen=True, slots=True, eq=False)
class RaceResult:
    """A race.

    Attributes:
        task: Data and lead time.
        epsilons: Promises.
        yard: What sums are divided by.
        rivals: Policies that know demand alone.
        own: Arms that read Harmony's forecasts, by name.
        deployed: Harmony with one promise per setting, by name.
    """

    task: RaceTask
    epsilons: tuple[float, ...]
    yard: RaceYard
    rivals: dict[str, NativeRun]
    own: dict[str, NativeRun] = field(default_factory=dict)
    deployed: dict[str, NativeRun] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Track:
    """Runs entrants over a task.

    Attributes:
        task: Data and lead time.
        first_step: Step from which settings are chosen.
    """

    task: RaceTask
    first_step: int

    def pace(self, cadence_s: float) -> NativePace:
        """A cadence with this task's blocks."""
        size = task_block(self.task.decide)
        return NativePace(cadence_s, self.task.blocks(self.first_step, size))

    def run(self, entrant: Entrant, paths_of: PathsOf | None = None) -> NativeRun:
        """Run a policy's grid."""
        pace = self.pace(entrant.cadence_s)
        return simulate_native(entrant.policy, self.task.course, pace, paths_of)

    def kept(self, entrant: Entrant, shelf: RaceShelf) -> NativeRun:
        """The run of a rival, from the shelf where it is there."""
        pace = self.pace(entrant.cadence_s)
        return shelf.rival(entrant, self.task.course, pace, lambda: self.run(entrant))

    def yard(self) -> RaceYard:
        """The oracle's run, and what is known."""
        task, course = self.task, self.task.course
        cadence_s = float(gcd(round(task.grid.sub_s), round(task.lead_s)))
        pace = self.pace(cadence_s)
        n_future = 1 + round(task.lead_s / cadence_s)
        oracle = simulate_native(OracleGrid(task.lead_s), course, pace, n_future=n_future)
        is_known = course.is_live & np.isfinite(course.demand)
        known = np.asarray(is_known * course.step_s, dtype=float)
        load = np.asarray(np.nan_to_num(course.demand) * known)
        return RaceYard(
            _block_sums(known, pace), _block_sums(load, pace), np.asarray(oracle.held_s[0])
        )


def _block_sums(values: FloatArray, pace: NativePace) -> FloatArray:
    """(W, T) to (W, B)."""
    found = np.zeros((values.shape[0], int(pace.block.max()) + 1))
    np.add.at(found.T, pace.block, values.T)
    return found


def bench_race(
    task: RaceTask,
    epsilons: Sequence[float],
    tell: Tell,
    forecasts: Forecasts | None = None,
    choice: RivalChoice | None = None,
) -> RaceResult:
    """Run every rival and, where there are forecasts, Harmony.

    Args:
        task: Data and lead time.
        epsilons: Promises.
        tell: Progress.
        forecasts: At Harmony's own steps; None: rivals and oracle alone.
        choice: Rivals; None: all of them.
    """
    choice = choice or RivalChoice()
    first = task.decide.n_prelude // 4
    if forecasts is not None:
        first = max(first, forecasts.first_step + 1)
    track = Track(task, first)
    yard = track.yard()
    rivals: dict[str, NativeRun] = {}
    for name, entrant in race_rivals(task.grid.sub_s, task.lead_s, choice.finest_s).items():
        if choice.names and name not in choice.names:
            continue
        tell(f"{name}: {entrant.policy.n_settings} settings each {entrant.cadence_s:g} s")
        rivals[name] = track.kept(entrant, choice.shelf)
    result = RaceResult(task, tuple(epsilons), yard, rivals)
    if forecasts is not None:
        _run_own(result, track, forecasts, tell)
    return result


def _run_own(result: RaceResult, track: Track, forecasts: Forecasts, tell: Tell) -> None:
    """Harmony's planner at every price, with the fast path where it has sub-steps; as deployed."""
    task, step_s = track.task, track.task.grid.step_s
    lead = np.array([task.lead_s])
    n_ahead = task.decide.options.n_steps_ahead

    def paths_of(step: int) -> FloatArray | None:
        paths = forecasts.at(step)
        return None if paths is None else paths[..., :n_ahead]

    quantile = forecast_policies()[QUANTILE]
    assert isinstance(quantile, ForecastQuantile)
    lead_steps = min(int(np.ceil(task.lead_s / step_s)), n_ahead - 1)
    laws = forecasts.laws(task.decide.course, n_ahead)
    arms: dict[str, GridPolicy[Any]] = {
        HARMONY: PlannedGrid(PRICES, lead, horizon=n_ahead, laws=laws),
        QUANTILE: ForecastQuantile(quantile.level, quantile.margin, lead_steps),
    }
    for name, policy in arms.items():
        tell(name)
        result.own[name] = track.run(Entrant(policy, step_s), paths_of)
    per_step = task.grid.per_step
    if per_step > 1:
        tell(FAST)
        fast = FastPath(arms[HARMONY], per_step, task.lead_s)
        entrant = Entrant(fast, task.grid.sub_s)
        result.own[FAST] = track.run(entrant, lambda k: paths_of(k // per_step))
    tell("harmony as deployed")
    deployed = Deployed(result.epsilons, lead, DecideConfig(), laws=laws)
    result.deployed[HARMONY] = track.run(Entrant(deployed, step_s), paths_of)
