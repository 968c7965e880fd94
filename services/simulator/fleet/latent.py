"""The latent intensity behind a workload's requests, clients and work.

Daily and weekly cycles, level shifts, perhaps a launch, noise of its own and noise shared by the
fleet, bursts of its own and fleet-wide ones.
"""

from __future__ import annotations

import numpy as np

from services.kernel.clock import make_rng
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.draws import FleetOptions, WorkloadDraws, uniform
from services.simulator.fleet.profiles import KindProfile
from services.simulator.fleet.signals import (
    DAY_S,
    burst_shape,
    bursts,
    daily_cycle,
    launch,
    level_shifts,
    ou_noise,
    weekly_cycle,
)

REGION_PEAK_H = (4.0, 13.0, 20.0)
"""UTC hour of the daily peak in Asia, Europe and America."""


def latent_intensity(
    options: FleetOptions, draws: list[WorkloadDraws], grid_s: FloatArray
) -> FloatArray:
    """(W, T + margins) intensity of each workload, about 1 on average."""
    W, T = len(draws), grid_s.size
    shared = make_rng(options.seed, "shared")
    slow = ou_noise(shared, 1, T, options.step_s, 3 * 3600.0)[0]
    quick = ou_noise(shared, 1, T, options.step_s, 900.0)[0]
    incidents = _incident_times(shared, grid_s)
    own = make_rng(options.seed, "own")
    own_slow = ou_noise(own, W, T, options.step_s, 2700.0)
    own_quick = ou_noise(own, W, T, options.step_s, 300.0)

    latent = np.empty((W, T))
    for i, draw in enumerate(draws):
        rng = make_rng(options.seed, "latent", i)
        log_level = _slow_level(rng, options, draw.profile, grid_s)
        log_level += 0.10 * rng.uniform(0.3, 1.5) * slow + 0.04 * rng.uniform(0.3, 1.5) * quick
        log_level += rng.uniform(0.08, 0.20) * own_slow[i]
        log_level += rng.uniform(0.02, 0.06) * own_quick[i]
        extra = bursts(rng, grid_s, uniform(rng, *draw.profile.bursts_per_day), 0.30)
        for at_s, height in incidents:
            if rng.random() < 0.4:
                extra += height * burst_shape(grid_s, at_s, 600.0, 2400.0)
        latent[i] = np.exp(log_level) * (1.0 + extra)
    return latent


def _incident_times(rng: np.random.Generator, grid_s: FloatArray) -> list[tuple[float, float]]:
    """Fleet-wide bursts, about one in two days: (start, height)."""
    n = int(rng.poisson((grid_s[-1] - grid_s[0]) / (2 * DAY_S)))
    starts = rng.uniform(grid_s[0], grid_s[-1], size=n)
    return [(float(at_s), float(rng.uniform(0.2, 0.6))) for at_s in starts]


def _slow_level(
    rng: np.random.Generator, options: FleetOptions, profile: KindProfile, grid_s: FloatArray
) -> FloatArray:
    """(T,) log-intensity of cycles, level shifts and a possible launch."""
    peak_h = REGION_PEAK_H[int(rng.integers(len(REGION_PEAK_H)))] + rng.normal(0.0, 1.0)
    log_level = daily_cycle(
        grid_s, uniform(rng, *profile.daily_amplitude), peak_h * 3600.0, uniform(rng, -0.3, 0.3)
    )
    log_level += weekly_cycle(grid_s, uniform(rng, *profile.weekend_log))
    log_level += level_shifts(rng, grid_s, per_day=0.10, sigma=0.30)
    if rng.random() < 0.35:
        # a quarter of the launches fall into the replay, so that a short demo shows one or two
        in_replay = rng.random() < 0.25
        low = options.replay_start_s if in_replay else grid_s[0]
        at_s = rng.uniform(low, grid_s[-1])
        log_level += launch(
            grid_s, float(at_s), uniform(rng, 6, 36) * 3600.0, uniform(rng, 0.3, 0.8)
        )
    return log_level
