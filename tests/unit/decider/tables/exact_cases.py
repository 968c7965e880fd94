"""Laws and their integrals by brute force."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider import StepQuantiles
from forecaster.config import QUANTILE_LEVELS
from forecaster.quantiles import tail_rates

LEVELS = np.array(QUANTILE_LEVELS)
N_POINTS = 100_000


def steps_of(*columns: np.ndarray) -> StepQuantiles:
    """A quantile function from the quantiles of each step."""
    return StepQuantiles(LEVELS, np.stack(columns, axis=1).astype(float))


def demand_points(values: np.ndarray) -> np.ndarray:
    """(N_POINTS,) demand at even points of a quantile function (Q,), by the forecaster's rule."""
    u = (np.arange(N_POINTS) + 0.5) / N_POINTS
    demand = np.interp(u, LEVELS, values)
    low, low_factor, high, high_factor = tail_rates(LEVELS)
    fall, rise = (values[low] - values[0]) * low_factor, (values[-1] - values[high]) * high_factor
    demand = np.where(u < LEVELS[0], values[0] - fall * np.log(LEVELS[0] / u), demand)
    beyond = values[-1] + rise * np.log((1 - LEVELS[-1]) / (1 - u))
    return np.maximum(np.where(u > LEVELS[-1], beyond, demand), 0.0)


@dataclass(frozen=True, slots=True)
class Brute:
    """Tables of one step by counting: (K,) each."""

    violation: np.ndarray
    unmet: np.ndarray
    shortage: np.ndarray


def brute(values: np.ndarray, factors: np.ndarray, capacity: np.ndarray, counts: np.ndarray):
    """Count over every point, factor and capacity."""
    points = demand_points(values)
    middle = points.mean()
    spread = np.sort(
        np.concatenate([np.maximum(middle + f * (points - middle), 0.0) for f in factors])
    )
    beyond = np.append(np.cumsum(spread[::-1])[::-1], 0.0)
    found: list[tuple[float, float, float]] = []
    for count in counts:
        first = np.searchsorted(spread * (1.0 - 1e-9), count * capacity, side="right")
        above, demand = (spread.size - first) / spread.size, beyond[first] / spread.size
        short = (demand - count * capacity * above).mean() / capacity.mean()
        found.append((above.mean(), demand.mean() / spread.mean(), short))
    return Brute(*(np.array(column) for column in zip(*found, strict=True)))
