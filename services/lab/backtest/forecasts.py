"""The forecasts of a replay in time order, calibrated by what came of earlier ones."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from forecaster.calibration import CalibrationState, calibrate, empty_state, observe
from forecaster.config import WindowConfig
from forecaster.ladder import Ladder
from forecaster.types import Forecast
from services.kernel.clock import make_rng
from services.lab.backtest.series import MeasuredFleet


class ForecastStream:
    """Forecasts for one step after the other, as the forecasting service makes them.

    Args:
        measured: What has been measured; read, never written.
        ladder: Predictors.
        window: The predictors' window.
        n_paths: Sample paths per forecast.
        seed: Seed of the paths.
        is_calibrated: Whether forecasts are corrected by what came of earlier ones.
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
        self._issued: deque[tuple[int, Forecast]] = deque()

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
        state = self._calibration or empty_state(forecast.workloads, forecast.quantile_levels)
        while self._issued and self._issued[0][0] + self._window.horizon <= step:
            at, old = self._issued.popleft()
            state = observe(state, old, *self._actual(at))
        self._calibration = state
        forecast = calibrate(forecast, state)
        self._issued.append((step, forecast))
        return forecast

    def _actual(self, step: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """(W, H) demand of the steps from `step` on, and whether each was observed."""
        H = self._window.horizon
        n = self._measured.n_workloads
        rows = np.stack([self._measured.demand(i, step + H, H) for i in range(n)])
        return np.nan_to_num(rows).astype(np.float32), np.isfinite(rows)
