"""What the platform would have answered: model, quality gate, hedge, calibration.

The product judges on steps after its validation part. A benchmark has no such steps before the
test, so the second half of validation holds the gate and starts hedge and calibration. On the test
part those two learn from an outcome only once its whole horizon has passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from forecaster.choice.backtest import block_means, gate_losses, is_clear
from forecaster.choice.baselines import POOLS
from forecaster.config import ForecasterConfig
from forecaster.dataset import Origins
from forecaster.online.calibration import Calibration, CalibrationState
from forecaster.online.hedge import Experts, Hedge, HedgeState
from forecaster.online.learner import Outcome
from forecaster.online.replay import replay
from forecaster.quantiles import shift_paths
from forecaster.types import Forecast
from services.kernel.clock import make_rng
from services.lab.bench.forecast.arm import LEVELS, Prediction, Tell
from services.lab.bench.forecast.own_arms import FittedModel, FittedSimple, ModelArm
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import BoolArray, F32Array, IntArray

T = TypeVar("T", bound=np.generic)
MODEL = 0
"""Candidate of the gate; the simple forecasters follow."""
LAST_VALUE = 1 + list(POOLS).index("last_value")
"""Place of the hedge's other expert among the candidates."""


@dataclass(frozen=True, slots=True)
class ShippedArm:
    """The network with all that serves around it.

    Attributes:
        config: The network's configuration.
        has_gate: Whether a target may be answered by a simple forecaster.
        is_hedged: Whether the last value is mixed in by what came of earlier forecasts.
        is_calibrated: Whether forecasts are corrected by what came of earlier ones.
    """

    config: ForecasterConfig | None = None
    has_gate: bool = True
    is_hedged: bool = True
    is_calibrated: bool = True

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> FittedShipped:
        """See `Arm`."""
        model = ModelArm(self.config).fit(task, seed, tell)
        tell("quality gate")
        origins = task.validation_origins()
        rng = make_rng(seed, "bench", "gate")
        members = [
            model.predict(task, origins, 1, rng).quantiles,
            *simple_quantiles(task, origins, rng),
        ]
        choice = np.full(task.targets.size, MODEL)
        if self.has_gate:
            choice = chosen_by_gate(task, origins, members)
        names = [str(cell) for cell in range(task.targets.size)]
        online = OnlineState(
            Hedge().empty_state(names) if self.is_hedged else None,
            Calibration(LEVELS).empty_state(names) if self.is_calibrated else None,
        )
        fitted = FittedShipped(model, choice, online)
        is_held = ~_is_first_half(task, origins)
        held = origins.take(np.flatnonzero(is_held))
        _, started = fitted.issued(task, held, [m[is_held] for m in members])
        return FittedShipped(model, choice, started)


def chosen_by_gate(task: BenchTask, origins: Origins, members: Sequence[F32Array]) -> IntArray:
    """(W * G,) candidate of each cell: the model unless another is clearly better.

    Args:
        task: The benchmark.
        origins: B of validation; the second half of it judges.
        members: (B, G, Q, H) quantiles of the model and of each simple forecaster there.
    """
    truth, rows = task.truth(origins), ~_is_first_half(task, origins)
    losses = [gate_losses(_flat(m, rows), _flat(truth.actual, rows), LEVELS) for m in members]
    seen, owner = _flat(truth.observed, rows), _flat(_cells(task, origins), rows)
    choice = np.full(task.targets.size, MODEL)
    for cell in np.unique(owner[seen.any(axis=1)]):
        own = owner == cell
        blocks = [block_means(loss[own], seen[own]) for loss in losses]
        best = int(np.argmin([b.mean() for b in blocks]))
        if is_clear(blocks[MODEL], blocks[best]):
            choice[cell] = best
    return choice


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
        model: The network.
        choice: (W * G,) the candidate that the gate chose.
        online: Hedge and calibration at the end of validation.
    """

    model: FittedModel
    choice: IntArray
    online: OnlineState

    @property
    def n_parameters(self) -> int:
        """Of the network."""
        return self.model.n_parameters

    def chosen(self, members: Sequence[F32Array], cells: IntArray) -> F32Array:
        """(B, G, Q, H) quantiles of each cell's candidate from those of all members."""
        picked = self.choice[cells]
        found = np.zeros_like(members[0])
        for k, member in enumerate(members):
            found[picked == k] = member[picked == k]
        return found

    def issued(
        self, task: BenchTask, origins: Origins, members: Sequence[F32Array]
    ) -> tuple[F32Array, OnlineState]:
        """(B, G, Q, H) quantiles as they would have been issued, and what was learned in all."""
        quantiles = self.chosen(members, _cells(task, origins))
        truth, (_, _, _, n_steps) = task.truth(origins), quantiles.shape
        outcome = Outcome(truth.actual.reshape(-1, n_steps), truth.observed.reshape(-1, n_steps))
        forecast = _as_forecast(task, origins, quantiles)
        weights, offsets = self.online.hedge, self.online.calibration
        if weights is not None:
            last_value = members[LAST_VALUE].reshape(forecast.quantiles.shape)
            forecast, weights = replay(Hedge(), weights, Experts(forecast, last_value), outcome)
        if offsets is not None:
            forecast, offsets = replay(Calibration(LEVELS), offsets, forecast, outcome)
        return forecast.quantiles.reshape(quantiles.shape), OnlineState(weights, offsets)

    def predict(
        self, task: BenchTask, origins: Origins, n_paths: int, rng: np.random.Generator
    ) -> Prediction:
        """See `Fitted`."""
        answer = self.model.predict(task, origins, n_paths, rng)
        members = [answer.quantiles, *simple_quantiles(task, origins, rng)]
        quantiles, _ = self.issued(task, origins, members)
        row = np.arange(origins.which.size)
        at = task.demand_target()[origins.which]
        assert answer.paths is not None
        paths = shift_paths(answer.paths, answer.quantiles[row, at], quantiles[row, at])
        return Prediction(quantiles, np.maximum(paths, np.float32(0)))


def _is_first_half(task: BenchTask, origins: Origins) -> BoolArray:
    middle = (np.array(task.train_ends) + np.array(task.validation_ends)) // 2
    return np.asarray(origins.position < middle[origins.which], dtype=bool)


def _cells(task: BenchTask, origins: Origins) -> IntArray:
    """(B, G) cell of each row and target."""
    n_targets = task.targets.shape[1]
    return np.asarray(origins.which[:, None] * n_targets + np.arange(n_targets), dtype=np.int64)


def simple_quantiles(task: BenchTask, origins: Origins, rng: np.random.Generator) -> list[F32Array]:
    """(B, G, Q, H) quantiles of each simple forecaster, in the order of `POOLS`."""
    shape = task.targets.shape
    return [
        FittedSimple(np.full(shape, name, dtype=object)).predict(task, origins, 1, rng).quantiles
        for name in POOLS
    ]


def _flat(values: npt.NDArray[T], rows: BoolArray) -> npt.NDArray[T]:
    """(B, G, ...) to (B * G, ...), of the rows asked for."""
    chosen = values[rows]
    return chosen.reshape(chosen.shape[0] * chosen.shape[1], *chosen.shape[2:])


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
