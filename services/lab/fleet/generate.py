"""Seeded generator of a fleet: LLM, diffusion and vision services with life in their demand.

Each workload has a latent intensity: daily and weekly cycles, level shifts, perhaps a launch, noise
of its own and noise shared by the fleet, bursts of its own and fleet-wide ones. Requests follow the
intensity, work follows the requests, and active clients run ahead of it by some minutes, as users
open sessions before their tokens are made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.kernel.clock import make_rng
from services.lab.fleet.fleet import (
    Fleet,
    FleetWorkload,
    StartupProfile,
    WorkloadKind,
    bounds_for,
)
from services.lab.fleet.profiles import PRICE_USD_PER_GPU_HOUR, PROFILES, KindProfile
from services.lab.fleet.signals import (
    DAY_S,
    burst_shape,
    bursts,
    daily_cycle,
    launch,
    level_shifts,
    ou_noise,
    weekly_cycle,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

KIND_CYCLE: tuple[WorkloadKind, ...] = (
    "llm",
    "diffusion",
    "vision",
    "llm",
    "diffusion",
    "llm",
    "vision",
    "llm",
)
REGION_PEAK_H = (4.0, 13.0, 20.0)
"""UTC hour of the daily peak in Asia, Europe and America."""
LEAD_MARGIN_S = 1_200.0
NAMES: dict[WorkloadKind, tuple[str, ...]] = {
    "llm": ("chat", "code", "summary", "agent", "search", "translate", "extract", "reason"),
    "diffusion": ("image", "avatar", "poster", "upscale", "inpaint", "product"),
    "vision": ("moderation", "ocr", "detect", "tagging", "embedding", "face"),
}


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What to generate.

    Attributes:
        seed: Same seed, same bytes.
        n_workloads: W.
        step_s: Step length, 60 to 600 s.
        n_history: Steps of history.
        n_replay: Steps of the replay.
        replay_start_s: Epoch seconds at which the replay begins, a multiple of `step_s`
            (default: Monday 12 January 2026, 00:00 UTC).
        epsilon: Promised fraction of time out of SLA.
        gaps_per_day: Mean scrape outages per workload and day; each hides 1-3 steps.
    """

    seed: int = 7
    n_workloads: int = 24
    step_s: int = 300
    n_history: int = 2016
    n_replay: int = 288
    replay_start_s: int = 1_768_176_000
    epsilon: float = 0.01
    gaps_per_day: float = 0.2

    def __post_init__(self) -> None:
        """Check the options."""
        if not 60 <= self.step_s <= 600:
            raise ValueError(f"step_s={self.step_s} must be in 60..600")
        if self.n_workloads < 1 or self.n_history < 2 or self.n_replay < 1:
            raise ValueError("n_workloads and n_replay must be >= 1, n_history >= 2")
        if self.replay_start_s % self.step_s:
            raise ValueError(
                f"replay_start_s={self.replay_start_s} must be a multiple of step_s={self.step_s}"
            )
        if not 0 < self.epsilon < 1:
            raise ValueError(f"epsilon={self.epsilon} must be in (0, 1)")


@dataclass(frozen=True, slots=True)
class _Draws:
    """One workload's constants."""

    kind: WorkloadKind
    name: str
    profile: KindProfile
    hardware: tuple[str, int, float]
    mean_replicas: float
    work_per_request: float
    lag_s: float
    lead_s: float
    clients_per_rps: float
    startup: StartupProfile

    @property
    def mean_rps(self) -> float:
        """Mean request rate that needs `mean_replicas`."""
        return self.mean_replicas * self.hardware[2] / self.work_per_request


