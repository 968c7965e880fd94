"""What the platform would have answered: model, hedge, calibration; and a peer so calibrated.

The product starts hedge and calibration on steps after its validation part. A benchmark has no such
steps before the test, so they start on the second half of validation. On the test part they learn
from an outcome only once its whole horizon has passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecaster.config import ForecasterConfig
from forecaster.dataset import Origins
from forecaster.online.calibration import Calibration
from forecaster.online.hedge import Experts, Hedge, HedgeState
from forecaster.online.learner import Outcome
from forecaster.online.offsets import CalibrationState
from forecaster.online.replay import replay
from forecaster.quantiles import shift_paths
from forecaster.types import Forecast
from services.kernel.clock import make_rng
from services.lab.bench.forecast.arm import LEVELS, Arm, Fitted, Prediction, Tell
from services.lab.bench.forecast.own_arms import FittedSimple, ModelArm
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import BoolArray, F32Array, IntArray


@dataclass(frozen=True, slots=True)
class ShippedArm:
    """The network with all that serves around it.

    Attributes:
        config: The network's configuration.
        is_hedged: Whether the last value is mixed in by what came of earlier forecasts.
        is_calibrated: Whether forecasts are corrected by what came of earlier ones.
    """

    config: ForecasterConfig | None = None
    is_hedged: bool = True
    is_calibrated: bool = True

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> FittedShipped:
        """See `Arm`."""
        model = ModelArm(self.config).fit(task, seed, tell)
        tell("hedge and calibration")
        names = _cell_names(task)
        online = OnlineState(
            Hedge().empty_state(names) if self.is_hedged else None,
            Calibration(LEVELS).empty_state(names) if self.is_calibrated else None,
        )
        return _warmed_up(task, FittedShipped(model, online), seed, tell)


@dataclass(frozen=True, slots=True)
class CalibratedArm:
    """A peer under the online calibration of Harmony, begun where Harmony's begins.

    Attributes:
        arm: The peer.
    """

    arm: Arm

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> FittedShipped:
        """See `Arm`."""
        fitted = self.arm.fit(task, seed, tell)
        tell("calibration")
        online = OnlineState(None, Calibration(LEVELS).empty_state(_cell_names(task)))
        return _warmed_up(task, FittedShipped(fitted, online), seed, tell)


@dataclass(frozen=True, slots=True)
class Said:
    """What the hedge mixes, at B origins.

    Attributes:
        model: (B, G, Q, H) quantiles of the model.
        last_value: Those of the last value.
    """

    model: F32Array
    last_value: F32Array


@dataclass(frozen=True, slots=True)
class OnlineState:
    """What is learned from the outcomes of earlier forecasts.

    Attributes:
        hedge: Weights of the last value; None mixes nothing in.
        calibration: Offsets of the quantiles; None leaves them as they are.
    """

    hedge: HedgeState | None
    calibration: CalibrationState | None


@dataclass(frozen=True, slots=True)
class FittedShipped:
    """See `Fitted`; a cell is a workload's target, `workload * G + target`.

    Attributes:
        model: The forecaster that is corrected.
        online: Hedge and calibration at the end of validation.
    """

    model: Fitted
    online: OnlineState

    @property
    def n_parameters(self) -> int:
        """Of the forecaster that is corrected."""
        return self.model.n_parameters

    def issued(self, task: BenchTask, origins: Origins, said: Said) -> tuple[F32Array, OnlineState]:
        """(B, G, Q, H) quantiles as they would have been issued, and what was learned in all."""
        return corrected(task, origins, said, self.online)

    def predict(
        self, task: BenchTask, origins: Origins, n_paths: int, rng: np.random.Generator
    ) -> Prediction:
        """See `Fitted`."""
        answer = self.model.predict(task, origins, n_paths, rng)
        said = Said(answer.quantiles, last_value_quantiles(task, origins))
        quantiles, _ = self.issued(task, origins, said)
        if answer.paths is None:
            return Prediction(quantiles)
        row = np.arange(origins.which.size)
        at = task.demand_target()[origins.which]
        paths = shift_paths(answer.paths, answer.quantiles[row, at], quantiles[row, at])
        return Prediction(quantiles, np.maximum(paths, np.float32(0)))


def corrected(
    task: BenchTask,
    origins: Origins,
    said: Said,
    online: OnlineState,
    calibration: Calibration | None = None,
) -> tuple[F32Array, OnlineState]:
    """(B, G, Q, H) quantiles after hedge and calibration in time order, and what was learned.

    Args:
        task: The data.
        origins: B origins.
        said: What the learners said there.
        online: Where hedge and calibration begin; a part that is None is left out.
        calibration: How quantiles are corrected; None: as in service.
    """
    quantiles = said.model
    truth, (_, _, _, n_steps) = task.truth(origins), quantiles.shape
    outcome = Outcome(truth.actual.reshape(-1, n_steps), truth.observed.reshape(-1, n_steps))
    forecast = _as_forecast(task, origins, quantiles)
    weights, offsets = online.hedge, online.calibration
    if weights is not None:
        last_value = said.last_value.reshape(forecast.quantiles.shape)
        forecast, weights = replay(Hedge(), weights, Experts(forecast, last_value), outcome)
    if offsets is not None:
        forecast, offsets = replay(calibration or Calibration(LEVELS), offsets, forecast, outcome)
    return forecast.quantiles.reshape(quantiles.shape), OnlineState(weights, offsets)


def _warmed_up(task: BenchTask, begun: FittedShipped, seed: int, tell: Tell) -> FittedShipped:
    """The same after what the second half of validation teaches."""
    origins = task.validation_origins()
    held = origins.take(np.flatnonzero(~_is_first_half(task, origins)))
    if held.which.size == 0:
        tell("no demand was seen in the second half of validation: it starts from nothing")
        return begun
    answer = begun.model.predict(task, held, 1, make_rng(seed, "bench", "online"))
    said = Said(answer.quantiles, last_value_quantiles(task, held))
    _, started = begun.issued(task, held, said)
    return FittedShipped(begun.model, started)


def _cell_names(task: BenchTask) -> list[str]:
    return [str(cell) for cell in range(task.targets.size)]


def _is_first_half(task: BenchTask, origins: Origins) -> BoolArray:
    middle = (np.array(task.train_ends) + np.array(task.validation_ends)) // 2
    return np.asarray(origins.position < middle[origins.which], dtype=bool)


def _cells(task: BenchTask, origins: Origins) -> IntArray:
    """(B, G) cell of each row and target."""
    n_targets = task.targets.shape[1]
    return np.asarray(origins.which[:, None] * n_targets + np.arange(n_targets), dtype=np.int64)


def last_value_quantiles(task: BenchTask, origins: Origins) -> F32Array:
    """(B, G, Q, H) quantiles of the last value, the hedge's other expert."""
    fixed = FittedSimple(np.full(task.targets.shape, "last_value", dtype=object))
    unused = make_rng(0, "bench")  # no path is drawn
    return fixed.predict(task, origins, 0, unused).quantiles


def _as_forecast(task: BenchTask, origins: Origins, quantiles: F32Array) -> Forecast:
    """(B, G, Q, H) quantiles as B * G forecasts, with origins on the clock that all share."""
    n_rows, n_targets, n_levels, n_steps = quantiles.shape
    n = n_rows * n_targets
    start = np.array([s.start_s // s.step_s for s in task.series])
    return Forecast(
        tuple(map(str, _cells(task, origins).ravel())),
        np.repeat(start[origins.which] + origins.position, n_targets),
        1,
        LEVELS,
        quantiles.reshape(n, n_levels, n_steps),
        np.zeros((n, 0, n_steps), dtype=np.float32),
        "shipped",
        ("",) * n,
        ("",) * n,
    )
