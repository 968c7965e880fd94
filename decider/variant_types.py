"""Variants and mixes of a workload.

A *variant* is one GPU type that a workload may run on; a *mix* is its replicas by variant.

The planner counts in *reference replicas*: the load that one replica of the stated capacity serves.
A variant's replica is worth `capacity_ratio` of them, so a mix of variants has a capacity in the
same unit as every plan, bound and rate limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from decider.errors import require
from decider.replica_types import SpotReplicas

_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class SpotShare:
    """Which part of any count of a variant is on spot nodes, and how many go together.

    Attributes:
        places: Replicas on spot nodes, these nodes, and how often one is interrupted.
        of: Replicas that they are of.
    """

    places: SpotReplicas
    of: int

    def __post_init__(self) -> None:
        """Refuse impossible shares."""
        n = self.places.replicas
        require(1 <= n <= self.of, f"{n} spot replicas of {self.of}: need 1 <= replicas <= of")

    @property
    def per_node(self) -> int:
        """Replicas that go with a spot node."""
        return -(-self.places.replicas // self.places.nodes)

    def on_spot(self, count: int) -> int:
        """Replicas of a count that are taken to be on spot nodes."""
        return -(-count * self.places.replicas // self.of)


@dataclass(frozen=True, slots=True)
class VariantState:
    """One variant of a workload, and its replicas now.

    Attributes:
        name: Name, unique within the workload.
        gpu_type: Name of the GPU type.
        gpus_per_replica: GPUs of one replica.
        capacity_ratio: Reference replicas that one replica is worth.
        price_usd_per_gpu_hour: Price of one GPU.
        least: Replicas that are kept in any case.
        most: Replicas that may run.
        spec: Replicas asked for now.
        pending: Starts that have no node yet.
        schedulable_gpus: Free GPUs that it could use; None: unknown.
        held: Why its count cannot be changed (its target is missing, somebody else scales it);
            empty where it can.
        lead_s: Median time in seconds from asking for a replica to its being ready; None: it is
            taken to be that of the others.
        spot: Which of its replicas are on spot nodes; None: none is, as far as is known.
        stuck: Replicas asked for that will not serve: no GPU is there for them, or they have been
            starting for longer than any start takes. They carry nothing.
    """

    name: str
    gpu_type: str
    gpus_per_replica: int
    capacity_ratio: float
    price_usd_per_gpu_hour: float
    least: int = 0
    most: int = 1_000
    spec: int = 0
    pending: int = 0
    schedulable_gpus: int | None = None
    held: str = ""
    lead_s: float | None = None
    spot: SpotShare | None = None
    stuck: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible variants."""
        where, price = f"variant {self.name!r}", self.price_usd_per_gpu_hour
        require(self.gpus_per_replica >= 1, f"{where}: gpus_per_replica must be >= 1")
        ratio = self.capacity_ratio
        require(0 < ratio < math.inf, f"{where}: capacity_ratio={ratio} must be > 0, finite")
        require(0 <= price < math.inf, f"{where}: price={price} must be >= 0, finite")
        require(
            0 <= self.least <= self.most,
            f"{where}: least={self.least}, most={self.most}: 0 <= least <= most",
        )
        require(self.spec >= 0, f"{where}: spec={self.spec} must be >= 0")
        stuck = self.stuck
        require(0 <= stuck <= self.spec, f"{where}: stuck={stuck} must be from 0 to {self.spec}")
        lead = self.lead_s
        is_lead = lead is None or 0 < lead < math.inf
        require(is_lead, f"{where}: lead_s={lead} must be > 0, finite")

    @property
    def usd_per_hour(self) -> float:
        """Price of one replica in USD per hour."""
        return self.gpus_per_replica * self.price_usd_per_gpu_hour

    def carrying(self, count: int) -> int:
        """Replicas of a count that serve or will: what is stuck is the first to be let go."""
        return min(count, self.spec - self.stuck) if self.stuck else count

    @property
    def unit_usd_per_hour(self) -> float:
        """Price of the capacity of one reference replica in USD per hour."""
        return self.usd_per_hour / self.capacity_ratio


