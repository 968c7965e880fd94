"""A mixture of the model and the simple forecasters, weighted per workload on validation.

Greedy selection with replacement (Caruana et al., Ensemble Selection from Libraries of Models,
2004): start from the model, then add, round by round, the member whose addition to the average of
quantiles lowers the loss most. Averaging quantiles (Vincentization) keeps them ordered. The model
is given a head start of as many rounds as are played, because a validation part is short and
picks made on it alone did worse on later steps than the model did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from forecaster.choice.backtest import gate_losses
from forecaster.choice.baselines import POOLS, Baseline, forecast_from_pool, pool_of
from forecaster.config import WindowConfig
from forecaster.dataset import Origins, actuals
from forecaster.features import gather_windows
from forecaster.predict import TrainedModel
from forecaster.quantiles import with_quantiles
from forecaster.types import F32, F64, I64, Bool, Forecast, Predictor, Series, Windows

ENSEMBLE = "ensemble"
MODEL_MEMBER = "model"
MEMBERS = (MODEL_MEMBER, *POOLS)
"""Names of the members, in the order of the weights."""
N_ROUNDS = 8

Weights = Mapping[str, Mapping[str, float]]
"""Workload to member to weight; they sum to 1 per workload, members of weight 0 are left out."""


def greedy_weights(
    members: Sequence[F32], actual: F32, observed: Bool, group: I64, levels: F64
) -> F64:
    """Weights of each group's mixture.

    Args:
        members: M quantile arrays `(B, Q, H)`; the first one has the head start.
        actual: `(B, H)`.
        observed: `(B, H)`.
        group: `(B,)` group of each row, 0..W-1.
        levels: `(Q,)`.

    Returns:
        `(W, M)`, rows sum to 1. A group without an observed step keeps the first member.
    """
    n_groups = int(group.max(initial=-1)) + 1
    counts = np.zeros((n_groups, len(members)))
    counts[:, 0] = N_ROUNDS
    total = members[0].astype(np.float32) * N_ROUNDS
    for _ in range(N_ROUNDS):
        n_picked = counts[0].sum()
        losses = np.stack(
            [
                mean_losses((total + m) / np.float32(n_picked + 1), actual, observed, group, levels)
                for m in members
            ],
            axis=1,
        )
        # A round nobody gains from goes to the first member: argmin takes the first of equals.
        best = losses.argmin(axis=1)
        counts[np.arange(n_groups), best] += 1
        chosen = best[group]
        for k, m in enumerate(members):
            rows = chosen == k
            total[rows] += m[rows]
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def mean_losses(quantiles: F32, actual: F32, observed: Bool, group: I64, levels: F64) -> F64:
    """Mean of `gate_losses` per group.

    Args:
        quantiles: `(B, Q, H)`.
        actual: `(B, H)`.
        observed: `(B, H)`.
        group: `(B,)` group of each row, 0..W-1.
        levels: `(Q,)`.

    Returns:
        `(W,)`; 0 for a group without an observed step.
    """
    loss = gate_losses(quantiles, actual, levels)
    by_row = np.where(observed, loss, 0).sum(axis=1, dtype=np.float64)
    n_groups = int(group.max(initial=-1)) + 1
    seen = np.bincount(group, weights=observed.sum(axis=1), minlength=n_groups)
    return np.asarray(np.bincount(group, by_row, minlength=n_groups) / np.maximum(seen, 1))


def validation_weights(
    series: Sequence[Series], origins: Origins, model: TrainedModel, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Weights of every workload from forecasts of past origins.

    Args:
        series: W histories.
        origins: Origins that the model was not trained on.
        model: The trained model.
        rng: For the model's paths, which are not looked at.
    """
    window = model.config.window
    found: dict[str, dict[str, float]] = {}
    for i in np.unique(origins.which):
        own = origins.take(np.flatnonzero(origins.which == i))
        windows = gather_windows(series, own.which, own.position, window)
        actual, observed = actuals(series, own, windows.demand_index[:, None], window.horizon)
        first = model.predict(windows, window.horizon, 1, rng)
        simple = [
            pool_quantiles(name, windows, window.horizon, window, window.quantile_levels)
            for name in POOLS
        ]
        group = np.zeros(len(windows), dtype=np.int64)
        weights = greedy_weights(
            [first.quantiles, *simple], actual[:, 0], observed[:, 0], group, first.quantile_levels
        )
        found |= named_weights([series[i].workload], weights)
    return found


def blended(
    forecast: Forecast, windows: Windows, weights: Weights, config: WindowConfig
) -> Forecast:
    """A model's forecast mixed with simple ones.

    Args:
        forecast: The model's, for `windows`.
        windows: B windows.
        weights: See `Weights`; a workload without any keeps the model's forecast.
        config: Window configuration of the pools.
    """
    share = np.zeros((len(windows), len(MEMBERS)), dtype=np.float32)
    for i, workload in enumerate(windows.workloads):
        own = weights.get(workload, {MODEL_MEMBER: 1.0})
        share[i] = [own.get(name, 0.0) for name in MEMBERS]
    levels = tuple(float(v) for v in forecast.quantile_levels)
    mixed = forecast.quantiles * share[:, :1, None]
    for k, name in enumerate(POOLS, start=1):
        at = np.flatnonzero(share[:, k] > 0)
        if at.size:
            quantiles = pool_quantiles(name, windows.rows(at), forecast.horizon, config, levels)
            mixed[at] += share[at, k, None, None] * quantiles
    return with_quantiles(forecast, np.maximum.accumulate(mixed, axis=1))


def pool_quantiles(
    name: str, windows: Windows, horizon: int, config: WindowConfig, levels: tuple[float, ...]
) -> F32:
    """Quantiles `(B, Q, H)` of a simple forecaster, without paths and without randomness."""
    pool, _ = pool_of(name, windows, horizon, config)
    # No path is drawn (S = 0): the generator is not read.
    unused = np.random.Generator(np.random.PCG64(0))
    return forecast_from_pool(windows, pool, 0, unused, levels)[0]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The mixture as a `Predictor`.

    Args:
        model: The trained model.
        weights: See `Weights`.
    """

    model: TrainedModel
    weights: Weights
    name: str = field(default=ENSEMBLE)

    def predict(
        self, windows: Windows, horizon: int, n_paths: int, rng: np.random.Generator
    ) -> Forecast:
        """Quantiles and joint paths of the demand; see `Predictor`."""
        forecast = self.model.predict(windows, horizon, n_paths, rng)
        mixed = blended(forecast, windows, self.weights, self.model.config.window)
        return replace(
            mixed, model=f"{self.name}:{self.model.version}", rung=(self.name,) * len(windows)
        )


def contenders(model: TrainedModel, weights: Weights) -> dict[str, Predictor]:
    """All that the quality gate compares: the model, its ensemble and the simple forecasters."""
    window = model.config.window
    simple: dict[str, Predictor] = {name: Baseline(name, window) for name in POOLS}
    return {MODEL_MEMBER: model, ENSEMBLE: Ensemble(model, weights), **simple}


def named_weights(workloads: Sequence[str], weights: F64) -> dict[str, dict[str, float]]:
    """`(W, M)` weights as `Weights`."""
    return {
        workload: {name: round(float(v), 6) for name, v in zip(MEMBERS, row, strict=True) if v > 0}
        for workload, row in zip(workloads, weights, strict=True)
    }
