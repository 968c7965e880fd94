"""Made-up demand of services, of many kinds and step lengths, to train the prior on."""

from __future__ import annotations

import numpy as np

from forecaster.pretrain.events import (
    bursts,
    gaps,
    jobs_in_service,
    level_changes,
    office_hours,
    pauses,
    weekly_calendar,
)
from forecaster.pretrain.kernels import Grid, composed, log_uniform, matern
from forecaster.types import F64, Bool, Series

INDICATOR = "demand"
STEPS_S = (60, 120, 300, 600, 900, 1800, 3600)
"""Step lengths, seconds."""
N_DAYS = (3.0, 25.0)
N_STEPS = (400, 6000)
LARGEST = 1e6
"""Largest demand over its median: beyond it a series says nothing of a service."""


def made_up_demand(n_series: int, seed: int) -> list[Series]:
    """Histories of one indicator, by step length; a longer list begins with the shorter one's.

    Args:
        n_series: How many.
        seed: Same seed, same bytes.
    """
    found = [_one(index, seed) for index in range(n_series)]
    return sorted(found, key=lambda one: one.step_s)


def univariate(workload: str, values: F64, seen: Bool, grid: Grid) -> Series:
    """A history `(T,)` of a demand and nothing else."""
    return Series(
        workload,
        values[:, None].astype(np.float32),
        seen[:, None],
        (INDICATOR,),
        (1,),
        0,
        grid.start_s,
        grid.step_s,
    )


def coarser(series: Series, step_s: int) -> Series:
    """The same history on longer steps: the mean of what was observed in each."""
    n = step_s // series.step_s
    skipped = -series.start_s // series.step_s % n
    n_steps = (series.n_steps - skipped) // n
    at = slice(skipped, skipped + n_steps * n)
    shape = (n_steps, n, len(series.indicators))
    values, observed = series.values[at].reshape(shape), series.observed[at].reshape(shape)
    count = observed.sum(axis=1)
    mean = (values.astype(np.float64) * observed).sum(axis=1) / np.maximum(count, 1)
    return univariate(
        f"{series.workload}@{step_s}",
        mean[:, 0],
        count[:, 0] > n / 2,
        Grid(n_steps, step_s, series.start_s + skipped * series.step_s),
    )


def _one(index: int, seed: int) -> Series:
    rng = np.random.Generator(np.random.PCG64([seed, index]))
    step_s = int(rng.choice(STEPS_S))
    n_steps = int(np.clip(log_uniform(rng, *N_DAYS) * 86_400 / step_s, *N_STEPS))
    grid = Grid(n_steps, step_s, int(rng.integers(0, 1_000_000)) * step_s)
    values = _measured(rng, grid, _intensity(rng, grid))
    seen = gaps(rng, grid) if rng.random() < 0.2 else np.ones(n_steps, dtype=bool)
    return univariate(f"made up/{index}", values * log_uniform(rng, 1e-2, 1e5), seen, grid)


def _intensity(rng: np.random.Generator, grid: Grid) -> F64:
    """What users ask for, about 1, >= 0."""
    course = composed(rng, grid)
    link = rng.random()
    if link < 0.65:
        demand = np.exp(np.clip(course, -8, 8))
    elif link < 0.9:
        demand = np.maximum(rng.uniform(0, 3) + course, 0)
    else:
        demand = course**2
    for make, share in ((weekly_calendar, 0.35), (office_hours, 0.25), (level_changes, 0.35)):
        if rng.random() < share:
            demand = demand * make(rng, grid)
    if rng.random() < 0.25:
        demand = demand * np.exp(rng.normal(0, 0.06) * grid.n_days * np.linspace(0, 1, demand.size))
    if rng.random() < 0.5:
        demand = demand + max(float(np.median(demand)), 1e-3) * bursts(rng, grid)
    if rng.random() < 0.08:
        demand = demand * pauses(rng, grid)
    typical = float(np.median(demand[demand > 0])) if (demand > 0).any() else 1.0
    return np.clip(demand / max(typical, 1e-9), 0, LARGEST)


def _measured(rng: np.random.Generator, grid: Grid, demand: F64) -> F64:
    """What is measured of it: noise, counts, jobs that stay, a limit, whole numbers."""
    kind = rng.random()
    if kind < 0.45:
        noise = np.full(demand.size, log_uniform(rng, 0.002, 0.6))
        if rng.random() < 0.3:  # noise that is larger at some times than at others
            noise = noise * np.exp(0.7 * matern(rng, grid, 30 * grid.step_s, 1))
        shocks = rng.standard_t(rng.uniform(3, 20), demand.size)
        demand = demand * np.exp(np.clip(noise * shocks, -3, 3))
    elif kind < 0.70:
        n_per_step = log_uniform(rng, 0.3, 1e4)
        clumps = log_uniform(rng, 0.3, 100.0)
        rate = demand * n_per_step * rng.gamma(clumps, 1 / clumps, demand.size)
        demand = rng.poisson(np.clip(rate, 0, 1e9)) / n_per_step
    elif kind < 0.85:
        demand = jobs_in_service(rng, grid, demand)
    if rng.random() < 0.10:
        demand = np.minimum(demand, np.quantile(demand, rng.uniform(0.5, 0.97)))
    if rng.random() < 0.08:
        size = log_uniform(rng, 2, 50) / max(float(np.median(demand)), 1e-9)
        demand = np.round(demand * size)
    return demand
