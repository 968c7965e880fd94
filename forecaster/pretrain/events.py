"""What happens to a demand beside its slow course: calendars, level changes, bursts, pauses.

All work on a demand of about 1, `(T,)`, and take a generator. No range here is one of the fleet
generator's, which the prior is judged by.
"""

from __future__ import annotations

import numpy as np

from forecaster.config import DAY_S
from forecaster.pretrain.kernels import WEEK_S, Grid, log_uniform
from forecaster.types import F64, Bool


def weekly_calendar(rng: np.random.Generator, grid: Grid) -> F64:
    """A factor for days of the week: some are at rest, and now and then a working day is."""
    week = np.ones(7)
    n_at_rest = int(rng.integers(1, 4))
    first = int(rng.integers(0, 7))
    week[(first + np.arange(n_at_rest)) % 7] = log_uniform(rng, 0.02, 2.5)
    shift_s = rng.uniform(0, DAY_S)
    day = np.floor((grid.time_s + shift_s) / DAY_S).astype(np.int64)
    factor = week[day % 7]
    holidays = rng.random(int(day[-1] - day[0]) + 1) < 0.02
    return np.where(holidays[day - day[0]], week[first], factor)


def office_hours(rng: np.random.Generator, grid: Grid) -> F64:
    """A plateau once a day, with flanks of minutes to hours and perhaps a dip in its middle."""
    length = rng.uniform(0.1, 0.8)
    phase = (grid.time_s / DAY_S + rng.uniform(0, 1)) % 1.0
    flank = log_uniform(rng, 0.003, 0.15)
    rise = np.clip(phase / flank, 0, 1)
    fall = np.clip((length - phase) / flank, 0, 1)
    plateau = np.minimum(rise, fall)
    if rng.random() < 0.3:
        width = length * rng.uniform(0.05, 0.25)
        plateau *= 1 - rng.uniform(0.1, 0.9) * np.exp(-(((phase - length / 2) / width) ** 2))
    night = log_uniform(rng, 0.005, 0.95)
    return np.asarray(night + (1 - night) * plateau)


def level_changes(rng: np.random.Generator, grid: Grid) -> F64:
    """A factor that jumps at random steps; in some series it goes back and forth between states."""
    n = int(rng.poisson(log_uniform(rng, 0.3, 30.0)))
    at = np.sort(rng.integers(0, grid.n_steps, n))
    state = np.zeros(grid.n_steps, dtype=np.int64)
    np.add.at(state, at, 1)
    state = np.cumsum(state)
    spread = log_uniform(rng, 0.05, 1.2)
    if rng.random() < 0.5:
        levels = rng.laplace(0, spread, int(rng.integers(2, 5)))
        order = rng.integers(0, levels.size, n + 1)
        return np.exp(levels[order])[state]
    return np.asarray(np.exp(np.cumsum(np.r_[0.0, rng.laplace(0, spread, n)]))[state])


def bursts(rng: np.random.Generator, grid: Grid) -> F64:
    """Added demand: peaks of random height and length, at random times or by a timetable."""
    added = np.zeros(grid.n_steps)
    is_timetable = rng.random() < 0.3
    if is_timetable:
        period = int(rng.choice([900, 3600, 3 * 3600, 6 * 3600, DAY_S, WEEK_S])) // grid.step_s
        at = np.arange(int(rng.integers(0, max(period, 3))), grid.n_steps, max(period, 3))
        heights = log_uniform(rng, 0.05, 5.0) * rng.lognormal(0, rng.uniform(0, 0.6), at.size)
        heights *= rng.random(at.size) < rng.uniform(0.6, 1.0)
    else:
        most = grid.n_steps / 8
        at = rng.integers(0, grid.n_steps, int(rng.poisson(log_uniform(rng, 0.5, most))))
        heights = log_uniform(rng, 0.05, 3.0) * rng.lognormal(0, rng.uniform(0.1, 1.2), at.size)
    longest = log_uniform(rng, 1.0, max(grid.n_steps / 20, 2.0))
    tail = rng.choice(4)
    for start, height in zip(at, heights, strict=True):
        length = longest * (1.0 if is_timetable else float(rng.exponential(1.0)))
        n = min(int(8 * length) + 2, grid.n_steps - int(start))
        age = np.arange(n) / max(length, 0.3)
        added[start : start + n] += height * _shape(age, int(tail))
    return added


def _shape(age: F64, kind: int) -> F64:
    """Course of a burst by its age in lengths: sudden, box, slow to come, long to go."""
    if kind == 0:
        return np.asarray(np.exp(-age))
    if kind == 1:
        return np.asarray((age < 1).astype(np.float64))
    if kind == 2:
        return np.asarray(age * np.exp(1 - age))
    return np.asarray((1 + 3 * age) ** -1.3)


def pauses(rng: np.random.Generator, grid: Grid) -> F64:
    """One while there is demand, zero while there is none; both last random times."""
    on, off = (log_uniform(rng, 2.0, grid.n_steps / 3) for _ in range(2))
    n = int(grid.n_steps / (on + off) * 2) + 8
    lengths = np.stack([rng.exponential(on, n), rng.exponential(off, n)], axis=1).ravel()
    ends = np.cumsum(np.ceil(lengths))
    return np.asarray((np.searchsorted(ends, np.arange(grid.n_steps), side="right") + 1) % 2.0)


def jobs_in_service(rng: np.random.Generator, grid: Grid, intensity: F64) -> F64:
    """Jobs that are running when they arrive by `intensity` and stay for random times."""
    mean_steps = log_uniform(rng, 1.0, grid.n_steps / 10)
    per_step = log_uniform(rng, 1.0, 300.0) / mean_steps
    arrivals = rng.poisson(np.clip(intensity, 0, 50) * per_step)
    at = np.repeat(np.arange(grid.n_steps), arrivals)
    spread = rng.uniform(0.2, 1.8)
    stay = rng.lognormal(np.log(mean_steps) - spread**2 / 2, spread, at.size)
    ends = np.minimum(at + np.ceil(stay).astype(np.int64), grid.n_steps)
    size = rng.choice([1, 1, 2, 4, 8], at.size)
    change = np.zeros(grid.n_steps + 1)
    np.add.at(change, at, size)
    np.add.at(change, ends, -size)
    return np.asarray(np.cumsum(change)[:-1])


def gaps(rng: np.random.Generator, grid: Grid) -> Bool:
    """Steps that were observed, `(T,)`."""
    seen = np.ones(grid.n_steps, dtype=bool)
    for start in rng.integers(0, grid.n_steps, int(rng.poisson(log_uniform(rng, 1, 20)))):
        seen[start : start + int(np.ceil(rng.exponential(log_uniform(rng, 1, 60))))] = False
    return seen