@dataclass(frozen=True, slots=True)
class MixVerdict:
    """A workload's mix after the fleet's budgets; a replay takes it as it was.

    Attributes:
        counts: Replicas of each variant.
        prices: Shadow prices by GPU type, in USD per GPU-hour.
        is_cut: The budgets left less capacity than was asked for.
        budget: Budgets and what they left, in words.
        limit: What keeps every mix below what was asked for, budgets apart; empty: nothing.
    """

    counts: tuple[int, ...]
    prices: tuple[tuple[str, float], ...]
    is_cut: bool
    budget: str
    limit: str = ""


@dataclass(frozen=True, slots=True)
class VariantSet:
    """Variants of one workload.

    Attributes:
        states: At least one.
        verdict: Set for replays of decisions that a GPU budget concerned.
    """

    states: tuple[VariantState, ...]
    verdict: MixVerdict | None = None

    def __post_init__(self) -> None:
        """Refuse none, and two of a name."""
        names = [v.name for v in self.states]
        require(len(names) >= 1, "variants must hold at least one variant")
        require(len(set(names)) == len(names), f"variants: names {names} must be unique")

    @property
    def current(self) -> tuple[int, ...]:
        """Replicas asked for now."""
        return tuple(v.spec for v in self.states)

    def carrying(self, counts: Sequence[int]) -> tuple[int, ...]:
        """Replicas of a mix that serve or will."""
        return tuple(v.carrying(int(n)) for n, v in zip(counts, self.states, strict=True))

    def units(self, counts: Sequence[int]) -> float:
        """Capacity of a mix in reference replicas; what is stuck carries nothing."""
        carrying = self.carrying(counts)
        return sum(n * v.capacity_ratio for n, v in zip(carrying, self.states, strict=True))

    def usd_per_hour(self, counts: Sequence[int]) -> float:
        """Price of a mix in USD per hour."""
        return sum(n * v.usd_per_hour for n, v in zip(counts, self.states, strict=True))


def whole(units: float) -> int:
    """Reference replicas that a capacity holds in full."""
    return math.floor(units + _SLACK)


@dataclass(frozen=True, slots=True)
class VariantCount:
    """A decision about one variant."""

    name: str
    gpu_type: str
    current: int
    desired: int


@dataclass(frozen=True, slots=True)
class SpotPart:
    """Replicas of a variant that a decision takes to be on spot nodes.

    Attributes:
        name: The variant.
        desired: Its count.
        replicas: Those of them on spot nodes.
        per_node: Replicas that an interruption takes.
        hours_between: Hours from one interruption of these nodes to the next, as believed.
    """

    name: str
    desired: int
    replicas: int
    per_node: int
    hours_between: float


@dataclass(frozen=True, slots=True)
class MixSpot:
    """What of a mix is on spot nodes, and what is held for them.

    Attributes:
        parts: The variants that have replicas there.
        held: Reference replicas that are asked for because nodes may be interrupted.
    """

    parts: tuple[SpotPart, ...]
    held: int


@dataclass(frozen=True, slots=True)
class MixRecord:
    """A decision about the variants of one workload.

    Attributes:
        counts: Every variant's count, in the request's order.
        units: Capacity of them all in reference replicas.
        usd_per_hour: Their price.
        usd_before: Price of what runs now.
        unit_usd_per_hour: By variant: price of the capacity of one reference replica.
        binding: What kept the mix from being cheaper or larger: `gpu_budget`, `schedulable`,
            `variant_limits`, `held`, `rate_limit`, or empty: nothing but the prices.
        verdict: The budgets' part in it; None where no budget concerns the workload.
        detail: Why this mix, in words.
        budget_demand: By GPU type with a budget: GPUs that would be taken at
            `decider.budget.fleet.PRICES`, for the rest of the fleet.
        spot: What is on spot nodes, where the mix was chosen with their interruptions; None: no
            variant is on any, or it was not planned.
    """

    counts: tuple[VariantCount, ...]
    units: float
    usd_per_hour: float
    usd_before: float
    unit_usd_per_hour: tuple[tuple[str, float], ...]
    binding: str
    verdict: MixVerdict | None
    detail: str
    budget_demand: tuple[tuple[str, tuple[int, ...]], ...] = ()
    spot: MixSpot | None = None

    @property
    def is_changed(self) -> bool:
        """Some count changes."""
        return any(c.current != c.desired for c in self.counts)
