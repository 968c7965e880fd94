"""Offsets of a forecast's quantiles: what is known of them, and what they move.

Offsets are counted in the workload's own running error (docs/decisions/0007), each level and each
group of steps ahead for itself. `calibration` learns them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from forecaster.errors import ShapeError
from forecaster.online.learner import LearnerState
from forecaster.types import F32, F64, I64

SPREAD_LEVELS = (0.05, 0.95)
DEMAND_RATIO_LIMITS = (0.1, 10.0)
SPREADS_PER_ERROR = 2.0
"""Most spreads of the forecast that an offset of one is worth at the centre."""
SPREAD_FLOOR_RATIO = 0.01
"""Least share of the running error that it is worth there: a collapsed forecast is corrected."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationState(LearnerState):
    """State of W workloads at Q levels and K horizon groups.

    Args:
        workloads: W names.
        levels: `(Q,)`.
        offsets: `(W, Q, K)` in running errors.
        error_scale: `(W, K)` running error, in the demand's unit and on the scale of a spread;
            0 before the first outcome, when the forecast's own spread stands in for it.
        demand_scale: `(W, K)` running upper quantile that the running error goes with.
        n_seen: `(W,)` outcomes seen.
        below_ratio: `(W, Q)` share of them below each (calibrated) quantile, of newer ones more,
            see `running_coverage`.
    """

    SHARED: ClassVar[tuple[str, ...]] = ("levels",)
    N_DIGITS: ClassVar[Mapping[str, int]] = {"offsets": 6, "below_ratio": 9}

    levels: F64
    offsets: F64
    error_scale: F64
    demand_scale: F64
    n_seen: I64
    below_ratio: F64

    def __post_init__(self) -> None:
        """Check shapes."""
        n_rows, n_levels = len(self.workloads), self.levels.size
        n_groups = self.offsets.shape[-1]
        right = {
            "offsets": (n_rows, n_levels, n_groups),
            "error_scale": (n_rows, n_groups),
            "demand_scale": (n_rows, n_groups),
            "n_seen": (n_rows,),
            "below_ratio": (n_rows, n_levels),
        }
        for name, shape in right.items():
            if getattr(self, name).shape != shape:
                raise ShapeError(f"{name} has shape {getattr(self, name).shape}; {shape} is right")

    def coverage(self) -> F64:
        """Share of outcomes below each quantile, `(W, Q)`; NaN before the first outcome."""
        return np.asarray(np.where(self.n_seen[:, None] > 0, self.below_ratio, np.nan))


def horizon_groups(horizon: int, n_groups: int) -> I64:
    """Group of each step ahead, `(H,)`: bounds grow geometrically (1-2, 3-5, 6-12 of 12)."""
    steps = np.arange(1, horizon + 1)
    edges = np.geomspace(1, horizon + 1, n_groups + 1)[1:-1]
    return np.searchsorted(edges, steps, side="left").astype(np.int64)


def level_index(levels: F64, level: float) -> int:
    """Place of the level nearest to `level`."""
    return int(np.argmin(np.abs(levels - level)))


def spread_of(quantiles: npt.NDArray[np.floating[Any]], levels: F64) -> F64:
    """Distance between the spread levels of each forecast, `(B, H)`."""
    low, high = (quantiles[:, level_index(levels, v)] for v in SPREAD_LEVELS)
    return np.asarray(high - low, dtype=np.float64)


def _unit(quantiles: F64, state: CalibrationState, groups: I64) -> F64:
    """Worth of an offset of one, `(B, Q, H)`: the running error at the demand now forecast.

    Short of the extremes it is held near the forecast's spread where that is much smaller: after
    rare jumps, steps in the running error would be coarse for the centre.
    """
    error, usual = state.error_scale[:, groups], state.demand_scale[:, groups]
    upper = quantiles[:, level_index(state.levels, SPREAD_LEVELS[1])]
    spread = spread_of(quantiles, state.levels)
    is_known = error > 0
    ratio = (upper + error) / np.where(is_known, usual + error, 1)
    unit = np.where(is_known, error * np.clip(ratio, *DEMAND_RATIO_LIMITS), spread)
    share = SPREADS_PER_ERROR * spread / np.where(unit > 0, unit, 1)
    log_share = np.log(np.clip(share, SPREAD_FLOOR_RATIO, 1))
    is_central = 1 - np.abs(2 * state.levels - 1) ** 16
    return np.asarray(unit[:, None] * np.exp(is_central[:, None] * log_share[:, None]))


def moved_by(state: CalibrationState, quantiles: F32) -> F32:
    """Quantiles `(W, Q, H)` of the state's workloads moved by its offsets; ordered and >= 0."""
    groups = horizon_groups(quantiles.shape[2], state.offsets.shape[2])
    raw = quantiles.astype(np.float64)
    moved = raw + state.offsets[:, :, groups] * _unit(raw, state, groups)
    return np.maximum(np.maximum.accumulate(moved, axis=1), 0).astype(np.float32)
