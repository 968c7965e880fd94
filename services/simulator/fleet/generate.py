"""Seeded generator of a fleet: LLM, diffusion and vision services with life in their demand.

Requests follow a latent intensity, work follows the requests, and active clients run ahead of it by
some minutes, as users open sessions before their tokens are made.
"""

from __future__ import annotations

import numpy as np

from services.kernel.clock import make_rng
from services.simulator.fleet.arrays import BoolArray, FloatArray
from services.simulator.fleet.draws import FleetOptions, WorkloadDraws, draw_workload
from services.simulator.fleet.fleet import Fleet, FleetWorkload, bounds_for
from services.simulator.fleet.latent import latent_intensity
from services.simulator.fleet.profiles import PRICE_USD_PER_GPU_HOUR
from services.simulator.fleet.signals import DAY_S, ou_noise

__all__ = ["FleetOptions", "generate_fleet"]


LEAD_MARGIN_S = 1_200.0


def generate_fleet(options: FleetOptions) -> Fleet:
    """Generate a fleet; the same options give the same bytes."""
    T = options.n_history + options.n_replay
    start_s = options.replay_start_s - options.n_history * options.step_s
    # the latent intensity reaches beyond both ends: work lags behind it, clients run ahead
    n_margin = int(LEAD_MARGIN_S // options.step_s) + 1
    grid_s = start_s + options.step_s * np.arange(-n_margin, T + n_margin, dtype=float)
    time_s = start_s + options.step_s * np.arange(T, dtype=float)
    draws = [draw_workload(options, i) for i in range(options.n_workloads)]
    latent = latent_intensity(options, draws, grid_s)
    # mean 1 over the history, so that `mean_replicas` is what it says
    inside = slice(n_margin, n_margin + options.n_history)
    latent /= latent[:, inside].mean(axis=1, keepdims=True)

    values = np.stack(
        [
            _indicators(make_rng(options.seed, "measure", i), draw, grid_s, row, time_s)
            for i, (draw, row) in enumerate(zip(draws, latent, strict=True))
        ]
    )
    workloads, demand = [], np.empty((options.n_workloads, T))
    for i, draw in enumerate(draws):
        names = [spec.name for spec in draw.profile.indicators]
        demand[i] = values[i, :, names.index(draw.profile.demand)]
        workloads.append(_workload(options, draw, demand[i]))
    observed = np.stack(
        [
            _observed(make_rng(options.seed, "gaps", i), options, values.shape[2], T)
            for i in range(options.n_workloads)
        ]
    )
    return Fleet(
        label=f"generated fleet, seed {options.seed}",
        seed=options.seed,
        step_s=options.step_s,
        start_s=start_s,
        n_history=options.n_history,
        workloads=tuple(workloads),
        demand=demand,
        values=values,
        observed=observed,
        has_closed_loop=True,
        notes=(
            "Demand is generated; start-up, queue and duty shapes follow public traces.",
            "By construction active clients run 4-15 minutes ahead of demand, as open sessions do: "
            "a forecaster that reads all indicators can know more than demand alone tells.",
        ),
    )


def _indicators(
    rng: np.random.Generator,
    draw: WorkloadDraws,
    grid_s: FloatArray,
    intensity: FloatArray,
    time_s: FloatArray,
) -> FloatArray:
    """(T, D) exogenous indicators of one workload, in the order of its profile."""
    step_s = float(time_s[1] - time_s[0])
    rate = draw.mean_rps * np.interp(time_s, grid_s, intensity)
    lagged = draw.mean_rps * np.interp(time_s - draw.lag_s, grid_s, intensity)
    ahead = draw.mean_rps * np.interp(time_s + draw.lead_s, grid_s, intensity)

    requests_rps = rng.poisson(rate * step_s) / step_s
    # sessions are many and long: their count is smoother than requests, and saturates a little
    clients = rng.poisson(draw.clients_per_rps * draw.mean_rps * (ahead / draw.mean_rps) ** 0.8)
    if draw.kind == "vision":
        size_mib = 0.4 * np.exp(0.1 * ou_noise(rng, 1, time_s.size, step_s, 6 * 3600.0)[0])
        items = requests_rps * np.exp(0.05 * rng.standard_normal(time_s.size)) * 1.6
        return np.stack([requests_rps, clients, requests_rps * size_mib, items], axis=1)

    # the mean work per request drifts over hours; single requests are heavy-tailed
    drift = np.exp(0.10 * ou_noise(rng, 1, time_s.size, step_s, 6 * 3600.0)[0])
    n_served = np.maximum(rng.poisson(lagged * step_s), 1)
    spread = np.sqrt(np.log1p(draw.profile.work_cv**2 / n_served))
    noise = np.exp(spread * rng.standard_normal(time_s.size) - 0.5 * spread**2)
    work = n_served / step_s * draw.work_per_request * drift * noise
    if draw.kind == "llm":
        prompt = 600.0 * np.exp(0.15 * ou_noise(rng, 1, time_s.size, step_s, 4 * 3600.0)[0])
        return np.stack([requests_rps, clients, requests_rps * prompt, work], axis=1)
    # denoising steps are known when a request is accepted, ahead of the GPU time it takes
    steps = requests_rps * drift * 28.0 * np.exp(0.03 * rng.standard_normal(time_s.size))
    return np.stack([requests_rps, clients, steps, work], axis=1)


def _observed(rng: np.random.Generator, options: FleetOptions, D: int, T: int) -> BoolArray:
    """(T, D) mask: scrape outages hide all indicators of a workload for a few steps."""
    observed = np.ones((T, D), dtype=bool)
    days = T * options.step_s / DAY_S
    for _ in range(int(rng.poisson(options.gaps_per_day * days))):
        at = int(rng.integers(T))
        observed[at : at + int(rng.integers(1, 4))] = False
    return observed


def _workload(options: FleetOptions, draw: WorkloadDraws, demand: FloatArray) -> FleetWorkload:
    gpu_type, gpus, capacity = draw.hardware
    low, high = bounds_for(demand, capacity)
    return FleetWorkload(
        namespace="serving",
        name=draw.name,
        kind=draw.kind,
        gpu_type=gpu_type,
        gpus_per_replica=gpus,
        capacity_per_replica=capacity,
        demand=draw.profile.demand,
        indicators=draw.profile.indicators,
        min_replicas=low,
        max_replicas=high,
        startup=draw.startup,
        price_usd_per_gpu_hour=PRICE_USD_PER_GPU_HOUR[gpu_type],
        epsilon=options.epsilon,
    )
