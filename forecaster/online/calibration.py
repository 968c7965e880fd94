"""Online calibration per workload: adaptive conformal feedback on every quantile level.

Each level carries an offset that moves up a little after every value above the quantile and down a
little after every value below it (quantile tracking: Gibbs and Candes, Adaptive Conformal
Inference, 2021; Angelopoulos et al., Conformal PID Control, 2023). The long-run share of values
below the level then tends to the level whatever the data do; it is no guarantee for any single
stretch.

Offsets are counted in the workload's own running error, not in the spread of the forecast at hand:
the spread of a burst forecast overstates, and that of a flat one hides, how far the tail is off.
Half of every step is the workload's own, half the mean of its batch, and likewise half is its
horizon group's own and half the mean over the horizon: at the 99 % level one workload alone sees
too few exceedances. State is passed in and out. docs/decisions/0007 holds the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forecaster.errors import ConfigError, ShapeError
from forecaster.quantiles import shift_paths
from forecaster.types import F32, F64, I64, Bool, Forecast

SPREAD_LEVELS = (0.05, 0.95)
ERROR_TO_SPREAD = 4.0
"""Distance between the spread levels over the mean absolute error, for a normal error: 3.29 to
0.80, rounded."""
PRIOR_OUTCOMES = 12.0
"""Outcomes that the first forecast's own spread is worth in the running error."""
DEMAND_RATIO_LIMITS = (0.1, 10.0)
SPREADS_PER_ERROR = 2.0
"""Most spreads of the forecast that an offset of one is worth at the centre."""
SPREAD_FLOOR_RATIO = 0.01
"""Least share of the running error that it is worth there: a collapsed forecast is corrected."""
CHUNK_ROWS = 256
"""Rows whose paths are moved at a time, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """How fast calibration moves. Rates are steps of an offset per forecast, in running errors.

    Args:
        centre_rate: Rate of the median.
        tail_rate: What is added at the outermost levels; between, it grows with the fourth power
            of the distance from the median.
        extreme_rate: The same with the 32nd power: levels beyond 95 % alone.
        limit: Largest offset, in running errors.
        pool_ratio: Share of a step that is the mean over the workloads of the batch.
        horizon_ratio: Share of a step that is the mean over the horizon groups.
        memory: Outcomes that the running error looks back on.
        outlier_limit: Largest error that counts in it, in running errors.
        regime_error: Mean error of a forecast, in running errors, above which offsets keep their
            absolute size while the running error grows: in a new regime, offsets relative to the
            old one say nothing.
        n_groups: Horizon groups with offsets of their own (near, middle, far).
    """

    centre_rate: float = 0.002
    tail_rate: float = 0.03
    extreme_rate: float = 0.15
    limit: float = 20.0
    pool_ratio: float = 0.5
    horizon_ratio: float = 0.5
    memory: float = 7200.0
    outlier_limit: float = 100.0
    regime_error: float = 60.0
    n_groups: int = 3

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("centre_rate", "tail_rate", "extreme_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be in [0, 1)")
        for name in ("pool_ratio", "horizon_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be in [0, 1]")
        for name, least in (
            ("limit", 0.0),
            ("memory", 1.0),
            ("outlier_limit", 1.0),
            ("regime_error", 1.0),
            ("n_groups", 1.0),
        ):
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name}={getattr(self, name)} must be >= {least:g}")

    def rates(self, levels: F64) -> F64:
        """Step per level, `(Q,)`."""
        distance = np.abs(2 * levels - 1)
        rates = self.centre_rate + self.tail_rate * distance**4 + self.extreme_rate * distance**32
        return np.asarray(rates)


@dataclass(frozen=True, slots=True)
class CalibrationState:
    """State of W workloads at Q levels and K horizon groups.

    Args:
        workloads: W names.
        levels: `(Q,)`.
        offsets: `(W, Q, K)` in running errors.
        error_scale: `(W, K)` running error, in the demand's unit and on the scale of a spread;
            0 before the first outcome, when the forecast's own spread stands in for it.
        demand_scale: `(W, K)` running upper quantile that the running error goes with.
        n_seen: `(W,)` outcomes seen.
        n_below: `(W, Q)` of them at or below each (calibrated) quantile.
    """

    workloads: tuple[str, ...]
    levels: F64
    offsets: F64
    error_scale: F64
    demand_scale: F64
    n_seen: I64
    n_below: I64

    def __post_init__(self) -> None:
        """Check shapes."""
        n_rows, n_levels = len(self.workloads), self.levels.size
        n_groups = self.offsets.shape[-1]
        right = {
            "offsets": (n_rows, n_levels, n_groups),
            "error_scale": (n_rows, n_groups),
            "demand_scale": (n_rows, n_groups),
            "n_seen": (n_rows,),
            "n_below": (n_rows, n_levels),
        }
        for name, shape in right.items():
            if getattr(self, name).shape != shape:
                raise ShapeError(f"{name} has shape {getattr(self, name).shape}; {shape} is right")

    def coverage(self) -> F64:
        """Share of outcomes at or below each quantile, `(W, Q)`; NaN before the first outcome."""
        seen = self.n_seen[:, None].astype(np.float64)
        return np.asarray(np.where(seen > 0, self.n_below / np.maximum(seen, 1), np.nan))

    def rows(self, at: I64) -> CalibrationState:
        """A copy of the workloads `at`."""
        names = tuple(self.workloads[i] for i in at)
        parts = {name: getattr(self, name)[at] for name in _PER_WORKLOAD}
        return CalibrationState(names, self.levels, **parts)


_PER_WORKLOAD = tuple(f.name for f in fields(CalibrationState))[2:]


def empty_state(
    workloads: Sequence[str], levels: F64, config: CalibrationConfig | None = None
) -> CalibrationState:
    """A state that changes nothing yet."""
    n_groups = (config or CalibrationConfig()).n_groups
    n_rows = len(workloads)
    return CalibrationState(
        tuple(workloads),
        levels,
        np.zeros((n_rows, levels.size, n_groups)),
        np.zeros((n_rows, n_groups)),
        np.zeros((n_rows, n_groups)),
        np.zeros(n_rows, dtype=np.int64),
        np.zeros((n_rows, levels.size), dtype=np.int64),
    )


def horizon_groups(horizon: int, n_groups: int) -> I64:
    """Group of each step ahead, `(H,)`: bounds grow geometrically (1-2, 3-5, 6-12 of 12)."""
    steps = np.arange(1, horizon + 1)
    edges = np.geomspace(1, horizon + 1, n_groups + 1)[1:-1]
    return np.searchsorted(edges, steps, side="left").astype(np.int64)


def _at(levels: F64, level: float) -> int:
    return int(np.argmin(np.abs(levels - level)))


def _spread(quantiles: npt.NDArray[np.floating[Any]], levels: F64) -> F64:
    """Distance between the spread levels of each forecast, `(B, H)`."""
    low, high = (quantiles[:, _at(levels, v)] for v in SPREAD_LEVELS)
    return np.asarray(high - low, dtype=np.float64)


def _unit(quantiles: F64, state: CalibrationState, groups: I64) -> F64:
    """What an offset of one is worth, `(B, Q, H)`: the running error at the demand now forecast.

    Short of the extremes it is held near the forecast's spread where that is much smaller: after
    rare jumps, steps in the running error would be coarse for the centre.
    """
    error, usual = state.error_scale[:, groups], state.demand_scale[:, groups]
    upper = quantiles[:, _at(state.levels, SPREAD_LEVELS[1])]
    spread = _spread(quantiles, state.levels)
    is_known = error > 0
    ratio = (upper + error) / np.where(is_known, usual + error, 1)
    unit = np.where(is_known, error * np.clip(ratio, *DEMAND_RATIO_LIMITS), spread)
    share = SPREADS_PER_ERROR * spread / np.where(unit > 0, unit, 1)
    log_share = np.log(np.clip(share, SPREAD_FLOOR_RATIO, 1))
    is_central = 1 - np.abs(2 * state.levels - 1) ** 16
    return np.asarray(unit[:, None] * np.exp(is_central[:, None] * log_share[:, None]))


def corrected(quantiles: F32, state: CalibrationState) -> F32:
    """Quantiles `(W, Q, H)` of the state's workloads moved by its offsets; ordered and >= 0."""
    groups = horizon_groups(quantiles.shape[2], state.offsets.shape[2])
    raw = quantiles.astype(np.float64)
    moved = raw + state.offsets[:, :, groups] * _unit(raw, state, groups)
    return np.maximum(np.maximum.accumulate(moved, axis=1), 0).astype(np.float32)


