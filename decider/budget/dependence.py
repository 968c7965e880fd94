"""How much services' demands move together beyond what is forecast of each.

Paths are forecast for each service alone, so what they do together is not in them. It is learned
from outcomes: where each fell within its forecast, as a normal score, and the mean correlation of
these scores between services in the same step.

Shapes: Q levels, T steps, W services.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from decider.types import FloatArray

MOST_DEPENDENCE = 0.99
_PRIOR_DEPENDENCE, _PRIOR_STEPS = 0.5, 30.0
_LEAST_SCORES = 8


def forecast_score(levels: FloatArray, values: FloatArray, outcome: float) -> float:
    """Normal score of an outcome within its forecast: 0 at the median, 2.3 at p99.

    Args:
        levels: (Q,) rising quantile levels in (0, 1).
        values: (Q,) quantiles, not falling.
        outcome: What then was; beyond the outermost levels it counts as half as far out as they.
    """
    low, high = (int(np.searchsorted(values, outcome, side=side)) for side in ("left", "right"))
    if high > low:
        level = 0.5 * (levels[low] + levels[high - 1])
    elif low == 0:
        level = 0.5 * levels[0]
    elif low == values.size:
        level = 1.0 - 0.5 * (1.0 - levels[-1])
    else:
        level = np.interp(outcome, values, levels)
    return float(ndtri(level))


def learn_dependence(scores: FloatArray) -> tuple[float, int]:
    """Correlation of services' demands within their forecasts, and the steps it is learned from.

    It is the mean over pairs of services and steps. Before anything is seen it is 0.5, which counts
    for 30 steps: services that are taken for independent need too little together.

    Args:
        scores: (T, W) `forecast_score` of each step and service; NaN where it is not known.
    """
    known = np.isfinite(scores)
    filled = np.where(known, scores, 0.0)
    n_seen = known.sum(axis=0)
    mean = filled.sum(axis=0) / np.maximum(n_seen, 1)
    away = np.where(known, filled - mean, 0.0)
    spread = np.sqrt((away**2).sum(axis=0) / np.maximum(n_seen, 1))
    is_used = (n_seen >= _LEAST_SCORES) & (spread > 1e-9)
    z = away[:, is_used] / spread[is_used]
    n_known = known[:, is_used].sum(axis=1)
    pairs = (n_known * (n_known - 1)).sum()
    n_steps = int((n_known > 1).sum())
    if n_steps == 0:
        return _PRIOR_DEPENDENCE, 0
    seen = float((z.sum(axis=1) ** 2 - (z**2).sum(axis=1)).sum() / pairs)
    learned = (_PRIOR_STEPS * _PRIOR_DEPENDENCE + n_steps * seen) / (_PRIOR_STEPS + n_steps)
    return min(max(learned, 0.0), MOST_DEPENDENCE), n_steps
