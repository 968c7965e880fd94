"""What Harmony's frontier decides by: the forecasts of the replay, as `HarmonyController` has them.

Shapes: W workloads, S sample paths, H horizon.
"""

from __future__ import annotations

import numpy as np

from decider import StepQuantiles
from services.backtest.controller import ControllerOptions
from services.backtest.forecasts import ForecastStream, quantile_functions
from services.backtest.predictors import Trained
from services.backtest.series import MeasuredFleet
from services.simulator import HistoryRun
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.meters import ServiceMeters


class ReplayForecasts:
    """Calibrated forecasts, asked for in the order of the replay (`LawsByTime`).

    Only the quantile functions of the newest one are kept, and no paths: those of a week of fifty
    workloads would be ten gigabytes.

    Args:
        fleet: A replayed trace.
        history: Allocation before the replay.
        trained: Predictors.
    """

    def __init__(self, fleet: Fleet, history: HistoryRun, trained: Trained) -> None:
        self._fleet, self._ready = fleet, history.last_spec
        self._measured = MeasuredFleet(fleet, ServiceMeters(fleet, history.ready_mean))
        options = ControllerOptions(0.5)
        self._stream = ForecastStream(
            self._measured,
            trained.ladder,
            trained.config.window,
            n_paths=options.n_paths,
            seed=options.seed,
        )
        self._newest: tuple[float, tuple[StepQuantiles, ...]] | None = None

    def paths_at(self, t: int) -> FloatArray:
        """(W, S, H) sample paths for the decision at the start of step `t` of the replay."""
        step = self._fleet.n_history + t
        if t > 0:
            self._measured.read(step - 1, self._ready)
        forecast = self._stream.at(step)
        now_s = float(self._fleet.start_s + step * self._fleet.step_s)
        self._newest = now_s, quantile_functions(forecast)
        return np.asarray(forecast.paths, dtype=float)

    def at(self, now_s: float) -> tuple[StepQuantiles, ...]:
        """W quantile functions of the decision that paths were asked for last.

        Raises:
            ValueError: The decision at `now_s` is another.
        """
        if self._newest is None or self._newest[0] != now_s:
            newest = "none" if self._newest is None else f"that of {self._newest[0]}"
            raise ValueError(f"now_s={now_s}: the newest forecast is {newest}")
        return self._newest[1]