def calibrate(forecast: Forecast, state: CalibrationState) -> Forecast:
    """Correct quantiles by the state and carry the paths along, keeping their ranks.

    Args:
        forecast: B forecasts as the predictor made them.
        state: State with the same workloads in the same order.
    """
    _check_match(forecast, state)
    quantiles = corrected(forecast.quantiles, state)
    paths = np.empty_like(forecast.paths)
    for start in range(0, len(forecast), CHUNK_ROWS):
        at = slice(start, start + CHUNK_ROWS)
        moved = shift_paths(forecast.paths[at], forecast.quantiles[at], quantiles[at])
        np.maximum(moved, np.float32(0), out=paths[at])
    return replace(forecast, quantiles=quantiles, paths=paths)


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
    return learned(state, forecast.quantiles, actual, observed, config)


def learned(
    state: CalibrationState,
    quantiles: F32,
    actual: F32,
    observed: Bool,
    config: CalibrationConfig | None = None,
) -> CalibrationState:
    """`observe` for bare quantiles `(W, Q, H)` of the state's workloads."""
    setting = config or CalibrationConfig()
    below = (actual[:, None] <= quantiles) & observed[:, None]
    groups = horizon_groups(quantiles.shape[2], state.offsets.shape[2])
    member = (groups[:, None] == np.arange(state.offsets.shape[2])).astype(np.float64)
    n_seen = observed @ member
    scales = _running_scales(state, quantiles, (actual, observed), (groups, member), setting)
    # A value equal to the quantile (a demand of exactly zero) is neither above nor below it.
    is_tied = (actual[:, None] == quantiles) & observed[:, None]
    under = np.where(is_tied, state.levels[:, None], below)
    miss = np.where(observed[:, None], state.levels[:, None] - under, 0) @ member
    step = setting.rates(state.levels)[:, None] * _shared(miss, n_seen, setting)
    offsets = np.clip(state.offsets * scales.kept[:, None] + step, -setting.limit, setting.limit)
    return replace(
        state,
        offsets=offsets,
        error_scale=scales.error,
        demand_scale=scales.demand,
        n_seen=state.n_seen + observed.sum(axis=1),
        n_below=state.n_below + below.sum(axis=2),
    )


