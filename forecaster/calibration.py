"""Online calibration per workload, from what its own forecasts got wrong.

Two layers, both feedback controllers on the forecasts as issued, state passed in and out:

1. **Scores.** The normal scores z of the outcomes should have mean 0 and, on either side, mean
   square 1. A shift and two scales (below and above the median) per horizon group follow them. Few
   parameters, so this is quick, also where tails are too wide and single misses are rare.
2. **Levels.** Each quantile carries an offset, in units of the forecast's spread, that moves up a
   little after a value above it and down a little after a value below it (quantile tracking: Gibbs
   and Candes, Adaptive Conformal Inference, 2021; Angelopoulos et al., Conformal PID Control,
   2023). Its long-run share below the level tends to the level whatever the data do.

Neither is a guarantee for any single stretch of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from forecaster.errors import ShapeError
from forecaster.quantiles import pit_and_log_density, quantile_at, shift_paths
from forecaster.types import F32, F64, I64, Bool, Forecast

SPREAD_LEVELS = (0.05, 0.95)
SPREAD_FLOOR_RATIO = 0.02
"""Smallest spread as a share of the median: a collapsed forecast can still be corrected."""
MAX_SCORE = 3.0
"""Scores are clipped here before they move anything: one outlier is one outlier."""
SHIFT, LOG_BELOW, LOG_ABOVE = 0, 1, 2
GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """How fast calibration moves.

    Args:
        score_rate: Step of shift and log scales per outcome.
        level_rate: Step of the offsets per outcome, in spreads.
        shift_limit: Largest shift, in standard deviations.
        log_scale_limit: Largest log scale.
        offset_limit: Largest offset, in spreads.
        n_groups: Horizon groups with a state of their own (near, middle, far).
    """

    score_rate: float = 0.01
    level_rate: float = 0.01
    shift_limit: float = 1.5
    log_scale_limit: float = 1.5
    offset_limit: float = 3.0
    n_groups: int = 3


@dataclass(frozen=True, slots=True)
class CalibrationState:
    """State of W workloads at Q levels and K horizon groups.

    Args:
        workloads: W names.
        levels: `(Q,)`.
        scores: `(W, 3, K)` shift, log scale below, log scale above.
        offsets: `(W, Q, K)` in spreads.
        n_seen: `(W,)` outcomes seen.
        n_below: `(W, Q)` of them at or below each (calibrated) quantile.
    """

    workloads: tuple[str, ...]
    levels: F64
    scores: F64
    offsets: F64
    n_seen: I64
    n_below: I64

    def __post_init__(self) -> None:
        """Check shapes."""
        n_rows, n_levels = len(self.workloads), self.levels.size
        n_groups = self.offsets.shape[-1]
        if (
            self.offsets.shape != (n_rows, n_levels, n_groups)
            or self.scores.shape != (n_rows, 3, n_groups)
            or self.n_seen.shape != (n_rows,)
            or self.n_below.shape != (n_rows, n_levels)
        ):
            raise ShapeError(
                f"scores {self.scores.shape}, offsets {self.offsets.shape}, n_seen "
                f"{self.n_seen.shape} and n_below {self.n_below.shape} must be (W, 3, K), "
                f"(W, Q, K), (W,), (W, Q) with W={n_rows}, Q={n_levels}"
            )

    def coverage(self) -> F64:
        """Share of outcomes at or below each quantile, `(W, Q)`; NaN before the first outcome."""
        seen = self.n_seen[:, None].astype(np.float64)
        return np.asarray(np.where(seen > 0, self.n_below / np.maximum(seen, 1), np.nan))


def empty_state(
    workloads: Sequence[str], levels: F64, config: CalibrationConfig | None = None
) -> CalibrationState:
    """A state that changes nothing yet."""
    n_groups = (config or CalibrationConfig()).n_groups
    n_rows = len(workloads)
    return CalibrationState(
        tuple(workloads),
        levels,
        np.zeros((n_rows, 3, n_groups)),
        np.zeros((n_rows, levels.size, n_groups)),
        np.zeros(n_rows, dtype=np.int64),
        np.zeros((n_rows, levels.size), dtype=np.int64),
    )


def horizon_groups(horizon: int, n_groups: int) -> I64:
    """Group of each step ahead, `(H,)`: bounds grow geometrically (1-2, 3-5, 6-12 of 12)."""
    steps = np.arange(1, horizon + 1)
    edges = np.geomspace(1, horizon + 1, n_groups + 1)[1:-1]
    return np.searchsorted(edges, steps, side="left").astype(np.int64)


def _spread(quantiles: F64, levels: F64) -> F64:
    """Scale of each forecast, `(B, 1, H)`."""
    at = [int(np.argmin(np.abs(levels - v))) for v in (*SPREAD_LEVELS, 0.5)]
    low, high, median = (quantiles[:, k : k + 1] for k in at)
    return np.asarray(np.maximum(high - low, SPREAD_FLOOR_RATIO * np.abs(median)))


def _normal_score(u: F64) -> F64:
    return np.asarray(torch.special.ndtri(torch.from_numpy(u)).numpy())


def calibrate(forecast: Forecast, state: CalibrationState) -> Forecast:
    """Correct quantiles by the state and carry the paths along, keeping their ranks.

    Args:
        forecast: B forecasts as the predictor made them.
        state: State with the same workloads in the same order.
    """
    _check_match(forecast, state)
    groups = horizon_groups(forecast.horizon, state.offsets.shape[2])
    levels = forecast.quantile_levels
    z = _normal_score(levels)[None, :, None]
    shift, below, above = (state.scores[:, k : k + 1][:, :, groups] for k in range(3))
    moved_z = shift + np.minimum(z, 0) * np.exp(below) + np.maximum(z, 0) * np.exp(above)
    u = torch.special.ndtr(torch.from_numpy(moved_z)).numpy()
    quantiles = quantile_at(forecast.quantiles, levels, np.clip(u, 1e-6, 1 - 1e-6))
    is_idle = (moved_z == z).all(axis=1, keepdims=True)
    quantiles = np.where(is_idle, forecast.quantiles, quantiles)
    quantiles = quantiles + state.offsets[:, :, groups] * _spread(quantiles, levels)
    ordered = np.maximum(np.maximum.accumulate(quantiles, axis=1), 0).astype(np.float32)
    paths = shift_paths(forecast.paths, forecast.quantiles, ordered)
    return replace(forecast, quantiles=ordered, paths=np.maximum(paths, np.float32(0)))


def observe(
    state: CalibrationState,
    forecast: Forecast,
    actual: F32,
    observed: Bool,
    config: CalibrationConfig | None = None,
) -> CalibrationState:
    """Learn from what happened.

    Args:
        state: State before.
        forecast: The calibrated forecasts that were issued, same workloads and order.
        actual: `(B, H)` raw demand.
        observed: `(B, H)`; unobserved steps teach nothing.
        config: Rates and limits.
    """
    _check_match(forecast, state)
    setting = config or CalibrationConfig()
    below = (actual[:, None] <= forecast.quantiles) & observed[:, None]
    # A value equal to the quantile (a demand of exactly zero) is neither above nor below it.
    is_tied = (actual[:, None] == forecast.quantiles) & observed[:, None]
    under = np.where(is_tied, state.levels[:, None], below)
    z = _outcome_scores(state, forecast, actual)
    groups = horizon_groups(forecast.horizon, state.offsets.shape[2])
    offsets, scores = state.offsets.copy(), state.scores.copy()
    for group in range(offsets.shape[2]):
        steps = groups == group
        seen = observed[:, steps]
        n_seen = seen.sum(axis=1)
        weight = seen / np.maximum(n_seen, 1)[:, None]
        share = under[:, :, steps].sum(axis=2) / np.maximum(n_seen, 1)[:, None]
        move = setting.level_rate * (state.levels - share) * (n_seen > 0)[:, None]
        offsets[:, :, group] += move
        one = z[:, steps]
        excess = weight * (one**2 - 1)
        scores[:, SHIFT, group] += setting.score_rate * (weight * one).sum(axis=1)
        scores[:, LOG_BELOW, group] += setting.score_rate * (excess * (one < 0)).sum(axis=1)
        scores[:, LOG_ABOVE, group] += setting.score_rate * (excess * (one > 0)).sum(axis=1)
    limits = np.array([setting.shift_limit, setting.log_scale_limit, setting.log_scale_limit])
    return replace(
        state,
        scores=np.clip(scores, -limits[:, None], limits[:, None]),
        offsets=np.clip(offsets, -setting.offset_limit, setting.offset_limit),
        n_seen=state.n_seen + observed.sum(axis=1),
        n_below=state.n_below + below.sum(axis=2),
    )


def _outcome_scores(state: CalibrationState, forecast: Forecast, actual: F32) -> F64:
    """Normal scores of the outcomes, `(B, H)`, clipped.

    Where several quantiles coincide with the outcome (a demand that is often exactly zero) its
    score is anywhere between them: a golden-ratio sequence spreads it evenly, in place of chance.
    """
    levels = forecast.quantile_levels
    u, _ = pit_and_log_density(forecast.quantiles, levels, actual)
    is_tied = np.isclose(forecast.quantiles, actual[:, None], rtol=1e-6, atol=0)
    n_tied = is_tied.sum(axis=1)
    first = np.take_along_axis(levels[:, None], is_tied.argmax(axis=1), axis=0)
    lowest = np.where(is_tied[:, 0], 0.0, first)
    last = levels.size - 1 - is_tied[:, ::-1].argmax(axis=1)
    highest = np.where(is_tied[:, -1], 1.0, levels[last])
    turn = (state.n_seen[:, None] + np.arange(actual.shape[1])) * GOLDEN % 1.0
    spread = lowest + (highest - lowest) * turn
    u = np.where(n_tied > 1, spread, u)
    return np.clip(_normal_score(np.clip(u, 1e-6, 1 - 1e-6)), -MAX_SCORE, MAX_SCORE)


def _check_match(forecast: Forecast, state: CalibrationState) -> None:
    levels = forecast.quantile_levels
    if (
        forecast.workloads != state.workloads
        or levels.shape != state.levels.shape
        or not np.allclose(levels, state.levels, atol=1e-6)
    ):
        raise ShapeError(
            "calibration state and forecast must have the same workloads and levels in order"
        )


def to_dicts(state: CalibrationState) -> list[dict[str, Any]]:
    """One JSON-able object per workload."""
    return [
        {
            "levels": state.levels.tolist(),
            "scores": state.scores[i].round(6).tolist(),
            "offsets": state.offsets[i].round(6).tolist(),
            "n_seen": int(state.n_seen[i]),
            "n_below": state.n_below[i].tolist(),
        }
        for i in range(len(state.workloads))
    ]


def from_dicts(
    workloads: Sequence[str],
    levels: F64,
    stored: Mapping[str, Mapping[str, Any]],
    config: CalibrationConfig | None = None,
) -> CalibrationState:
    """State of `workloads`; one that is not stored, or has other levels or groups, starts empty."""
    state = empty_state(workloads, levels, config)
    for i, workload in enumerate(workloads):
        raw = stored.get(workload)
        if raw is None or np.shape(raw["offsets"]) != state.offsets[i].shape:
            continue
        if np.allclose(raw["levels"], levels, atol=1e-6):
            state.scores[i] = raw["scores"]
            state.offsets[i] = raw["offsets"]
            state.n_seen[i] = raw["n_seen"]
            state.n_below[i] = raw["n_below"]
    return state
