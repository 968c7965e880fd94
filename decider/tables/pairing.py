"""Scenarios from paths: what each is paired with, and how far the paths are spread.

Shapes: W workloads, S paths or scenarios, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from decider.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Spreading:
    """How scenarios are made of paths.

    A few hundred paths know little of what lies beyond the largest of them, and at small risks that
    is where the decision lies. Each path is therefore taken `n_pairs` times, with its distance from
    the mean of its step scaled by stratified lognormal factors of mean one: a scale mixture, which
    smooths the tail in proportion to the forecast's own spread, and leaves a certain forecast
    certain. What falls below zero is none. That alone would raise the mean, so the scenarios of
    such a step are scaled back to it: the mean is kept.

    Attributes:
        n_pairs: Scenarios per path.
        sigma: Standard deviation of the logarithm of the factors; 0: none.
        keeps_mean: False: what falls below zero raises the mean, as before docs/decisions/0109.
    """

    n_pairs: int = 1
    sigma: float = 0.0
    keeps_mean: bool = True

    def factors(self) -> FloatArray:
        """(n_pairs,) factors by which distances from the mean are scaled."""
        if self.n_pairs == 1 or self.sigma <= 0:
            return np.ones(self.n_pairs)
        factors = np.exp(self.sigma * ndtri((np.arange(self.n_pairs) + 0.5) / self.n_pairs))
        return np.asarray(factors / factors.mean())

    def scenarios(self, paths: FloatArray) -> FloatArray:
        """(W, S * n_pairs, H) paths (W, S, H) with their distance from the mean scaled."""
        if self.n_pairs == 1:
            return paths
        if self.sigma <= 0:
            return np.repeat(paths, self.n_pairs, axis=1)
        factors = self.factors().astype(paths.dtype, copy=False)
        middle = paths.mean(axis=1, keepdims=True)
        away = (paths - middle)[:, :, None, :] * factors[:, None]
        away += middle[:, :, None, :]
        n, n_paths, horizon = paths.shape
        found = np.asarray(away.reshape(n, n_paths * self.n_pairs, horizon))
        if not found.size or found.min() >= 0:
            return found
        is_cut = found.min(axis=1, keepdims=True) < 0
        np.maximum(found, 0.0, out=found)
        if self.keeps_mean:
            mean = found.mean(axis=1, keepdims=True)
            found *= np.divide(middle, mean, out=np.ones_like(middle), where=is_cut)
        return found


@lru_cache(maxsize=64)
def paired_draws(n_draws: int, n_scenarios: int) -> IntArray:
    """(S,) draw that each scenario is taken with.

    Golden-ratio order spreads the draws over the paths without any randomness.
    """
    order = np.argsort(np.modf(np.arange(n_scenarios) * 0.6180339887498949)[0], kind="stable")
    picked: IntArray = ((order * n_draws) // n_scenarios).astype(np.int64)
    picked.setflags(write=False)  # whoever asks next gets the same array
    return picked