def _shared(miss: F64, n_seen: F64, config: CalibrationConfig) -> F64:
    """Mean miss `(W, Q, K)`, in part that of the whole horizon and of the whole batch.

    Args:
        miss: `(W, Q, K)` sums of level minus share below.
        n_seen: `(W, K)` outcomes behind them.
        config: Shares.
    """
    has = (n_seen > 0)[:, None]
    near = miss / np.maximum(n_seen, 1)[:, None]
    whole = miss.sum(axis=2) / np.maximum(n_seen.sum(axis=1), 1)[:, None]
    own = (1 - config.horizon_ratio) * near + config.horizon_ratio * whole[..., None]
    own = np.where(has, own, 0)
    pool = own.sum(axis=0) / np.maximum(has.sum(axis=0), 1)
    shared = (1 - config.pool_ratio) * own + config.pool_ratio * pool
    return np.where(has, shared, 0)


class _Scales(NamedTuple):
    """Running error, the demand it goes with, and the share of the offsets kept; `(W, K)` each."""

    error: F64
    demand: F64
    kept: F64


def _running_scales(
    state: CalibrationState,
    quantiles: F32,
    happened: tuple[F32, Bool],
    grouping: tuple[I64, F64],
    config: CalibrationConfig,
) -> _Scales:
    """The scales after these outcomes."""
    (actual, observed), (groups, member) = happened, grouping
    n_seen = observed @ member
    levels = state.levels

    def mean(values: npt.NDArray[np.floating[Any]]) -> F64:
        seen = np.where(observed, values, 0).astype(np.float64)
        return np.asarray((seen @ member) / np.maximum(n_seen, 1))

    is_known = state.error_scale > 0
    error = ERROR_TO_SPREAD * np.abs(actual - quantiles[:, _at(levels, 0.5)], dtype=np.float64)
    spread = mean(_spread(quantiles, levels))
    before = np.where(is_known, state.error_scale, np.where(spread > 0, spread, mean(error)))
    error = np.minimum(error, config.outlier_limit * before[:, groups])
    upper = mean(quantiles[:, _at(levels, SPREAD_LEVELS[1])])
    usual = np.where(is_known, state.demand_scale, upper)
    total = n_seen.sum(axis=1)[:, None]
    rate = total / (state.n_seen[:, None] + total + PRIOR_OUTCOMES)
    rate = np.clip(rate, np.minimum(total / config.memory, 1), 1)
    has = n_seen > 0
    after = np.where(has, before + rate * (mean(error) - before), state.error_scale)
    is_new_regime = is_known & (mean(error) > config.regime_error * before)
    return _Scales(
        after,
        np.where(has, usual + rate * (upper - usual), state.demand_scale),
        np.where(is_new_regime, before / np.where(is_new_regime, after, 1), 1),
    )


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
            "offsets": state.offsets[i].round(6).tolist(),
            "error_scale": state.error_scale[i].tolist(),
            "demand_scale": state.demand_scale[i].tolist(),
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
    """State of `workloads`; one that is not stored, or has other levels or groups, starts empty.

    Objects without a running error (of earlier versions) count offsets in the forecast's spread.
    """
    state = empty_state(workloads, levels, config)
    for i, workload in enumerate(workloads):
        raw = stored.get(workload)
        if raw is None or np.shape(raw["offsets"]) != state.offsets[i].shape:
            continue
        if np.allclose(raw["levels"], levels, atol=1e-6):
            state.offsets[i] = raw["offsets"]
            state.error_scale[i] = raw.get("error_scale", 0.0)
            state.demand_scale[i] = raw.get("demand_scale", 0.0)
            state.n_seen[i] = raw["n_seen"]
            state.n_below[i] = raw["n_below"]
    return state
