"""Joint forecasts of several loads: made once per forecaster, kept, and permuted for the arms.

Shapes: W workloads, L loads, T steps with forecasts, S paths, H steps ahead, B origins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from forecaster import BestSimple, Forecast, Ladder, TrainedModel, gather_windows, joint_paths
from forecaster.choice.ladder import MODEL_RUNG
from forecaster.dataset import Origins
from forecaster.online.calibration import Calibration
from forecaster.online.hedge import Hedge
from services.kernel.clock import make_rng
from services.lab.bench.decide.forecasts import N_PATHS, on_course, replayed_origins
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.forecast.arm import LEVELS, Prediction, Tell
from services.lab.bench.forecast.own_arms import FittedModel
from services.lab.bench.forecast.shipped_arm import FittedShipped, OnlineState
from services.lab.bench.forecast.task import BenchTask
from services.lab.bench.loads.task import LoadTask
from services.simulator.fleet.arrays import F32Array, FloatArray

CHUNK = 256


@dataclass(frozen=True, slots=True, eq=False)
class LoadForecasts:
    """Joint paths for every decision from some step of the course on.

    Attributes:
        first_step: First step of the course with forecasts.
        paths: (T, W, L, S, H) in the scaled units; NaN for a load that was not forecast.
    """

    first_step: int
    paths: F32Array

    def at(self, step: int) -> FloatArray | None:
        """(W, L, S, H) paths for the decision at the start of `step`; None before the first."""
        row = step - self.first_step
        return self.paths[row].astype(np.float64) if row >= 0 else None

    def scaled(self, factor: FloatArray) -> LoadForecasts:
        """The same in other units: `factor` (W,) of them make one of these."""
        paths = self.paths * factor[:, None, None, None].astype(np.float32)
        return LoadForecasts(self.first_step, paths)

    def changed(
        self, how: Literal["joint", "steps", "loads", "ranked"], rng: np.random.Generator
    ) -> LoadForecasts:
        """The same marginals of every step and load under another joint law.

        Args:
            how: `joint` changes nothing; `steps` permutes the paths of every step and load on
                their own, `loads` those of every load as a whole; `ranked` gives every load the
                ranks of the demand, step by step.
            rng: Source of the permutations.
        """
        if how == "joint":
            return self
        found = np.empty_like(self.paths)
        for at, whole in enumerate(self.paths):
            found[at] = _ranked(whole) if how == "ranked" else _permuted(whole, how, rng)
        return LoadForecasts(self.first_step, found)


def _permuted(paths: F32Array, how: str, rng: np.random.Generator) -> F32Array:
    """(W, L, S, H) paths permuted along S."""
    n_rows, n_loads, n_paths, horizon = paths.shape
    n_steps = horizon if how == "steps" else 1
    keys = rng.random((n_rows, n_loads, n_paths, n_steps), dtype=np.float32)
    order = np.broadcast_to(keys.argsort(axis=2), paths.shape)
    return np.take_along_axis(paths, order, axis=2)


def _ranked(paths: F32Array) -> F32Array:
    """(W, L, S, H) paths whose loads all have the first one's ranks."""
    rank = paths[:, :1].argsort(axis=2).argsort(axis=2)
    in_order = np.sort(paths, axis=2)
    return np.take_along_axis(in_order, np.broadcast_to(rank, paths.shape), axis=2)


def joint_task(task: LoadTask) -> BenchTask:
    """The forecasting benchmark whose further loads are forecast together with the demand."""
    series = tuple(
        replace(one, further=tuple(one.indicators.index(name) for name in task.names[1:]))
        for one in task.decide.forecast.series
    )
    return replace(task.decide.forecast, series=series)


