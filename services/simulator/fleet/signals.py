"""Building blocks of generated demand: cycles, correlated noise, bursts, launches, level shifts.

All take times in seconds, so that another step length gives the same kind of fleet.
"""

from __future__ import annotations

import numpy as np

from services.simulator.fleet.arrays import FloatArray

DAY_S = 86_400.0


def daily_cycle(
    time_s: FloatArray, amplitude: float, peak_s: float, sharpness: float
) -> FloatArray:
    """Log-intensity of a day: a cosine with two harmonics that sharpen or split its peak.

    Args:
        time_s: (T,) epoch seconds.
        amplitude: Half of the log range of the fundamental.
        peak_s: Time of day of the peak.
        sharpness: Weight of the second harmonic, in [-0.5, 0.5].
    """
    phase = 2 * np.pi * (time_s - peak_s) / DAY_S
    wave = np.cos(phase) + sharpness * np.cos(2 * phase) + 0.3 * sharpness * np.sin(3 * phase)
    return amplitude * wave


def weekly_cycle(time_s: FloatArray, weekend_log: float) -> FloatArray:
    """Log-intensity of a week: `weekend_log` on Saturday and Sunday (UTC), smooth over 3 hours."""
    # 1970-01-01 was a Thursday: shift so that day 0 is Monday
    day = ((time_s / DAY_S) + 3.0) % 7.0
    width = 3.0 / 24.0
    rise = 1.0 / (1.0 + np.exp(-(day - 5.0) / width))
    fall = 1.0 / (1.0 + np.exp(-(day - 7.0) / width)) + 1.0 / (1.0 + np.exp(-day / width)) - 1.0
    return weekend_log * np.clip(rise - fall, 0.0, 1.0)


def ou_noise(rng: np.random.Generator, W: int, T: int, step_s: float, tau_s: float) -> FloatArray:
    """Stationary Ornstein-Uhlenbeck paths of unit variance with heavy-tailed innovations.

    Args:
        rng: Source of randomness.
        W: Paths.
        T: Steps.
        step_s: Step length.
        tau_s: Correlation time.
    """
    rho = float(np.exp(-step_s / tau_s))
    # Student t with 5 degrees of freedom, scaled to unit variance
    shocks = rng.standard_t(5.0, size=(T, W)) * np.sqrt(3.0 / 5.0)
    path = np.empty((T, W))
    path[0] = shocks[0]
    gain = np.sqrt(1.0 - rho * rho)
    for t in range(1, T):
        path[t] = rho * path[t - 1] + gain * shocks[t]
    return np.ascontiguousarray(path.T)


def burst_shape(time_s: FloatArray, start_s: float, rise_s: float, decay_s: float) -> FloatArray:
    """A burst of height 1: linear rise, exponential decay, nothing before `start_s`."""
    age = time_s - start_s
    rising = np.clip(age / rise_s, 0.0, 1.0)
    return np.where(age > 0, rising * np.exp(-np.maximum(age - rise_s, 0.0) / decay_s), 0.0)


def bursts(
    rng: np.random.Generator, time_s: FloatArray, per_day: float, typical_height: float
) -> FloatArray:
    """Bursts at Poisson times with Pareto heights, relative to a mean intensity of 1."""
    span_s = float(time_s[-1] - time_s[0])
    total = np.zeros_like(time_s)
    for _ in range(int(rng.poisson(per_day * span_s / DAY_S))):
        start_s = float(time_s[0] + rng.uniform(0.0, span_s))
        height = typical_height * min(1.0 + float(rng.pareto(2.5)), 6.0)
        rise_s, decay_s = rng.uniform(60, 720), rng.uniform(600, 3600)
        total += height * burst_shape(time_s, start_s, float(rise_s), float(decay_s))
    return total


def level_shifts(
    rng: np.random.Generator, time_s: FloatArray, per_day: float, sigma: float
) -> FloatArray:
    """Regime changes: the log level jumps at Poisson times and stays, pulled halfway to zero."""
    span_s = float(time_s[-1] - time_s[0])
    n = int(rng.poisson(per_day * span_s / DAY_S))
    total = np.zeros_like(time_s)
    level = 0.0
    for at_s in np.sort(rng.uniform(time_s[0], time_s[-1], size=n)):
        level = 0.5 * level + float(rng.normal(0.0, sigma))
        total[time_s >= at_s] = level
    return total


def launch(time_s: FloatArray, at_s: float, duration_s: float, growth_log: float) -> FloatArray:
    """A launch: a logistic ramp of `growth_log` around `at_s` that takes about `duration_s`."""
    return growth_log / (1.0 + np.exp(-(time_s - at_s) / (duration_s / 6.0)))
