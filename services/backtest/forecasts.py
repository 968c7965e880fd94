"""The forecasts of a replay in time order, corrected by what came of earlier ones."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from decider import StepQuantiles
from forecaster import (
    Calibration,
    CalibrationState,
    Experts,
    Forecast,
    Hedge,
    HedgeState,
    Ladder,
    Outcome,
    WindowConfig,
    largest_seen,
)
from services.backtest.series import MeasuredFleet
from services.kernel.clock import make_rng


@dataclass(frozen=True, slots=True, eq=False)
class _Issued:
    """A forecast that waits for its outcome.

    Attributes:
        step: First step that it is for.
        issued: As it was issued, hedged and calibrated.
        experts: Forecasts of the ladder and of the last value.
    """

    step: int
    issued: Forecast
    experts: Experts


def quantile_functions(forecast: Forecast) -> tuple[StepQuantiles, ...]:
    """What the decider integrates, of all workloads."""
    levels = np.array(forecast.quantile_levels, dtype=float)
    return tuple(StepQuantiles(levels, one) for one in forecast.quantiles.astype(np.float64))


class ForecastStream:
    """Forecasts for one step after the other, as the forecasting service makes them.

    Args:
        measured: What has been measured; read, never written.
        ladder: Predictors.
        window: The predictors' window.
        n_paths: Sample paths per forecast.
        seed: Seed of the paths.
        is_calibrated: Whether forecasts are hedged and corrected by what came of earlier ones.
    """

    def __init__(
        self,
        measured: MeasuredFleet,
        ladder: Ladder,
        window: WindowConfig,
        *,
        n_paths: int,
        seed: int,
        is_calibrated: bool = True,
    ) -> None:
        self._measured = measured
        self._ladder = ladder
        self._window = window
        self._n_paths = n_paths
        self._seed = seed
        self._is_calibrated = is_calibrated
        self._calibration: CalibrationState | None = None
        self._hedge: HedgeState | None = None
        self._issued: deque[_Issued] = deque()

    def at(self, step: int) -> Forecast:
        """The forecast from step `step` on, knowing the steps before it; steps must rise.

        Raises:
            ValueError: No predictor answers.
        """
        windows = self._measured.windows(step, self._window)
        rng = make_rng(self._seed, "backtest", step)
        result = self._ladder.predict(windows, self._window.horizon, self._n_paths, rng)
        if result.forecast is None or result.refused:
            raise ValueError(f"no forecast at step {step}: {result.refused}")
        if not self._is_calibrated:
            return result.forecast
        experts = Experts.of(result.forecast, windows, self._window)
        calibration = Calibration(result.forecast.quantile_levels)
        weights, offsets = self._learned(calibration, result.forecast, step)
        most = largest_seen(*windows.demand(), result.forecast.rung, windows.is_young())
        issued = calibration.apply(offsets, Hedge().apply(weights, experts), most)
        self._issued.append(_Issued(step, issued, experts))
        return issued

    def _learned(
        self, calibration: Calibration, forecast: Forecast, step: int
    ) -> tuple[HedgeState, CalibrationState]:
        """The states after every outcome known at `step`."""
        weights = self._hedge or Hedge().empty_state(forecast.workloads)
        offsets = self._calibration or calibration.empty_state(forecast.workloads)
        while self._issued and self._issued[0].step + self._window.horizon <= step:
            old = self._issued.popleft()
            outcome = self._outcome(old.step)
            offsets = calibration.observe(offsets, old.issued, outcome)
            weights = Hedge().observe(weights, old.experts, outcome)
        self._hedge, self._calibration = weights, offsets
        return weights, offsets

    def _outcome(self, step: int) -> Outcome:
        """Demand of the steps from `step` on."""
        H = self._window.horizon
        n = self._measured.n_workloads
        rows = np.stack([self._measured.demand(i, step + H, H) for i in range(n)])
        return Outcome(np.nan_to_num(rows).astype(np.float32), np.isfinite(rows))
