"""Options of the generator, and the constants that it draws for each workload."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.kernel.clock import make_rng
from services.simulator.fleet.fleet import StartupProfile, WorkloadKind
from services.simulator.fleet.profiles import PROFILES, KindProfile

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
NAMES: dict[WorkloadKind, tuple[str, ...]] = {
    "llm": ("chat", "code", "summary", "agent", "search", "translate", "extract", "reason"),
    "diffusion": ("image", "avatar", "poster", "upscale", "inpaint", "product"),
    "vision": ("moderation", "ocr", "detect", "tagging", "embedding", "face"),
}


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Options of a generated fleet.

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
class WorkloadDraws:
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


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw between `low` and `high`."""
    return float(rng.uniform(low, high))


def draw_workload(options: FleetOptions, index: int) -> WorkloadDraws:
    """The constants of workload `index`; they do not depend on the other workloads' number."""
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
    return WorkloadDraws(
        kind=kind,
        name=name,
        profile=profile,
        hardware=(gpu_type, gpus, round(capacity * float(rng.lognormal(0.0, 0.12)), 3)),
        mean_replicas=float(np.clip(8.8 * rng.lognormal(0.0, 0.5), 4.0, 25.0)),
        work_per_request=uniform(rng, *profile.work_per_request),
        lag_s=uniform(rng, *profile.lag_s),
        lead_s=uniform(rng, 240.0, 900.0),
        clients_per_rps=uniform(rng, *profile.clients_per_rps),
        startup=StartupProfile(
            median_s=round(profile.start_model_s + uniform(rng, *profile.start_extra_s), 1),
            # the model load is only a part of the start-up: the whole varies less
            sigma=round(0.75 * profile.start_sigma, 3),
            fail_probability=0.004,
        ),
    )