def generate_fleet(options: FleetOptions) -> Fleet:
    """Generate a fleet; the same options give the same bytes."""
    T = options.n_history + options.n_replay
    start_s = options.replay_start_s - options.n_history * options.step_s
    # the latent intensity reaches beyond both ends: work lags behind it, clients run ahead
    n_margin = int(LEAD_MARGIN_S // options.step_s) + 1
    grid_s = start_s + options.step_s * np.arange(-n_margin, T + n_margin, dtype=float)
    time_s = start_s + options.step_s * np.arange(T, dtype=float)
    draws = [_draw_workload(options, i) for i in range(options.n_workloads)]
    latent = _latent_intensity(options, draws, grid_s)
    # mean 1 over the history, so that `mean_replicas` is what it says
    inside = slice(n_margin, n_margin + options.n_history)
    latent /= latent[:, inside].mean(axis=1, keepdims=True)

    values = np.stack(
        [
            _indicators(make_rng(options.seed, "measure", i), draw, (grid_s, row), time_s)
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
        notes=("Demand is generated; start-up, queue and duty shapes follow public traces.",),
    )


def _uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(rng.uniform(*bounds))


def _draw_workload(options: FleetOptions, index: int) -> _Draws:
    rng = make_rng(options.seed, "workload", index)
    kind = KIND_CYCLE[index % len(KIND_CYCLE)]
    profile = PROFILES[kind]
    earlier = sum(KIND_CYCLE[j % len(KIND_CYCLE)] == kind for j in range(index))
    names = NAMES[kind]
    name = f"{kind}-{names[earlier % len(names)]}"
    if earlier >= len(names):
        name += f"-{earlier // len(names) + 1}"
    hardware = profile.hardware[int(rng.integers(len(profile.hardware)))]
    gpu_type, gpus, capacity = hardware
    return _Draws(
        kind=kind,
        name=name,
        profile=profile,
        hardware=(gpu_type, gpus, round(capacity * float(rng.lognormal(0.0, 0.12)), 3)),
        mean_replicas=float(np.clip(8.8 * rng.lognormal(0.0, 0.5), 4.0, 25.0)),
        work_per_request=_uniform(rng, profile.work_per_request),
        lag_s=_uniform(rng, profile.lag_s),
        lead_s=_uniform(rng, (240.0, 900.0)),
        clients_per_rps=_uniform(rng, profile.clients_per_rps),
        startup=StartupProfile(
            median_s=round(profile.start_model_s + _uniform(rng, profile.start_extra_s), 1),
            # the model load is only a part of the start-up: the whole varies less
            sigma=round(0.75 * profile.start_sigma, 3),
            fail_probability=0.004,
        ),
    )


def _latent_intensity(options: FleetOptions, draws: list[_Draws], grid_s: FloatArray) -> FloatArray:
    """(W, T + margins) intensity of each workload, about 1 on average."""
    W, T = len(draws), grid_s.size
    shared = make_rng(options.seed, "shared")
    slow = ou_noise(shared, (1, T), options.step_s, 3 * 3600.0)[0]
    quick = ou_noise(shared, (1, T), options.step_s, 900.0)[0]
    incidents = _incident_times(shared, grid_s)
    own = make_rng(options.seed, "own")
    own_slow = ou_noise(own, (W, T), options.step_s, 2700.0)
    own_quick = ou_noise(own, (W, T), options.step_s, 300.0)

    latent = np.empty((W, T))
    for i, draw in enumerate(draws):
        rng = make_rng(options.seed, "latent", i)
        log_level = _slow_level(rng, options, draw.profile, grid_s)
        log_level += 0.10 * rng.uniform(0.3, 1.5) * slow + 0.04 * rng.uniform(0.3, 1.5) * quick
        log_level += rng.uniform(0.08, 0.20) * own_slow[i]
        log_level += rng.uniform(0.02, 0.06) * own_quick[i]
        extra = bursts(rng, grid_s, _uniform(rng, draw.profile.bursts_per_day), 0.30)
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
        grid_s, _uniform(rng, profile.daily_amplitude), peak_h * 3600.0, _uniform(rng, (-0.3, 0.3))
    )
    log_level += weekly_cycle(grid_s, _uniform(rng, profile.weekend_log))
    log_level += level_shifts(rng, grid_s, per_day=0.10, sigma=0.30)
    if rng.random() < 0.35:
        # a quarter of the launches fall into the replay, so that a short demo shows one or two
        in_replay = rng.random() < 0.25
        low = options.replay_start_s if in_replay else grid_s[0]
        at_s = rng.uniform(low, grid_s[-1])
        log_level += launch(
            grid_s, float(at_s), _uniform(rng, (6, 36)) * 3600.0, _uniform(rng, (0.3, 0.8))
        )
    return log_level


def _indicators(
    rng: np.random.Generator,
    draw: _Draws,
    latent: tuple[FloatArray, FloatArray],
    time_s: FloatArray,
) -> FloatArray:
    """(T, D) exogenous indicators of one workload, in the order of its profile."""
    grid_s, intensity = latent
    step_s = float(time_s[1] - time_s[0])
    rate = draw.mean_rps * np.interp(time_s, grid_s, intensity)
    lagged = draw.mean_rps * np.interp(time_s - draw.lag_s, grid_s, intensity)
    ahead = draw.mean_rps * np.interp(time_s + draw.lead_s, grid_s, intensity)

    requests_rps = rng.poisson(rate * step_s) / step_s
    # sessions are many and long: their count is smoother than requests, and saturates a little
    clients = rng.poisson(draw.clients_per_rps * draw.mean_rps * (ahead / draw.mean_rps) ** 0.8)
    if draw.kind == "vision":
        size_mib = 0.4 * np.exp(0.1 * ou_noise(rng, (1, time_s.size), step_s, 6 * 3600.0)[0])
        items = requests_rps * np.exp(0.05 * rng.standard_normal(time_s.size)) * 1.6
        return np.stack([requests_rps, clients, requests_rps * size_mib, items], axis=1)

    # the mean work per request drifts over hours; single requests are heavy-tailed
    drift = np.exp(0.10 * ou_noise(rng, (1, time_s.size), step_s, 6 * 3600.0)[0])
    n_served = np.maximum(rng.poisson(lagged * step_s), 1)
    spread = np.sqrt(np.log1p(draw.profile.work_cv**2 / n_served))
    noise = np.exp(spread * rng.standard_normal(time_s.size) - 0.5 * spread**2)
    work = n_served / step_s * draw.work_per_request * drift * noise
    if draw.kind == "llm":
        prompt = 600.0 * np.exp(0.15 * ou_noise(rng, (1, time_s.size), step_s, 4 * 3600.0)[0])
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


def _workload(options: FleetOptions, draw: _Draws, demand: FloatArray) -> FleetWorkload:
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
