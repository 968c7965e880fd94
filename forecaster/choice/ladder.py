"""The fallback ladder: every workload is answered by the best rung that its data allow.

model -> the prior (no model, or too short a history for it) -> the simple forecaster that scored
best for the workload (where it beat the prior, a history too short for both, output that is not
finite) -> trailing percentile (stale input) -> short history -> refused with a reason when there is
nothing to forecast from. A fallback is never silent and an unknown is never a zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from forecaster.choice.baselines import BestSimple
from forecaster.errors import ShapeError
from forecaster.predict import TrainedModel
from forecaster.types import F32, F64, I64, Bool, Forecast, Windows

MODEL_RUNG = "model"
STALE_RUNG = "trailing_percentile"
PRIOR_RUNG = "prior"
TRAINED_RUNGS = (MODEL_RUNG, PRIOR_RUNG)


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
        prior: The prior, which answers where there is no model; None: simple forecasters do.
        simple_only: Workloads of which a back-test said that their simple forecaster is better
            than the prior.
    """

    model: TrainedModel | None
    simple: BestSimple
    stale_after_steps: int = 3
    no_model: str = "no promoted model"
    prior: TrainedModel | None = None
    simple_only: frozenset[str] = frozenset()

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
        parts: list[_Part] = []
        for rung in TRAINED_RUNGS:
            at_rung = np.flatnonzero(rungs == rung)
            if at_rung.size == 0:
                continue
            part = self._try(rung, rows.rows(at_rung), horizon, n_paths, rng)
            if part is not None:
                parts.append(_Part(at_rung[part.rows], part.forecast))
            for i in at_rung if part is None else np.delete(at_rung, part.rows):
                rungs[i] = self.pick(rows.workloads[i])
                reasons[i] = _joined(reasons[i], f"the {rung}'s output was not finite")
        at_simple = np.flatnonzero(~np.isin(rungs, TRAINED_RUNGS))
        if at_simple.size:
            picks = {rows.workloads[i]: str(rungs[i]) for i in at_simple}
            chosen = replace(self.simple, picks=picks)
            forecast = chosen.predict(rows.rows(at_simple), horizon, n_paths, rng)
            parts.append(_Part(at_simple, forecast))
        return LadderForecast(_merge(rows, parts, reasons), answered, refused)

    def trained(self, rung: str) -> TrainedModel:
        """The model of one of `TRAINED_RUNGS`."""
        found = self.model if rung == MODEL_RUNG else self.prior
        assert found is not None  # nothing is put on a rung that is not there
        return found

    def _try(
        self,
        rung: str,
        windows: Windows,
        horizon: int,
        n_paths: int,
        rng: np.random.Generator,
    ) -> _Part | None:
        """The forecast of a trained rung for the rows that it has numbers for; None: for none."""
        model, every = self.trained(rung), np.arange(len(windows))
        try:
            return _Part(every, model.predict(windows, horizon, n_paths, rng))
        except ShapeError:
            usable = np.flatnonzero(_has_numbers(model, windows))
        if usable.size == 0:
            return None
        try:  # the others do not pay for a row that is odd
            return _Part(usable, model.predict(windows.rows(usable), horizon, n_paths, rng))
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
        why = self.no_model
        if self.model is not None:
            if seen.size >= fewest_steps(self.model):
                return MODEL_RUNG, ""
            why = _too_short(seen.size, "model", self.model)
        if self.prior is None or workload in self.simple_only:
            return self.pick(workload), why
        if seen.size < fewest_steps(self.prior):
            return self.pick(workload), _joined(why, _too_short(seen.size, "prior", self.prior))
        return PRIOR_RUNG, why

    def pick(self, workload: str) -> str:
        """The simple forecaster that stands by for a workload."""
        return self.simple.picks.get(workload, self.simple.default)


def fewest_steps(model: TrainedModel) -> int:
    """Observed steps of demand below which a trained model is not asked."""
    return model.config.train.shortest


def _has_numbers(model: TrainedModel, windows: Windows) -> Bool:
    """Rows whose quantiles are finite and in order, `(B,)`."""
    quantiles = model.quantiles_of(windows, windows.demand_index[:, None])[:, 0]
    with np.errstate(invalid="ignore"):
        is_ordered = (np.diff(quantiles, axis=1) >= 0).all(axis=(1, 2))
    return np.asarray(np.isfinite(quantiles).all(axis=(1, 2)) & is_ordered)


def _too_short(n_seen: int, name: str, model: TrainedModel) -> str:
    return f"short history: {n_seen} observed steps, the {name} needs {fewest_steps(model)}"


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)


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
            why[row] = _joined(why[row], forecast.reasons[i])
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
