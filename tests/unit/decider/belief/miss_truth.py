"""A true response, and steps counted under it."""

from __future__ import annotations

import numpy as np

from decider.belief.miss_prior import PRIOR_SHARE, MissPrior, to_draws
from decider.miss_draws import MissDraws
from decider.types import FloatArray

STATED, WITHIN = 10.0, 0.01
N_STEPS, N_DRAWS = 120, 200
PRIOR = MissPrior.stated(STATED, 0.0, PRIOR_SHARE)
FURTHER = (400.0, 2.0, 9.0)
"""Stated capacities of further loads."""
LOADS_PRIOR = MissPrior.stated(STATED, 0.0, PRIOR_SHARE, FURTHER)
Steps = tuple[FloatArray, FloatArray, FloatArray]


def response(error: float, slope: float = 14.0, floor: float = 0.002) -> MissDraws:
    """The truth where the stated capacity is off by `error`."""
    odds = np.log(floor / (1 - floor))
    at = np.array([[np.log1p(error), np.log(slope), odds, np.log(80.0)]])
    return to_draws(at, STATED, PRIOR_SHARE)


def count(truth: MissDraws, load: FloatArray, n: float, seed: int = 0) -> Steps:
    """Steps of about `n` requests at loads (N,) or (N, 1+F)."""
    rng = np.random.default_rng(seed)
    total = rng.poisson(n, load.shape[0])
    share, near = np.clip(truth.miss(load)[0], 1e-9, 1 - 1e-6), truth.concentration[0]
    missed = rng.binomial(total, rng.beta(share * near, (1 - share) * near))
    return load, missed.astype(float), total.astype(float)


def ramp(top: float, seed: int = 0) -> FloatArray:
    """Two hours of the daily rise, as loads up to about `top`."""
    rng = np.random.default_rng(seed)
    wave = 1.0 + 0.05 * rng.standard_normal(N_STEPS)
    return np.asarray(top * np.linspace(0.4, 1.0, N_STEPS) * wave)


def mixed_loads(n_steps: int, n_further: int, top: float, seed: int = 0) -> FloatArray:
    """(N, 1+F) loads of which now one, now another is high: use about a third of `top` to `top`."""
    rng = np.random.default_rng(seed)
    mix = rng.dirichlet(np.ones(1 + n_further), n_steps) * np.sqrt(1 + n_further)
    stated = np.array([STATED, *FURTHER[:n_further]])
    return np.asarray(stated * top * rng.uniform(0.35, 1.0, (n_steps, 1)) * mix)
