"""Policies that are whole programs: Harmony by its own path, and NVIDIA's Dynamo Planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from services.kernel.domain.pools import Occupied
from services.lab.arena.loop import DECODE, PREFILL, SERVE
from services.lab.arena.planner_setup import PlannerSetup
from services.lab.arena.requests import Shape
from services.lab.bench.llm.race import Race
from services.lab.bench.llm.rivals.capacity import WorkLaw
from services.lab.bench.llm_product.setup import INPUT, OUTPUT, REQUESTS, HarmonyPool, HarmonySetup

SLO_SCALES = (2.0, 1.5, 1.2, 1.0, 0.8, 0.6, 0.45, 0.3)
"""Settings of the Planner: what it is told of the goals, times this."""
BINDS_FROM = 0.1
"""A load is stated where it takes over this share of a request's work."""


@dataclass(frozen=True, slots=True)
class PlannerKind:
    """One way to run the Planner.

    Attributes:
        by_load: It scales by the load of now.
        by_throughput: It scales by the load that it predicts.
        predictor: How it predicts.
        starting_told: Whether it knows which workers are starting, as on Kubernetes.
    """

    by_load: bool = True
    by_throughput: bool = True
    predictor: str = "arima"
    starting_told: bool = False

    def setup(self, race: Race, slo_scale: float) -> PlannerSetup:
        """Its setup in a race, with the history that every policy gets."""
        return PlannerSetup(
            race.trace.goals,
            slo_scale,
            by_load=self.by_load,
            by_throughput=self.by_throughput,
            predictor=self.predictor,
            starting_told=self.starting_told,
            history=race.trace.history,
        )


PLANNERS: Mapping[str, PlannerKind] = {
    "planner": PlannerKind(),
    "planner_told": PlannerKind(starting_told=True),
    "planner_load": PlannerKind(by_throughput=False),
    "planner_throughput": PlannerKind(by_load=False),
    "planner_constant": PlannerKind(predictor="constant"),
    "planner_kalman": PlannerKind(predictor="kalman"),
    "planner_prophet": PlannerKind(predictor="prophet"),
}


POOL_LOADS = {PREFILL: INPUT, DECODE: OUTPUT}
"""The load that falls on each of two pools: each must fall on one alone."""
POOL_OCCUPIED: Mapping[str, Occupied] = {PREFILL: "Time", DECODE: "Room"}
"""What of a worker its requests take; decode keeps them in its KV space until they end."""


def harmony_setup(race: Race, promise: float, laws: Mapping[str, WorkLaw]) -> HarmonySetup:
    """What Harmony is told: goals, promise, start-up, and a capacity, right or wrong.

    Args:
        race: The race; of its trace nothing is told but the goals, the GPU type, and how long
            requests are on average before any that is scored.
        promise: Share of requests that are to meet both goals.
        laws: What the capacity of each pool is stated by.
    """
    trace, is_split = race.trace, len(race.pools) > 1
    shape = trace.before.shape
    stated = pool_loads(shape, laws) if is_split else stated_loads(shape, laws[SERVE])
    return HarmonySetup(
        goals=trace.goals,
        promise=promise,
        startup_s=race.startup_s,
        stated=stated,
        gpu=trace.gpu,
        initial=sum(race.initial.values()),
        max_replicas=trace.max_workers,
        seed=race.seed,
        pools=tuple(
            HarmonyPool(pool, (POOL_LOADS[pool],), count, POOL_OCCUPIED.get(pool))
            for pool, count in race.initial.items()
        )
        if is_split
        else (),
    )


def pool_loads(shape: Shape, laws: Mapping[str, WorkLaw]) -> dict[str, float]:
    """Loads of a full prefill and a full decode replica at mean lengths."""
    means = {INPUT: shape.mean_input, OUTPUT: shape.mean_output}
    return {
        load: means[load] / float(laws[pool].of(np.array(means[INPUT]), np.array(means[OUTPUT])))
        for pool, load in POOL_LOADS.items()
    }


def stated_loads(shape: Shape, law: WorkLaw) -> dict[str, float]:
    """Loads of a full replica at mean lengths, as `harmony capacity profile` states it.

    Requests first, then of the tokens those that bind beside them.
    """
    by_input, by_output = law.per_input_s * shape.mean_input, law.per_output_s * shape.mean_output
    whole = law.per_request_s + by_input + by_output
    stated = {REQUESTS: 1.0 / whole}
    if by_input > BINDS_FROM * whole:
        stated[INPUT] = shape.mean_input / whole
    if by_output > BINDS_FROM * whole:
        stated[OUTPUT] = shape.mean_output / whole
    return stated