def single_task(task: LoadTask, load: int) -> BenchTask:
    """The forecasting benchmark whose demand is one load, without further ones."""
    name = task.names[load]
    at = [one.indicators.index(name) for one in task.decide.forecast.series]
    series = tuple(
        replace(one, demand_index=k) for one, k in zip(task.decide.forecast.series, at, strict=True)
    )
    return replace(task.decide.forecast, series=series, targets=np.array(at)[:, None])


@dataclass(frozen=True, slots=True)
class JointForecaster:
    """A trained model and the online corrections around it, asked for all or one of the loads.

    Attributes:
        task: The benchmark.
        model: Trained on `joint_task`, or on `single_task` of `load`.
        load: The only load that is forecast; None: all of them together.
    """

    task: LoadTask
    model: TrainedModel
    load: int | None = None

    def forecasts(self, seed: int, tell: Tell) -> LoadForecasts:
        """Paths for every decision, corrected online as they would run."""
        own = joint_task(self.task) if self.load is None else single_task(self.task, self.load)
        decide = replace(self.task.decide, forecast=own)
        origins = _needed(decide)
        names = [str(cell) for cell in range(own.targets.size)]
        online = OnlineState(Hedge().empty_state(names), Calibration(LEVELS).empty_state(names))
        shipped = FittedShipped(FittedModel(self.model, self.model.n_parameters), online)
        tell(f"forecasting {origins.which.size} windows")
        rng = make_rng(seed, "bench", "loads")
        answer = shipped.predict(own, origins, N_PATHS, rng)
        assert answer.paths is not None
        if self.load is not None:
            return self._placed(decide, origins, {self.load: answer.paths})
        parts = list(self._joined(own, origins, answer, seed))
        whole = np.concatenate(parts, axis=1)
        return self._placed(decide, origins, dict(enumerate(whole)))

    def _joined(
        self, own: BenchTask, origins: Origins, answer: Prediction, seed: int
    ) -> Iterator[F32Array]:
        """(L, B, S, H) joint paths of some windows after the other; NaN where there are none."""
        assert answer.paths is not None
        n_loads, rng = len(self.task.names), make_rng(seed, "bench", "loads", "joint")
        ladder = Ladder(self.model, BestSimple({}))
        for start in range(0, origins.which.size, CHUNK):
            at = np.arange(start, min(start + CHUNK, origins.which.size))
            rows = origins.take(at)
            windows = gather_windows(own.series, rows.which, rows.position, own.window)
            forecast = Forecast(
                windows.workloads,
                windows.origin_s,
                windows.step_s,
                LEVELS,
                answer.quantiles[at, 0],
                answer.paths[at],
                MODEL_RUNG,
                (MODEL_RUNG,) * at.size,
                ("",) * at.size,
            )
            names = (self.task.names[1:],) * at.size
            found = joint_paths(ladder, windows, names, forecast, rng)
            part = np.full((n_loads, *forecast.paths.shape), np.nan, dtype=np.float32)
            for row, one in enumerate(found):
                if one is not None:
                    part[0, row], part[1:, row] = one.demand, one.further
            yield part

    def _placed(
        self, decide: DecideTask, origins: Origins, by_load: dict[int, F32Array]
    ) -> LoadForecasts:
        """Paths (B, S, H) by load, placed at the steps that they are for."""
        placed = {load: on_course(decide, origins, paths) for load, paths in by_load.items()}
        first = next(iter(placed.values()))
        n_steps, n_workloads, n_paths, horizon = first.paths.shape
        shape = (n_steps, n_workloads, len(self.task.names), n_paths, horizon)
        found = np.full(shape, np.nan, dtype=np.float32)
        for load, one in placed.items():
            found[:, :, load] = one.paths
        return LoadForecasts(first.first_step, found)


def _needed(decide: DecideTask) -> Origins:
    """Origins from late in validation on, as far as the prelude reaches back."""
    found = replayed_origins(decide)
    first = np.array(decide.forecast.validation_ends) - decide.n_prelude
    return found.take(np.flatnonzero(found.position + 1 >= first[found.which]))
