"""Demand within the steps of a trace that is coarser than the policies are fast.

Nobody knows what happened within a step of ten minutes. Two ways of making it up, each with the
step's own mean, are looked at side by side: what holds in one of them alone is no result. Neither
shows a fast policy anything of a step that has not begun: what is drawn within a step depends on
its mean and on the means of earlier steps.

Shapes: W workloads, C coarse steps, n sub-steps of a step.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from services.simulator.fleet.arrays import FloatArray

MAD_TO_SIGMA = 1.4826
MOST_SIGMA = 1.0
LATEST_JUMP = 0.5
LEAST_LEVEL = 0.25
"""After a jump the level is at least this share of the step's mean."""


class Bridge(StrEnum):
    """How demand moves within a step.

    Attributes:
        NONE: It does not: the trace is as fine as the race.
        WALK: A random walk about the step's mean, as rough as the means are from step to step.
        JUMP: The mean of the step before, until a random time in the first half of the step.
    """

    NONE = "none"
    WALK = "walk"
    JUMP = "jump"


def bridged(
    demand: FloatArray, n: int, bridge: Bridge, n_before: int, rng: np.random.Generator
) -> FloatArray:
    """(W, C * n) demand of sub-steps; the mean of each step is kept, unknown steps stay unknown.

    Args:
        demand: (W, C) means, NaN where unknown.
        n: Sub-steps of a step.
        bridge: Which kind.
        n_before: Steps of the history, by which a walk's roughness is measured.
        rng: Of everything that is made up.
    """
    if bridge is Bridge.NONE or n == 1:
        return np.repeat(demand, n, axis=1)
    if bridge is Bridge.WALK:
        shape = _walk(demand, n, roughness(demand[:, :n_before]), rng)
    else:
        shape = _jump(demand, n, rng)
    return np.asarray((demand[:, :, None] * shape).reshape(demand.shape[0], -1))


def _walk(demand: FloatArray, n: int, rough: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(W, C, n) random walks over their own means.

    The means of a random walk over steps differ by 2/3 of its variance in a step.
    """
    sigma = np.sqrt(1.5 / n) * rough
    moves = sigma[:, None, None] * rng.standard_normal((*demand.shape, n))
    level = np.exp(np.cumsum(moves, axis=2))
    return np.asarray(level / level.mean(axis=2, keepdims=True))


def _jump(demand: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """(W, C, n) the level before, then the level that gives the step its mean."""
    before = np.concatenate([demand[:, :1], demand[:, :-1]], axis=1)
    ratio = np.where((demand > 0) & np.isfinite(before), before / np.maximum(demand, 1e-12), 1.0)
    # the level after the jump is (1 - share * ratio) / (1 - share)
    most = np.where(ratio > LEAST_LEVEL, (1.0 - LEAST_LEVEL) / np.maximum(ratio, 1e-12), 1.0)
    at = np.floor(n * np.minimum(rng.uniform(0.0, LATEST_JUMP, demand.shape), most))
    after = (n - at * ratio) / (n - at)
    shape = np.where(np.arange(n) < at[:, :, None], ratio[:, :, None], after[:, :, None])
    return np.asarray(shape, dtype=float)


def roughness(demand: FloatArray) -> FloatArray:
    """(W,) standard deviation of the logarithm's change from step to step, without its outliers."""
    is_known = np.isfinite(demand)
    mean = np.where(is_known, demand, 0.0).sum(axis=1) / np.maximum(is_known.sum(axis=1), 1)
    level = np.log(np.maximum(demand, np.maximum(1e-3 * mean, 1e-12)[:, None]))
    change = np.abs(np.diff(level, axis=1))
    found = [np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else 0.0 for row in change]
    spread = MAD_TO_SIGMA * np.array(found)
    return np.asarray(np.minimum(spread, MOST_SIGMA), dtype=float)
