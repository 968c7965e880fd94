"""Online calibration: adaptive conformal feedback per workload and quantile level.

Each level carries an offset, in units of the forecast's own spread, that moves up a little after
every value above the quantile and down a little after every value below it (quantile tracking:
Gibbs and Candes, Adaptive Conformal Inference, 2021; Angelopoulos et al., Conformal PID Control,
2023). The long-run share of values below the level then tends to the level whatever the data do;
it is no guarantee for any single stretch. State is passed in and out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecaster.errors import ShapeError
from forecaster.quantiles import shift_paths
from forecaster.types import F32, F64, I64, Bool, Forecast

SPREAD_LEVELS = (0.05, 0.95)
SPREAD_FLOOR_RATIO = 0.02
"""Smallest spread as a share of the median: a collapsed forecast can still be corrected."""


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """How fast calibration moves.

    Args:
        rate: Step per outcome, in spreads.
        limit: Largest offset, in spreads.
        n_groups: Horizon groups with offsets of their own (near, middle, far).
    """

    rate: float = 0.02
    limit: float = 3.0
    n_groups: int = 3


@dataclass(frozen=True, slots=True)
class CalibrationState:
    """State of W workloads at Q levels and K horizon groups.

    Args:
        workloads: W names.
        levels: `(Q,)`.
        offsets: `(W, Q, K)` in spreads.
        n_seen: `(W,)` outcomes seen.
        n_below: `(W, Q)` of them at or below each (calibrated) quantile.
    """

    workloads: tuple[str, ...]
    levels: F64
    offsets: F64
    n_seen: I64
    n_below: I64

    def __post_init__(self) -> None:
        """Check shapes."""
        n_rows, n_levels = len(self.workloads), self.levels.size
        if (
            self.offsets.shape[:2] != (n_rows, n_levels)
            or self.n_seen.shape != (n_rows,)
            or self.n_below.shape != (n_rows, n_levels)
        ):
            raise ShapeError(
                f"offsets {self.offsets.shape}, n_seen {self.n_seen.shape} and n_below "
                f"{self.n_below.shape} must be (W, Q, K), (W,), (W, Q) with W={n_rows}, "
                f"Q={n_levels}"
            )

    def coverage(self) -> F64:
        """Share of outcomes at or below each quantile, `(W, Q)`; NaN before the first outcome."""
        seen = self.n_seen[:, None].astype(np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(seen > 0, self.n_below / np.maximum(seen, 1), np.nan))


def empty_state(
    workloads: Sequence[str], levels: F64, config: CalibrationConfig | None = None
) -> CalibrationState:
    """A state that changes nothing yet."""
    setting = config or CalibrationConfig()
    shape = (len(workloads), levels.size)
    return CalibrationState(
        tuple(workloads),
        levels,
        np.zeros((*shape, setting.n_groups)),
        np.zeros(len(workloads), dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
    )


def horizon_groups(horizon: int, n_groups: int) -> I64:
    """Group of each step ahead, `(H,)`: bounds grow geometrically (1-2, 3-5, 6-12 of 12)."""
    steps = np.arange(1, horizon + 1)
    edges = np.geomspace(1, horizon + 1, n_groups + 1)[1:-1]
    return np.searchsorted(edges, steps, side="left").astype(np.int64)


def _spread(quantiles: F32, levels: F64) -> F64:
    """Scale of each forecast, `(B, 1, H)`."""
    at = [int(np.argmin(np.abs(levels - v))) for v in (*SPREAD_LEVELS, 0.5)]
    low, high, median = (quantiles[:, k : k + 1].astype(np.float64) for k in at)
    return np.asarray(np.maximum(high - low, SPREAD_FLOOR_RATIO * np.abs(median)))


def calibrate(forecast: Forecast, state: CalibrationState) -> Forecast:
    """Move quantiles by the offsets and carry the paths along, keeping their ranks.

    Args:
        forecast: B forecasts as the predictor made them.
        state: State with the same workloads in the same order.
    """
    _check_match(forecast, state)
    groups = horizon_groups(forecast.horizon, state.offsets.shape[2])
    spread = _spread(forecast.quantiles, forecast.quantile_levels)
    moved = forecast.quantiles + state.offsets[:, :, groups] * spread
    ordered = np.maximum(np.maximum.accumulate(moved, axis=1), 0).astype(np.float32)
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
        config: Rate and limit.
    """
    _check_match(forecast, state)
    setting = config or CalibrationConfig()
    below = (actual[:, None] <= forecast.quantiles) & observed[:, None]
    groups = horizon_groups(forecast.horizon, state.offsets.shape[2])
    offsets = state.offsets.copy()
    for group in range(offsets.shape[2]):
        steps = groups == group
        n_seen = observed[:, steps].sum(axis=1)[:, None]
        share = below[:, :, steps].sum(axis=2) / np.maximum(n_seen, 1)
        move = setting.rate * (state.levels - share) * (n_seen > 0)
        offsets[:, :, group] = np.clip(offsets[:, :, group] + move, -setting.limit, setting.limit)
    return replace(
        state,
        offsets=offsets,
        n_seen=state.n_seen + observed.sum(axis=1),
        n_below=state.n_below + below.sum(axis=2),
    )


def _check_match(forecast: Forecast, state: CalibrationState) -> None:
    if forecast.workloads != state.workloads or not np.allclose(
        forecast.quantile_levels, state.levels, atol=1e-6
    ):
        raise ShapeError(
            "calibration state and forecast must have the same workloads and levels in order"
        )


def to_dicts(state: CalibrationState) -> list[dict[str, Any]]:
    """One JSON-able object per workload."""
    return [
        {
            "levels": state.levels.tolist(),
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
    """State of `workloads`; one that is not stored, or at other levels, starts empty."""
    state = empty_state(workloads, levels, config)
    for i, workload in enumerate(workloads):
        raw = stored.get(workload)
        if raw is None or not np.allclose(raw["levels"], levels, atol=1e-6):
            continue
        offsets = np.array(raw["offsets"])
        if offsets.shape == state.offsets[i].shape:
            state.offsets[i] = offsets
            state.n_seen[i] = raw["n_seen"]
            state.n_below[i] = raw["n_below"]
    return state
