"""The fallback ladder: every workload is answered by the best rung that its data allow.

model -> the simple forecaster that scored best for the workload (no model, short history, output
that is not finite) -> trailing percentile (stale input) -> short history -> refused with a reason
when there is nothing to forecast from. A fallback is never silent and an unknown is never a zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from forecaster.choice.baselines import BestSimple
from forecaster.errors import ShapeError
from forecaster.predict import TrainedModel
from forecaster.types import F32, F64, I64, Forecast, Windows

MODEL_RUNG = "model"
STALE_RUNG = "trailing_percentile"
NOT_FINITE = "the model's output was not finite"
MIN_OBSERVED = 24
"""Observed steps of demand below which the model is not asked."""


@dataclass(frozen=True, slots=True)
class LadderForecast:
    """The answer of a ladder.

    Args:
        forecast: One row per answered workload, or None when there is none.
        answered: Rows of the windows that were answered, in the forecast's order.
        refused: Row to reason, for the others.
    """

    forecast: Forecast | None
    answered: I64
    refused: dict[int, str]


@dataclass(frozen=True, slots=True)
class Ladder:
    """Predictors in order of preference.

    Args:
        model: The trained model; None until there is one.
        simple: The simple forecasters with the pick per workload.
        stale_after_steps: Steps without demand after which input is stale.
        no_model: Why there is no model, where there is none.
    """

    model: TrainedModel | None
    simple: BestSimple
    stale_after_steps: int = 3
    no_model: str = "no promoted model"

    def predict(
        self, windows: Windows, horizon: int, n_paths: int, rng: np.random.Generator
    ) -> LadderForecast:
        """Forecast every row that can be, from the highest rung possible.

        Args:
            windows: B windows.
            horizon: Steps ahead.
            n_paths: Sample paths.
            rng: Source of all randomness.
        """
        choice = [self.choose(windows, row) for row in range(len(windows))]
        refused = {row: reason for row, (rung, reason) in enumerate(choice) if rung == ""}
        answered = np.array([row for row in range(len(windows)) if row not in refused], dtype=int)
        if answered.size == 0:
            return LadderForecast(None, answered, refused)
        rows = windows.rows(answered)
        rungs = np.array([choice[row][0] for row in answered], dtype=object)
        reasons = [choice[row][1] for row in answered]
        at_model = np.flatnonzero(rungs == MODEL_RUNG)
        parts: list[_Part] = []
        if self.model is not None and at_model.size:
            forecast = self._try_model(rows.rows(at_model), horizon, n_paths, rng)
            if forecast is None:
                for i in at_model:
                    rungs[i], reasons[i] = self.pick(rows.workloads[i]), NOT_FINITE
            else:
                parts.append(_Part(at_model, forecast))
        at_simple = np.flatnonzero(rungs != MODEL_RUNG)
        if at_simple.size:
            picks = {rows.workloads[i]: str(rungs[i]) for i in at_simple}
            chosen = replace(self.simple, picks=picks)
            forecast = chosen.predict(rows.rows(at_simple), horizon, n_paths, rng)
            parts.append(_Part(at_simple, forecast))
        return LadderForecast(_merge(rows, parts, reasons), answered, refused)

    def _try_model(
        self,
        windows: Windows,
        horizon: int,
        n_paths: int,
        rng: np.random.Generator,
    ) -> Forecast | None:
        """The model's forecast; None when it cannot be used."""
        assert self.model is not None
        try:
            return self.model.predict(windows, horizon, n_paths, rng)
        except ShapeError:
            return None

    def choose(self, windows: Windows, row: int) -> tuple[str, str]:
        """Rung and reason of one row; an empty rung refuses."""
        seen = np.flatnonzero(windows.observed[row, :, windows.demand_index[row]])
        n_steps = windows.observed.shape[1]
        workload = windows.workloads[row]
        if seen.size == 0:
            return "", f"no observed demand in the last {n_steps} steps"
        n_stale = n_steps - 1 - int(seen[-1])
        if n_stale > self.stale_after_steps:
            return STALE_RUNG, f"demand is stale: last observed {n_stale} steps before the origin"
        if self.model is None:
            return self.pick(workload), self.no_model
        if seen.size < MIN_OBSERVED:
            return (
                self.pick(workload),
                f"short history: {seen.size} observed steps, the model needs {MIN_OBSERVED}",
            )
        return MODEL_RUNG, ""

    def pick(self, workload: str) -> str:
        """The simple forecaster that stands by for a workload."""
        return self.simple.picks.get(workload, self.simple.default)


class _Part(NamedTuple):
    """Forecasts of one rung and the rows of the windows that they are for."""

    rows: I64
    forecast: Forecast


def _merge(windows: Windows, parts: list[_Part], reasons: list[str]) -> Forecast:
    """Put the rows of several forecasts back in the windows' order."""
    first = parts[0].forecast
    n_rows = len(windows)
    quantiles = np.empty((n_rows, *first.quantiles.shape[1:]), dtype=np.float32)
    paths = np.empty((n_rows, *first.paths.shape[1:]), dtype=np.float32)
    rung, why = [""] * n_rows, list(reasons)
    levels: F64 = first.quantile_levels
    for at, forecast in parts:
        quantiles[at], paths[at] = _at_levels(forecast, levels), forecast.paths
        for i, row in enumerate(at):
            rung[row] = forecast.rung[i]
            why[row] = "; ".join(text for text in (why[row], forecast.reasons[i]) if text)
    return Forecast(
        windows.workloads,
        windows.origin_s,
        windows.step_s,
        levels,
        quantiles,
        paths,
        " + ".join(part.forecast.model for part in parts),
        tuple(rung),
        tuple(why),
    )


def _at_levels(forecast: Forecast, levels: F64) -> F32:
    if not np.array_equal(forecast.quantile_levels, levels):
        raise ShapeError("all rungs of a ladder must use the same quantile levels")
    return forecast.quantiles
