"""AutoETS of statsforecast as an arm of a benchmark.

One state-space model per workload and target: form and parameters are estimated once, before the
test part; through the test part its states are filtered with these parameters. Answers are draws
from the filtered state with Gaussian innovations, which is what the library's intervals assume.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from forecaster.config import DAY_S
from forecaster.dataset import Origins
from services.lab.bench.forecast.arm import LEVELS, Prediction, Tell
from services.lab.bench.forecast.peers.inputs import filled, floors, library
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import F32Array, FloatArray, IntArray

MAX_FIT_STEPS = 2000
SEASONAL_FIT_STEPS = 30_000
"""Steps over all series that seasonal models are fitted on: a season of 144 steps makes a fit two
orders slower."""
MIN_SEASONS = 3
MAX_SEASON = 288
DRAWS = 1000
ORIGINS_PER_CHUNK = 500
MAX_VALUE = 1e30
"""Where a multiplicative form explodes, its draws stop here."""


@dataclass(frozen=True, slots=True)
class AutoEtsArm:
    """Error, trend and season chosen by AICc, per workload and target.

    The season is one day where the training part holds three and a day has at most 288 steps. A
    seasonal search uses the newest `SEASONAL_FIT_STEPS` over the number of series (at least three
    days); where it finds no season the model is fitted again on the newest `MAX_FIT_STEPS`.
    """

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> FittedEts:
        """See `Arm`; nothing is random.

        Raises:
            MissingLibrary: statsforecast is not installed.
        """
        models = library("statsforecast", "models")
        found: dict[tuple[int, int], EtsModel] = {}
        n_series = int((task.targets >= 0).sum())
        for i, targets in enumerate(task.targets):
            for g, d in enumerate(targets):
                if d >= 0:
                    found[i, g] = _fit_one(models, task, i, int(d), n_series)
            forms = ", ".join(found[i, g].form for g, d in enumerate(targets) if d >= 0)
            tell(f"ets {i + 1}/{len(task.series)}: {forms}")
        return FittedEts(found)


@dataclass(frozen=True, slots=True)
class EtsModel:
    """One fitted model.

    Attributes:
        fitted: The library's description: `components`, `par`, `m`, `sigma2`.
        begin: First step it was fitted on.
    """

    fitted: dict[str, Any]
    begin: int

    @property
    def form(self) -> str:
        """Error, trend, season (N, A or M each) and damping (D or N)."""
        return str(self.fitted["components"])


@dataclass(frozen=True, slots=True)
class FittedEts:
    """See `Fitted`; a model per workload and target."""

    models: dict[tuple[int, int], EtsModel]

    @property
    def n_parameters(self) -> int:
        """Smoothing parameters and initial states."""
        return sum(int(model.fitted["n_params"]) for model in self.models.values())

    def predict(
        self, task: BenchTask, origins: Origins, n_paths: int, rng: np.random.Generator
    ) -> Prediction:
        """See `Fitted`."""
        n_rows, n_targets = origins.which.size, task.targets.shape[1]
        horizon = task.window.horizon
        quantiles = np.zeros((n_rows, n_targets, LEVELS.size, horizon), dtype=np.float32)
        paths = np.zeros((n_rows, n_paths, horizon), dtype=np.float32)
        lowest, demand = floors(task), task.demand_target()
        noise = _stratified_normals(max(DRAWS, n_paths), horizon, rng)
        for (i, g), model in self.models.items():
            rows = np.flatnonzero(origins.which == i)
            values = filled(task, i, int(task.targets[i, g]))
            states = filtered_states(model, values, origins.position[rows])
            for start in range(0, rows.size, ORIGINS_PER_CHUNK):
                at = rows[start : start + ORIGINS_PER_CHUNK]
                drawn = simulate(model.fitted, states[start : start + at.size], noise)
                drawn = np.maximum(drawn, lowest[i, g]).astype(np.float32)
                quantiles[at, g] = _quantiles(drawn)
                if demand[i] == g:
                    paths[at] = drawn[:, :n_paths]
        return Prediction(quantiles, paths)


def filtered_states(model: EtsModel, values: FloatArray, positions: IntArray) -> FloatArray:
    """States after each origin's own step, (B, P): level, slope if any, season newest first.

    Args:
        model: Fitted model.
        values: (T,) without gaps.
        positions: (B,) step index of each origin.
    """
    if positions.size == 0:
        return np.zeros((0, 1))
    ets = library("statsforecast", "ets")
    # Seasonal states carry a phase: an earlier start lies whole seasons before the fit's.
    period = max(int(model.fitted["m"]), 1)
    early = max(model.begin - int(positions.min()), 0)
    begin = max(model.begin - period * -(-early // period), model.begin % period)
    with _quiet():
        states = ets.forward_ets(model.fitted, values[begin : positions.max() + 1])["states"]
    is_whole = np.isfinite(states).all(axis=1)
    newest = np.maximum.accumulate(np.where(is_whole, np.arange(is_whole.size), 0))
    found: FloatArray = states[newest[np.maximum(positions - begin + 1, 0)]]
    return found


def simulate(fitted: dict[str, Any], states: FloatArray, noise: FloatArray) -> FloatArray:
    """Draws of the next H steps from each state, (B, S, H).

    Args:
        fitted: The library's description of the model.
        states: (B, P).
        noise: (S, H) standard normal innovations, shared by all origins.
    """
    error, trend, season, damping = fitted["components"]
    alpha, beta, gamma, phi = np.nan_to_num(np.asarray(fitted["par"][:4], dtype=np.float64))
    phi = phi if damping == "D" else 1.0
    sigma = np.sqrt(max(float(fitted["sigma2"]), 0.0))
    n_rows, (n_draws, horizon) = states.shape[0], noise.shape
    level = np.repeat(states[:, :1], n_draws, axis=1)
    slope = np.repeat(states[:, 1:2], n_draws, axis=1) if trend != "N" else np.zeros_like(level)
    seasons = states[:, 1 + (trend != "N") :]
    ahead: list[FloatArray] = []
    """Seasonal states made within the horizon, used again one season later."""
    drawn = np.empty((n_rows, n_draws, horizon))
    for h in range(horizon):
        period = seasons.shape[1]
        if season == "N":
            seasonal = np.zeros((1, 1))
        else:
            seasonal = seasons[:, period - 1 - h][:, None] if h < period else ahead[h - period]
        base = level + phi * slope
        mean = base * seasonal if season == "M" else base + seasonal
        e = sigma * noise[:, h]
        drawn[:, :, h] = value = mean + e if error == "A" else mean * (1 + e)
        gap = _without(value, seasonal, season) - base
        slope = phi * slope + beta * gap
        if season != "N":
            ahead.append(seasonal + gamma * (_over(value, base, season) - seasonal))
        level = base + alpha * gap
    return np.clip(np.nan_to_num(drawn), -MAX_VALUE, MAX_VALUE)


def _fit_one(models: Any, task: BenchTask, i: int, target: int, n_series: int) -> EtsModel:
    """AutoETS on the newest steps before the test part."""
    end, train_end = task.validation_ends[i], task.train_ends[i]
    series = task.series[i]
    values = filled(task, i, target)[:end]
    first = int(np.argmax(series.observed[:end, target]))
    period = round(DAY_S / series.step_s)
    begin = max(end - MAX_FIT_STEPS, first)
    with _quiet():
        if 2 <= period <= MAX_SEASON and train_end - first >= MIN_SEASONS * period:
            share = max(SEASONAL_FIT_STEPS // n_series, MIN_SEASONS * period)
            seasonal = EtsModel(
                _search(models, values[max(end - share, begin) :], period), max(end - share, begin)
            )
            if seasonal.form[2] != "N":
                return seasonal
        return EtsModel(_search(models, values[begin:], 1), begin)


def _search(models: Any, values: FloatArray, period: int) -> dict[str, Any]:
    model = models.AutoETS(season_length=period).fit(values)
    found: dict[str, Any] = model.model_
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the overflow and division warnings of candidate models that are then dropped."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _without(value: FloatArray, seasonal: FloatArray, season: str) -> FloatArray:
    """Value without its season, zero where a multiplicative season is zero."""
    return _over(value, seasonal, season) if season != "N" else value


def _over(value: FloatArray, part: FloatArray, season: str) -> FloatArray:
    """Value less a part (additive) or over it (multiplicative)."""
    if season == "A":
        return value - part
    return np.divide(value, part, out=np.zeros_like(value), where=part != 0)


def _stratified_normals(n_draws: int, horizon: int, rng: np.random.Generator) -> FloatArray:
    """(S, H) standard normals: each column holds the same equally likely values, shuffled."""
    order = rng.random((n_draws, horizon)).argsort(axis=0)
    found: FloatArray = ndtri((order + 0.5) / n_draws)
    return found


def _quantiles(drawn: F32Array) -> F32Array:
    """(B, Q, H) quantiles at `LEVELS` of (B, S, H) draws."""
    found = np.quantile(drawn, LEVELS, axis=1, method="hazen")
    return np.sort(np.moveaxis(found, 0, 1), axis=1).astype(np.float32)
