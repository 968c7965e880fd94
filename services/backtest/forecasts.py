"""The forecasts of a replay in time order, corrected by what came of earlier ones."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecaster.choice.ladder import Ladder
from forecaster.config import WindowConfig
from forecaster.online.calibration import CalibrationState, calibrate, empty_state, observe
from forecaster.online.hedge import HedgeState, hedge, last_value_quantiles, learned, no_hedge_yet
from forecaster.types import Forecast
from services.backtest.series import MeasuredFleet
from services.kernel.clock import make_rng


@dataclass(frozen=True, slots=True, eq=False)
class _Issued:
    """A forecast that waits for its outcome.

    Attributes:
        step: First step that it is for.
        issued: As it was issued, hedged and calibrated.
        experts: (W, Q, H) quantiles of the ladder and of the last value.
    """

    step: int
    issued: Forecast
    experts: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


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
        forecast = result.forecast
        last_value = last_value_quantiles(windows, forecast, self._window)
        weights, offsets = self._learned(forecast, step)
        issued = calibrate(hedge(forecast, last_value, weights), offsets)
        self._issued.append(_Issued(step, issued, (forecast.quantiles, last_value)))
        return issued

    def _learned(self, forecast: Forecast, step: int) -> tuple[HedgeState, CalibrationState]:
        """The states after every outcome known at `step`."""
        levels = forecast.quantile_levels
        weights = self._hedge or no_hedge_yet(forecast.workloads)
        offsets = self._calibration or empty_state(forecast.workloads, levels)
        while self._issued and self._issued[0].step + self._window.horizon <= step:
            old = self._issued.popleft()
            happened = self._actual(old.step)
            offsets = observe(offsets, old.issued, *happened)
            weights = learned(weights, old.experts, *happened, old.step, levels)
        self._hedge, self._calibration = weights, offsets
        return weights, offsets

    def _actual(self, step: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """(W, H) demand of the steps from `step` on, and whether each was observed."""
        H = self._window.horizon
        n = self._measured.n_workloads
        rows = np.stack([self._measured.demand(i, step + H, H) for i in range(n)])
        return np.nan_to_num(rows).astype(np.float32), np.isfinite(rows)
