"""Replicas of a workload: how many there are, on what, and how they may be scaled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from decider.errors import require


@dataclass(frozen=True, slots=True)
class SpotReplicas:
    """Replicas that serve on spot nodes, and how often such a node is interrupted.

    Attributes:
        replicas: How many they are.
        nodes: On how many nodes: one that is interrupted takes all of its replicas with it.
        interruptions: Shape of the gamma belief about the rate, in interruptions.
        node_hours: Its rate parameter: node-hours in which these are expected.
    """

    replicas: int
    nodes: int
    interruptions: float
    node_hours: float

    def __post_init__(self) -> None:
        """Refuse impossible counts and beliefs."""
        n, nodes = self.replicas, self.nodes
        require(min(1, n) <= nodes <= n, f"{n} spot replicas cannot be on {nodes} nodes")
        require(0 <= self.interruptions < math.inf, f"interruptions={self.interruptions} < 0")
        hours = self.node_hours
        require(0 < hours < math.inf, f"node_hours={hours} must be finite and > 0")

    @property
    def hours_between(self) -> float:
        """Hours from one interruption of any of these nodes to the next, by what is believed."""
        rate = self.nodes * self.interruptions / self.node_hours
        return 1.0 / rate if rate > 0 else math.inf


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """Replicas of one workload now.

    Attributes:
        spec: Current target count (what was last asked for).
        ready: Replicas that serve.
        starting_age_s: Seconds since each start on its way that is bound to a node.
        pending_age_s: Seconds since each start that has no node yet.
        schedulable_gpus: Free GPUs of its type that it could use; None: unknown.
        spot: Those of the ready ones that are on spot nodes; None: none is, as far as is known.
    """

    spec: int
    ready: int
    starting_age_s: tuple[float, ...] = ()
    pending_age_s: tuple[float, ...] = ()
    schedulable_gpus: int | None = None
    spot: SpotReplicas | None = None

    def __post_init__(self) -> None:
        """Refuse negative counts and ages."""
        require(self.spec >= 0, f"spec={self.spec} must be >= 0")
        require(self.ready >= 0, f"ready={self.ready} must be >= 0")
        ages = self.starting_age_s + self.pending_age_s
        require(all(a >= 0 and math.isfinite(a) for a in ages), f"ages {ages} must be >= 0")
        free = self.schedulable_gpus
        require(free is None or free >= 0, f"schedulable_gpus={free} must be >= 0")
        spot = 0 if self.spot is None else self.spot.replicas
        require(spot <= self.ready, f"spot.replicas={spot} must be <= ready={self.ready}")

    @property
    def on_the_way(self) -> int:
        """Starts asked for that do not serve yet."""
        return max(0, self.spec - self.ready)


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """One rate limit of HPA's `behavior`: at most `value` pods or per cent in `period_s`."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class DirectionRules:
    """HPA's `behavior.scaleUp` or `.scaleDown`; no policies means no rate limit."""

    stabilization_window_s: float = 0.0
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: tuple[RatePolicy, ...] = ()
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and manners of scaling.

    Attributes:
        min_replicas: Lower bound; 0 allows scaling to zero.
        max_replicas: Upper bound.
        scale_up: HPA's `behavior.scaleUp`.
        scale_down: HPA's `behavior.scaleDown`.
        static_replicas: Last rung of the fallback ladder; None: hold.
    """

    min_replicas: int
    max_replicas: int
    scale_up: DirectionRules = DirectionRules()
    scale_down: DirectionRules = DirectionRules()
    static_replicas: int | None = None

    def __post_init__(self) -> None:
        """Refuse contradictory bounds."""
        require(
            0 <= self.min_replicas <= self.max_replicas,
            f"min_replicas={self.min_replicas}, max_replicas={self.max_replicas}: "
            "need 0 <= min <= max",
        )

    def clamp(self, replicas: int) -> int:
        """`replicas` brought within the bounds."""
        return max(self.min_replicas, min(self.max_replicas, replicas))


@dataclass(frozen=True, slots=True)
class Control:
    """Controls that people have set: pauses, freezes, schedules.

    Attributes:
        is_paused: Nothing may change.
        paused_until_s: Epoch seconds at which a pause ends by itself.
        scale_in_only: Only decreases may happen.
        scale_out_only: Only increases may happen.
        schedule: Name of the schedule in force, if any.
        schedule_min: Lower bound of that schedule.
        schedule_max: Upper bound of that schedule.
        freeze: `ScaleDown` or `Both` while a freeze is in force.
        is_automatic: Decisions are applied without a human. What others hold is never taken for a
            GPU budget: nobody knows whether they will let it go.
    """

    is_paused: bool = False
    paused_until_s: float | None = None
    scale_in_only: bool = False
    scale_out_only: bool = False
    schedule: str = ""
    schedule_min: int | None = None
    schedule_max: int | None = None
    freeze: Literal["ScaleDown", "Both"] | None = None
    is_automatic: bool = True


@dataclass(frozen=True, slots=True)
class Hardware:
    """GPUs of one replica and what they cost."""

    gpu_type: str
    gpus_per_replica: int = 1
    price_usd_per_gpu_hour: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible hardware."""
        require(self.gpus_per_replica >= 1, "gpus_per_replica must be >= 1")
        require(self.price_usd_per_gpu_hour >= 0, "price_usd_per_gpu_hour must be >= 0")

    def usd_per_hour(self, replicas: float) -> float:
        """Cost of `replicas` in USD per hour."""
        return replicas * self.gpus_per_replica * self.price_usd_per_gpu_hour
