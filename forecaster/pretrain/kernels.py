"""Samples of Gaussian processes, composed at random from a few kernels.

A stationary kernel is sampled by its spectrum: white noise, weighed by the square root of the
spectral density, and transformed back. Sums and products of samples stand for sums and products of
kernels, so that a cycle may fade, drift and come back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecaster.config import DAY_S
from forecaster.types import F64

WEEK_S = 7 * DAY_S
MAX_HARMONICS = 12


@dataclass(frozen=True, slots=True)
class Grid:
    """Times of a series.

    Args:
        n_steps: T.
        step_s: Step length, seconds.
        start_s: Epoch seconds of the first step.
    """

    n_steps: int
    step_s: int
    start_s: int

    @property
    def time_s(self) -> F64:
        """`(T,)` epoch seconds."""
        return self.start_s + self.step_s * np.arange(self.n_steps, dtype=np.float64)

    @property
    def n_days(self) -> float:
        """Length in days."""
        return self.n_steps * self.step_s / DAY_S


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two positive ones, uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def of_spectrum(rng: np.random.Generator, grid: Grid, density: F64) -> F64:
    """A sample `(T,)` of unit variance with a spectral density at `frequencies(grid)`."""
    noise = rng.standard_normal((2, density.size))
    amplitude = np.sqrt(density)
    path = np.fft.irfft((noise[0] + 1j * noise[1]) * amplitude)[: grid.n_steps]
    # In expectation, not of this path: a slow process may well stay on one side.
    size = np.sqrt(4 * density[1:].sum()) / (2 * (density.size - 1))
    return np.asarray(path / max(size, 1e-12))


def frequencies(grid: Grid) -> F64:
    """Cycles per second of a path of twice the length, which is cut so that it does not close."""
    return np.asarray(np.fft.rfftfreq(2 * grid.n_steps, grid.step_s))


def matern(rng: np.random.Generator, grid: Grid, length_s: float, roughness: int) -> F64:
    """A Matérn process: of roughness 1 a mean-reverting walk, of 3 a smooth curve."""
    density = (1 + (2 * np.pi * frequencies(grid) * length_s) ** 2) ** -float(roughness)
    return of_spectrum(rng, grid, density)


def power_law(rng: np.random.Generator, grid: Grid, exponent: float) -> F64:
    """Noise without a time scale: of exponent 0 white, of 1 pink, of 2 a walk."""
    f = frequencies(grid)
    density = np.zeros_like(f)
    density[1:] = f[1:] ** -exponent
    return of_spectrum(rng, grid, density)


def cycle(rng: np.random.Generator, grid: Grid, period_s: float) -> F64:
    """A function of the phase, `(T,)` with unit variance: harmonics of falling weight."""
    n = int(rng.integers(1, MAX_HARMONICS + 1))
    order = np.arange(1, n + 1)
    weight = rng.standard_normal(n) * order ** -rng.uniform(0.4, 2.5)
    phase = rng.uniform(0, 2 * np.pi, n)
    angle = 2 * np.pi * grid.time_s / period_s
    wave = sum(w * np.cos(k * angle + p) for w, k, p in zip(weight, order, phase, strict=True))
    return np.asarray(wave / max(np.sqrt((weight**2).sum() / 2), 1e-12))


def composed(rng: np.random.Generator, grid: Grid) -> F64:
    """A sum of one to five samples, some of them multiplied by another; its spread is random."""
    total = np.zeros(grid.n_steps)
    for _ in range(int(rng.integers(1, 6))):
        term = _base(rng, grid)
        if rng.random() < 0.4:
            term = term * _base(rng, grid)
        total += log_uniform(rng, 0.05, 1.0) * term
    return total * log_uniform(rng, 0.04, 0.9) / max(float(total.std()), 1e-9)


def _base(rng: np.random.Generator, grid: Grid) -> F64:
    kind = rng.random()
    span_s = grid.n_steps * grid.step_s
    if kind < 0.30:
        return cycle(rng, grid, DAY_S)
    if kind < 0.42:
        return cycle(rng, grid, WEEK_S)
    if kind < 0.52:
        return cycle(rng, grid, log_uniform(rng, 4 * grid.step_s, span_s / 2))
    if kind < 0.85:
        length_s = log_uniform(rng, grid.step_s, span_s)
        return matern(rng, grid, length_s, int(rng.integers(1, 4)))
    return power_law(rng, grid, float(rng.uniform(0.2, 2.0)))
