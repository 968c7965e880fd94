"""Arrivals at a changing rate, as bursty as wanted, by a seed.

Shapes: T seconds, N requests.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from services.lab.arena.requests import FloatArray, LengthMix, RequestList, Shape

_POISSON = 1.0


def arrivals_s(rate_rps: FloatArray, cv: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(N,) times of requests.

    Gaps follow a gamma law in the time that the rate's integral tells, so that a gap's coefficient
    of variation is the one asked for and their mean follows the rate.

    Args:
        rate_rps: (T,) requests/s in each second, >= 0.
        cv: (T,) coefficient of variation of gaps; 1 is Poisson.
        rng: Source of chance.
    """
    expected = np.concatenate([[0.0], np.cumsum(rate_rps)])
    starts = np.concatenate([[0], np.flatnonzero(np.diff(cv)) + 1, [cv.size]])
    events = [
        expected[first] + _renewals(float(expected[last] - expected[first]), float(cv[first]), rng)
        for first, last in pairwise(starts)
    ]
    seconds = np.arange(expected.size, dtype=np.float64)
    return np.asarray(np.interp(np.concatenate(events), expected, seconds), np.float64)


def _renewals(until: float, cv: float, rng: np.random.Generator) -> FloatArray:
    """(N,) events before `until`, with gaps of mean 1."""
    shape, found = 1.0 / cv**2, np.zeros(1)
    while found[-1] < until:
        n_left = int(until - found[-1]) + 64
        gaps = rng.gamma(shape, 1.0 / shape, n_left)
        found = np.concatenate([found, found[-1] + np.cumsum(gaps)])
    return found[1:][found[1:] < until]


def poisson_s(rate_rps: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(N,) times of Poisson arrivals at a changing rate."""
    return arrivals_s(rate_rps, np.full(rate_rps.size, _POISSON), rng)


def with_lengths(
    times_s: FloatArray, shape: Shape, mix: LengthMix, rng: np.random.Generator
) -> RequestList:
    """Requests at those times, lengths drawn from a mix."""
    pairs = rng.integers(0, mix.input_ratio.size, times_s.size)
    inputs = np.rint(mix.input_ratio[pairs] * shape.mean_input).astype(np.int64)
    outputs = np.rint(mix.output_ratio[pairs] * shape.mean_output).astype(np.int64)
    return RequestList(
        times_s * 1e3, np.clip(inputs, 1, shape.max_input), np.clip(outputs, 1, shape.max_output)
    )
