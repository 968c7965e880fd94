"""A posterior taken at its mean: what is lost where its spread is thrown away."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from decider import MissDraws
from services.simulator.fleet.arrays import FloatArray

_LEAST = 1e-9
_ABOVE_ONE = 1e-6


def at_mean(draws: MissDraws, share: float) -> MissDraws:
    """One draw at the mean of the coordinates that Harmony learns in.

    Those are the logarithms of the knee, the slope, the concentration, of what the sharing exponent
    is above 1, and of the further capacities over the first; of the floor the log odds.

    Args:
        draws: P draws.
        share: Share that is missed at the knee.
    """
    rows = draws.to_array()
    rise = logit(share)
    slope = np.exp(_mean_log(rows[:, 1]))
    knee = np.exp(_mean_log(rows[:, 0]) + float((rise / rows[:, 1]).mean()))
    floor = expit(logit(np.maximum(rows[:, 2], _LEAST)).mean())
    own = [knee * np.exp(-rise / slope), slope, floor, np.exp(_mean_log(rows[:, 3]))]
    if rows.shape[1] > 4:
        sharing = 1.0 + np.exp(_mean_log(np.maximum(rows[:, 4] - 1.0, _ABOVE_ONE)))
        ratio = np.exp(np.log(rows[:, 5:] / rows[:, :1]).mean(axis=0))
        own += [sharing, *(own[0] * ratio)]
    return MissDraws.from_array(np.array([own]))


def _mean_log(values: FloatArray) -> float:
    return float(np.log(values).mean())
