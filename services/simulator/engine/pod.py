"""One simulated pod and the luck of its start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from services.kernel.clock import make_rng
from services.simulator.engine.needs import NO_NEEDS, Needs
from services.simulator.engine.specs import AT_ONCE, DrainSpec, StartupSpec


@dataclass(slots=True)
class EnginePod:
    """One pod. Times in engine seconds; None where it has not happened."""

    key: str
    ordinal: int
    gpu_type: str
    gpus: int
    startup: StartupSpec
    created_s: float
    needs: Needs = NO_NEEDS
    drain: DrainSpec = AT_ONCE
    node: str | None = None
    bound_s: float | None = None
    ready_s: float | None = None
    deletion_cost: int = 0
    restarts: int = 0
    is_gone: bool = False
    is_gated: bool = False

    @property
    def stage(self) -> int:
        """0 pending, 1 starting, 2 ready: the order in which scaling down takes pods."""
        if self.ready_s is not None:
            return 2
        return 0 if self.node is None else 1

    @property
    def victim_rank(self) -> tuple[int, int, int]:
        """Scaling down removes the pod with the lowest rank."""
        return (self.stage, self.deletion_cost, -self.ordinal)


def draw_start(seed: int, pod: EnginePod) -> tuple[float, float | None]:
    """Length of the pod's start and, where that fails, of the second one; both in seconds."""
    startup = pod.startup
    luck = _draw_luck(seed, pod.key, pod.ordinal)
    first_s, second_s = (
        max(startup.min_s, startup.median_s * math.exp(startup.sigma * z))
        for z in (luck.z_first, luck.z_second)
    )
    return first_s, second_s if luck.u_failing < startup.fail_probability else None


class _Luck(NamedTuple):
    """What a start's times follow from: two standard normal numbers and a uniform one."""

    z_first: float
    z_second: float
    u_failing: float


@lru_cache(maxsize=32_768)
def _draw_luck(seed: int, key: str, ordinal: int) -> _Luck:
    """The luck of one pod; every policy of a comparison has the same, so it is drawn once.

    All three are always drawn: the luck must not depend on the parameters.
    """
    rng = make_rng(seed, key, ordinal)
    z_first, z_second = rng.standard_normal(2)
    return _Luck(float(z_first), float(z_second), float(rng.random()))
