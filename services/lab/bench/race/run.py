"""The race on one trace at one lead time.

Shapes: W workloads, B blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd

import numpy as np

from services.lab.bench.decide.deployed import Deployed
from services.lab.bench.decide.forecasts import Forecasts, level_known, perfect
from services.lab.bench.decide.run import task_block
from services.lab.bench.forecast.arm import Tell
from services.lab.bench.race.arms import (
    BASE,
    IN_HINDSIGHT,
    RACE_ARMS,
    SHIPPED,
    ForecastSource,
    RaceArm,
)
from services.lab.bench.race.course import RaceTask
from services.lab.bench.race.entrants import Entrant, race_rivals
from services.lab.bench.race.keep import RaceShelf
from services.lab.bench.race.score import RaceYard
from services.simulator.fleet.arrays import FloatArray
from services.simulator.native_run import NativePace, NativeRun, PathsOf, simulate_native
from services.simulator.policies.oracle import OracleGrid
from services.simulator.policies.predictive.fast_path import FastPath
from services.simulator.policies.predictive.known_laws import KnownLaws
from services.simulator.policies.predictive.planned import PlannedGrid
from services.simulator.policies.predictive.predicted import ForecastQuantile
from services.simulator.policies.rivals import HARMONY, PRICES, forecast_policies

QUANTILE = "forecast_quantile"
FAST = "harmony_fast"
FINEST_S = 15.0
ForecastsBy = Mapping[ForecastSource, Forecasts]


@dataclass(frozen=True, slots=True)
class RaceChoice:
    """Who races.

    Attributes:
        rivals: Names of rivals; none: all.
        arms: Names of arms beside Harmony as it is, of `RACE_ARMS`.
        finest_s: Nobody decides more often.
        shelf: Where runs of rivals are kept.
    """

    rivals: Sequence[str] = ()
    arms: Sequence[str] = ()
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
    said: ForecastsBy | None = None,
    choice: RaceChoice | None = None,
) -> RaceResult:
    """Run every rival and, where there are forecasts, Harmony.

    Args:
        task: Data and lead time.
        epsilons: Promises.
        tell: Progress.
        said: Forecasts at Harmony's own steps; none: rivals and oracle alone.
        choice: Who races; None: all rivals, and Harmony with nothing left out.
    """
    choice = choice or RaceChoice()
    first = task.decide.n_prelude // 4
    if said:
        first = max(first, *(one.first_step + 1 for one in said.values()))
    track = Track(task, first)
    yard = track.yard()
    rivals: dict[str, NativeRun] = {}
    for name, entrant in race_rivals(task.grid.sub_s, task.lead_s, choice.finest_s).items():
        if choice.rivals and name not in choice.rivals:
            continue
        tell(f"{name}: {entrant.policy.n_settings} settings each {entrant.cadence_s:g} s")
        rivals[name] = track.kept(entrant, choice.shelf)
    result = RaceResult(task, tuple(epsilons), yard, rivals)
    if said:
        tell("harmony")
        _run_own(result, track, said, choice.arms)
    return result


def _run_own(result: RaceResult, track: Track, said: ForecastsBy, arms: Sequence[str]) -> None:
    """Harmony's planner at every price, with the fast path where it has sub-steps; as deployed."""
    task, step_s = track.task, track.task.grid.step_s
    lead = np.array([task.lead_s])
    n_ahead = task.decide.options.n_steps_ahead
    known = {
        **said,
        ForecastSource.PERFECT: perfect(task.decide),
        ForecastSource.LEVEL: level_known(task.decide),
    }

    def paths_of(arm: RaceArm) -> PathsOf:
        def found(step: int) -> FloatArray | None:
            paths = known[arm.said].at(step)
            return None if paths is None else paths[..., :n_ahead]

        return found

    def laws_of(arm: RaceArm) -> KnownLaws | None:
        return known[arm.said].laws(task.decide.course, n_ahead) if arm.is_integrated else None

    for name, arm in {HARMONY: SHIPPED, **{name: RACE_ARMS[name] for name in arms}}.items():
        laws = laws_of(arm)
        planner = PlannedGrid(PRICES, lead, arm.config, horizon=n_ahead, laws=laws)
        result.own[name] = track.run(Entrant(planner, step_s), paths_of(arm))
        if arm.said not in IN_HINDSIGHT:
            told = Deployed(result.epsilons, lead, arm.config, laws=laws)
            result.deployed[name] = track.run(Entrant(told, step_s), paths_of(arm))
    quantile = forecast_policies()[QUANTILE]
    assert isinstance(quantile, ForecastQuantile)
    lead_steps = min(int(np.ceil(task.lead_s / step_s)), n_ahead - 1)
    plain = ForecastQuantile(quantile.level, quantile.margin, lead_steps)
    result.own[QUANTILE] = track.run(Entrant(plain, step_s), paths_of(SHIPPED))
    per_step = task.grid.per_step
    if per_step > 1:
        planner = PlannedGrid(PRICES, lead, BASE, horizon=n_ahead, laws=laws_of(SHIPPED))
        fast = Entrant(_fast(planner, task), task.grid.sub_s)
        coarse = paths_of(SHIPPED)
        result.own[FAST] = track.run(fast, lambda k: coarse(k // per_step))


def _fast(planner: PlannedGrid, task: RaceTask) -> FastPath:
    """The planner with the fast path, for services where that has paid."""
    return FastPath(planner, task.grid.per_step, task.lead_s, price=planner.multiplier)
