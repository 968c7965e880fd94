"""What the forecaster says at every step of a replay: made once, for all settings and start-ups.

It is the shipped prior, hedged and calibrated online as the forecasting service does, and the
dependence between services that the decision service learns from it once an hour.

Shapes: T steps of the replay, W services, S paths, Q levels, H steps ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from sqlalchemy import RowMapping

from decider import StepQuantiles, learn_dependence
from forecaster import BestSimple, Ladder, WindowConfig
from services.backtest.forecasts import ForecastStream
from services.backtest.series import MeasuredFleet
from services.decision.headroom.advice import to_scores
from services.decision.headroom.advise import N_LEARNED_STEPS
from services.forecasting.registry.shipped import shipped_prior
from services.lab.bench.forecast.arm import Tell
from services.lab.bench.supply.demand import STEP_S, SupplyTask
from services.simulator.fleet.arrays import F32Array, FloatArray
from services.simulator.fleet.meters import ServiceMeters

N_PATHS = 200
N_CALIBRATED = 144
"""Steps before the replay from which hedge and calibration learn."""
_STEPS_AN_HOUR = 3600 // STEP_S


@dataclass(frozen=True, slots=True, eq=False)
class SupplyForecasts:
    """Forecasts by step of the replay, each from that step on.

    Attributes:
        paths: (T, W, S, H).
        levels: (Q,).
        quantiles: (T, W, Q, H).
        rungs: Who answered, by step and service.
        dependence: (T,) correlation of the services' demands within their forecasts, as learned at
            the last full hour.
        n_dependence_steps: (T,) steps that it was learned from.
    """

    paths: F32Array
    levels: FloatArray
    quantiles: F32Array
    rungs: tuple[tuple[str, ...], ...]
    dependence: FloatArray
    n_dependence_steps: FloatArray

    def laws(self, step: int) -> tuple[StepQuantiles, ...]:
        """W quantile functions of a step's forecasts."""
        values = self.quantiles[step].astype(np.float64)
        return tuple(StepQuantiles(self.levels, one) for one in values)


def said_of(task: SupplyTask, tell: Tell) -> SupplyForecasts:
    """Forecast at every step of the replay, in time order."""
    fleet, window = task.fleet, WindowConfig()
    nobody = np.zeros((fleet.n_workloads, fleet.n_history))
    measured = MeasuredFleet(fleet, ServiceMeters(fleet, nobody))
    ladder = Ladder(None, BestSimple({}, window), prior=shipped_prior())
    stream = ForecastStream(measured, ladder, window, n_paths=N_PATHS, seed=task.seed)
    for step in range(max(window.context, fleet.n_history - N_CALIBRATED), fleet.n_history):
        stream.at(step)
    paths, quantiles, rungs = [], [], []
    levels: FloatArray = np.zeros(0)
    for step in range(fleet.n_history, fleet.n_steps):
        tell(f"{task.source} {task.seed}: forecasts of step {step - fleet.n_history}")
        found = stream.at(step)
        paths.append(found.paths)
        quantiles.append(found.quantiles)
        rungs.append(found.rung)
        levels = np.array(found.quantile_levels, dtype=float)
        measured.read(step, nobody[:, 0])
    said = np.stack(quantiles)
    dependence = _dependence(said, levels, task.seen[:, fleet.n_history :])
    return SupplyForecasts(np.stack(paths), levels, said, tuple(rungs), *dependence)


def _dependence(
    quantiles: F32Array, levels: FloatArray, demand: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(T,) dependence in force at each step, and the steps that it was learned from."""
    n_services, n_steps = demand.shape
    rows: list[dict[str, Any]] = [
        {
            "workload_id": service,
            "step_at": step,
            "quantile_levels": levels,
            "quantiles": quantiles[step, service, :, 0],
            "demand": demand[service, step],
        }
        for step in range(n_steps)
        for service in range(n_services)
    ]
    scores = to_scores(cast(list[RowMapping], rows))
    ratio, n_learned = np.zeros(n_steps), np.zeros(n_steps)
    for step in range(0, n_steps, _STEPS_AN_HOUR):
        hour = slice(step, step + _STEPS_AN_HOUR)
        seen = scores[max(0, step - N_LEARNED_STEPS) : step]
        ratio[hour], n_learned[hour] = learn_dependence(seen)
    return ratio, n_learned
