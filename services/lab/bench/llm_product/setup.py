"""What Harmony is told of the service that it is to scale, and the workload that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from services.kernel.domain import (
    CapacitySpec,
    FurtherLoadSpec,
    GoalSpec,
    IndicatorSpec,
    LeadTimeSpec,
    ObjectiveSpec,
    PoolSpec,
    SlaSpec,
    WorkloadSpec,
)
from services.kernel.domain.objective import (
    LOST,
    WAITING,
    SliSeriesSpec,
    good_name,
    sum_name,
    total_name,
    upto_name,
)
from services.kernel.domain.pools import Occupied
from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals
from services.lab.bench.llm_product.meters import GOAL_EDGES_S, edges_of

NAMESPACE, NAME = "bench", "llm"
POOL = "serve"
REQUESTS, INPUT, OUTPUT = (
    "request_rate_rps",
    "offered_input_tokens_per_s",
    "offered_output_tokens_per_s",
)
LOADS = (REQUESTS, INPUT, OUTPUT)
OCCUPANCIES: dict[Occupied, str] = {"Room": "kv_cache_ratio", "Time": "gpu_duty_ratio"}
"""Names of the indicators of how full a pool is, as presets call them: share of a decode worker's
KV space in use, share of time in which a prefill worker computes."""
_UNITS = {REQUESTS: "requests/s", INPUT: "tokens/s", OUTPUT: "tokens/s"}


@dataclass(frozen=True, slots=True)
class HarmonyPool:
    """One of the pools of a service.

    Attributes:
        name: Of the loop's pool.
        loads: Those of the stated loads that fall on it.
        initial: Its replicas at the start.
        occupied: What of its replicas is seen to be taken; None: nothing is.
    """

    name: str
    loads: tuple[str, ...]
    initial: int
    occupied: Occupied | None = None


@dataclass(frozen=True, slots=True)
class HarmonySetup:
    """Everything that Harmony is told.

    Attributes:
        goals: What a request is promised.
        promise: Share of the requests that are to meet both goals, in (0, 1).
        startup_s: Stated median of the time from scaling to ready.
        stated: What one replica carries, by load; the first one is the demand. Right or wrong: it
            is what a user would state, from a profile or a guess.
        gpu: GPU type.
        initial: Replicas at the start.
        max_replicas: Most replicas.
        step_s: Seconds between scrapes, and between decisions.
        seed: Seed of the paths that forecasts are drawn with.
        pools: Where prefill and decode have replicas of their own: these; the most replicas are
            then those of each, those at the start of all together.
    """

    goals: RequestGoals
    promise: float
    startup_s: float
    stated: dict[str, float]
    gpu: str
    initial: int
    max_replicas: int
    step_s: int = 15
    seed: int = 7
    pools: tuple[HarmonyPool, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no workload could be made of."""
        if not 0 < self.promise < 1:
            raise InvalidInput(f"promise={self.promise} must lie in (0, 1)")
        if not self.stated or not set(self.stated) <= set(LOADS):
            raise InvalidInput(f"stated={self.stated} must be of one or more of {', '.join(LOADS)}")
        most = self.max_replicas * max(1, len(self.pools))
        if not 1 <= self.initial <= most:
            raise InvalidInput(f"initial={self.initial} must lie in 1..{most}")

    @property
    def horizon_steps(self) -> int:
        """Steps that a forecast must reach: the start-up, and a minute beyond; at least 12."""
        return max(12, math.ceil((1.5 * self.startup_s + 60.0) / self.step_s))


def workload_spec(setup: HarmonySetup) -> WorkloadSpec:
    """The workload, as a user writes it down."""
    demand, *further = setup.stated
    goals = (
        GoalSpec(metric="ttft", threshold_s=setup.goals.ttft_ms / 1e3),
        GoalSpec(metric="tpot", threshold_s=setup.goals.tpot_ms / 1e3),
    )
    objective = ObjectiveSpec(goals=goals, share=setup.promise, series=_series(goals))
    return WorkloadSpec(
        target=f"Deployment/{NAME}",
        mode="Auto",
        gpu_type=setup.gpu,
        min_replicas=1,
        max_replicas=setup.max_replicas,
        demand=demand,
        indicators=(*(_indicator(name) for name in LOADS), *_occupancies(setup)),
        capacity=CapacitySpec(
            per_replica=setup.stated[demand],
            also_bound_by=tuple(
                FurtherLoadSpec(indicator=name, per_replica=setup.stated[name]) for name in further
            ),
        ),
        lead_time=LeadTimeSpec(median_s=setup.startup_s, sigma=0.1),
        sla=SlaSpec(epsilon=1.0 - setup.promise, kind="DemandFraction", objective=objective),
        pools=tuple(
            PoolSpec(
                name=pool.name,
                target=f"Deployment/{NAME}-{pool.name}",
                gpu_type=setup.gpu,
                loads=pool.loads,
                **_occupancy(pool),
            )
            for pool in setup.pools
        ),
    )


def _indicator(name: str) -> IndicatorSpec:
    kind = "counter" if name == REQUESTS else "gauge"
    return IndicatorSpec(name=name, level=1, unit=_UNITS[name], kind=kind)


def _occupancies(setup: HarmonySetup) -> tuple[IndicatorSpec, ...]:
    return tuple(
        IndicatorSpec(name=OCCUPANCIES[of], level=2, unit="ratio", kind="gauge", gap="Unknown")
        for of in sorted({pool.occupied for pool in setup.pools if pool.occupied})
    )


def _occupancy(pool: HarmonyPool) -> dict[str, Any]:
    if pool.occupied is None:
        return {}
    return {"occupancy_indicator": OCCUPANCIES[pool.occupied], "occupancy_of": pool.occupied}


def _series(goals: tuple[GoalSpec, ...]) -> tuple[SliSeriesSpec, ...]:
    """The counts of the goals; off a bucket edge also those up to the edge above, and the sum."""
    found = [SliSeriesSpec(name=LOST), SliSeriesSpec(name=WAITING)]
    for goal in goals:
        assert goal.threshold_s is not None
        edges = edges_of(GOAL_EDGES_S[goal.metric], goal.threshold_s)
        found.append(SliSeriesSpec(name=total_name(goal.metric)))
        found.append(SliSeriesSpec(name=good_name(goal.metric), edge_s=edges.below_s))
        if not edges.is_exact:
            found.append(SliSeriesSpec(name=upto_name(goal.metric), edge_s=edges.above_s))
            found.append(SliSeriesSpec(name=sum_name(goal.metric)))
    return tuple(found)
