"""Forecasts of a decision benchmark: made once, in time order, and shared by all that read them.

Shapes: W workloads, T steps of the course, S paths, H steps ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forecaster.dataset import Origins
from forecaster.online.calibration import Calibration
from forecaster.online.hedge import Hedge
from forecaster.predict import TrainedModel
from forecaster.quantiles import shift_paths
from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.forecast.arm import LEVELS, Tell
from services.lab.bench.forecast.own_arms import ModelArm
from services.lab.bench.forecast.shipped_arm import (
    OnlineState,
    Said,
    corrected,
    last_value_quantiles,
)
from services.lab.bench.forecast.task import BenchTask
from services.simulator.course import Course
from services.simulator.fleet.arrays import BoolArray, F32Array, FloatArray
from services.simulator.policies.predictive.known_laws import KnownLaws

N_PATHS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Forecasts:
    """Sample paths for every decision from some step of the course on.

    Attributes:
        first_step: First step of the course with forecasts.
        paths: (T - first_step, W, S, H) GPUs of demand from the step on.
        quantiles: (T - first_step, W, Q, H) the quantile functions that the paths are drawn from,
            at `LEVELS`; None: the paths are all that is known.
    """

    first_step: int
    paths: F32Array
    quantiles: F32Array | None = None

    def at(self, step: int) -> FloatArray | None:
        """(W, S, H) paths for the decision at the start of `step`; None before the first."""
        row = step - self.first_step
        return self.paths[row].astype(np.float64) if row >= 0 else None

    def laws(self, course: Course, n_ahead: int) -> KnownLaws | None:
        """The quantile functions by the time of the decision, `n_ahead` steps of each.

        Args:
            course: The steps that the forecasts are for.
            n_ahead: Steps that decisions read.
        """
        if self.quantiles is None:
            return None
        values = self.quantiles[..., :n_ahead].astype(np.float64)
        first_s = course.start_s + self.first_step * course.step_s
        return KnownLaws(LEVELS, values, first_s, course.step_s)


@dataclass(frozen=True, slots=True, eq=False)
class RawForecasts:
    """What the learners said at B origins, before anything is corrected online.

    Attributes:
        origins: B origins.
        model: (B, Q, H) quantiles of the trained model.
        last_value: (B, Q, H) those of the last value.
        paths: (B, S, H) paths of the model.
    """

    origins: Origins
    model: F32Array
    last_value: F32Array
    paths: F32Array


def perfect(task: DecideTask) -> Forecasts:
    """The future as it came, as one path: what the planner would do with a perfect forecast."""
    demand = task.course.demand
    n_ahead = task.options.n_steps_ahead
    padded = np.concatenate([demand, np.repeat(demand[:, -1:], n_ahead, axis=1)], axis=1)
    ahead = np.lib.stride_tricks.sliding_window_view(padded, n_ahead, axis=1)
    paths = np.nan_to_num(ahead[:, : demand.shape[1]].transpose(1, 0, 2)).astype(np.float32)
    return Forecasts(0, np.ascontiguousarray(paths[:, :, None, :]))


LEVEL_STEPS = 5
"""Steps on either side of one that tell its level."""


def level_known(task: DecideTask) -> Forecasts:
    """The level of every step from both sides of it, with the usual spread about such levels.

    What then is left of the cost over the oracle's is the luck of single steps, which no forecaster
    removes. The spread is that of the whole course: one law of the demand over its level.
    """
    demand, n_ahead = task.course.demand, task.options.n_steps_ahead
    width = 2 * LEVEL_STEPS + 1
    padded = np.pad(demand, ((0, 0), (LEVEL_STEPS, LEVEL_STEPS)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    others = np.delete(around, LEVEL_STEPS, axis=2)
    n_known = np.isfinite(others).sum(axis=2)
    level = np.where(n_known > 0, np.nansum(others, axis=2) / np.maximum(n_known, 1), 0.0)
    ratio = np.where(level > 0, demand / np.where(level > 0, level, 1.0), np.nan)
    spread = np.nan_to_num(np.nanquantile(ratio, LEVELS, axis=1)).T
    ends = np.concatenate([level, np.repeat(level[:, -1:], n_ahead, axis=1)], axis=1)
    ahead = np.lib.stride_tricks.sliding_window_view(ends, n_ahead, axis=1)[:, : level.shape[1]]
    laws = ahead.transpose(1, 0, 2)[:, :, None, :] * spread[None, :, :, None]
    said = np.ascontiguousarray(laws, dtype=np.float32)
    return Forecasts(0, said, said)


def learned(task: DecideTask, seed: int, tell: Tell) -> Forecasts:
    """The shipped forecaster: trained on the training part, corrected online as it would run.

    Forecasts begin in the middle of validation. From there on hedge and calibration run in time
    order and learn from an outcome once its horizon has passed.
    """
    return issued(task, raw_forecasts(task, seed, tell))


def raw_forecasts(
    task: DecideTask, seed: int, tell: Tell, prior: TrainedModel | None = None
) -> RawForecasts:
    """Train on the training part and ask at every origin that is decided at.

    Args:
        task: The benchmark.
        seed: Of the fit.
        tell: Progress.
        prior: What the fit begins with; None: random parameters.
    """
    fitted = ModelArm(prior=prior).fit(task.forecast, seed, tell)
    origins = replayed_origins(task)
    tell(f"forecasting {origins.which.size} windows")
    answer = fitted.predict(task.forecast, origins, N_PATHS, make_rng(seed, "bench", "decide"))
    last_value = last_value_quantiles(task.forecast, origins)
    row, at = np.arange(origins.which.size), task.forecast.demand_target()[origins.which]
    assert answer.paths is not None
    return RawForecasts(origins, answer.quantiles[row, at], last_value[row, at], answer.paths)


def issued(
    task: DecideTask,
    raw: RawForecasts,
    calibration: Calibration | None = None,
    *,
    is_calibrated: bool = True,
) -> Forecasts:
    """Forecasts as they would have been issued.

    Args:
        task: The benchmark.
        raw: What the learners said.
        calibration: How quantiles are corrected; None: as in service.
        is_calibrated: Whether they are.
    """
    names = [str(cell) for cell in range(task.forecast.targets.size)]
    start = Calibration(LEVELS).empty_state(names) if is_calibrated else None
    said = Said(raw.model[:, None], raw.last_value[:, None])
    online = OnlineState(Hedge().empty_state(names), start)
    found, _ = corrected(task.forecast, raw.origins, said, online, calibration)
    quantiles = found[:, 0]
    moved = np.maximum(shift_paths(raw.paths, raw.model, quantiles), np.float32(0))
    made = on_course(task, raw.origins, moved)
    return replace(made, quantiles=on_course(task, raw.origins, quantiles).paths)


def replayed_origins(task: DecideTask) -> Origins:
    """Origins of the second half of validation and of the counted part."""
    bench = task.forecast
    stops = np.array(bench.validation_ends)
    n_counted = task.course.n_steps - task.n_prelude
    held, test = bench.validation_origins(), bench.test_origins()
    late = held.take(np.flatnonzero(is_late(bench, held)))
    inside = test.take(np.flatnonzero(test.position + 1 < stops[test.which] + n_counted))
    return Origins(
        np.concatenate([late.which, inside.which]),
        np.concatenate([late.position, inside.position]),
    )


def check_prelude(task: DecideTask) -> None:
    """See that the first counted step of each workload can have been forecast before it.

    Raises:
        InvalidInput: No forecast of late validation ends in the steps before the counted part.
    """
    origins = replayed_origins(task)
    step = origins.position + 1 - np.array(task.forecast.validation_ends)[origins.which]
    before = origins.which[(step < 0) & (step >= -task.n_prelude)]
    if set(origins.which) == set(before):
        return
    given, horizon = task.options.max_test_steps, task.forecast.protocol.horizon
    raise InvalidInput(
        f"--max-test-steps={given}: {2 * horizon} or more are right; half as many come before "
        f"those that are counted, and a forecast of {horizon} steps must end in them"
    )


def is_late(task: BenchTask, origins: Origins) -> BoolArray:
    """Which origins lie in the second half of validation or after it."""
    middle = (np.array(task.train_ends) + np.array(task.validation_ends)) // 2
    return np.asarray(origins.position + 1 >= middle[origins.which], dtype=bool)


def on_course(task: DecideTask, origins: Origins, paths: F32Array) -> Forecasts:
    """Paths placed at the steps that they are for; a step without a forecast keeps the last.

    A workload without any forecast has NaN paths, and policies hold it.

    Args:
        task: The benchmark.
        origins: B origins.
        paths: (B, S, H) in units of the trace.
    """
    stops = np.array(task.forecast.validation_ends)
    step = origins.position + 1 - stops[origins.which] + task.n_prelude
    W, T = task.course.demand.shape
    firsts = [int(step[origins.which == w].min()) for w in np.unique(origins.which)]
    first = max(0, *firsts)
    shape = (
        T - first,
        W,
        paths.shape[1],
        min(task.options.n_steps_ahead, paths.shape[2]),
    )
    found = np.full(shape, np.nan, dtype=np.float32)
    inside = (step >= first) & (step < T)
    scaled = paths[:, :, : shape[3]] * task.gpus_per_unit[origins.which, None, None]
    found[step[inside] - first, origins.which[inside]] = scaled[inside]
    for row in range(1, found.shape[0]):
        is_missing = ~np.isfinite(found[row, :, 0, 0])
        found[row, is_missing] = found[row - 1, is_missing]
    return Forecasts(first, found)
