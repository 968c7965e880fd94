"""One promise over two pools is kept though both run on spot nodes that are interrupted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from decider import (
    DecideConfig,
    History,
    Limits,
    PoolPlace,
    RiskState,
    ShardRequest,
    Sla,
    WorkloadInput,
    decide_shard,
)
from tests.statistical.decider.planning.spot_targets import (
    CAPACITY,
    LEAD_STEPS,
    STEP_S,
    Interruptions,
    SpotTarget,
    demands,
    short_chance,
)
from tests.unit.decider.shards import workload

N_SERVICES, N_STEPS, WARM_UP, HORIZON = 4, 840, 240, 8
EPSILON = 0.01
INTERRUPTIONS_A_DAY = 5.0
POOLS = ("prefill", "decode")


@dataclass
class Split:
    """A service of two pools, each with a load of its own."""

    name: str
    pools: list[SpotTarget] = field(default_factory=lambda: [SpotTarget() for _ in POOLS])
    log_multiplier: float | None = None

    def inputs(self, demand: np.ndarray, now_s: float, *, is_known: bool) -> list[WorkloadInput]:
        return [
            workload(
                f"{self.name}/{name}",
                pool=PoolPlace(self.name, name, (at,)),
                replicas=pool.state(is_known=is_known),
                limits=Limits(1, 60),
                sla=Sla(EPSILON),
                history=History(demand[at : at + 1], now_s),
                forecast_origin_s=now_s - STEP_S,
                risk=RiskState(log_multiplier=self.log_multiplier),
            )
            for at, (name, pool) in enumerate(zip(POOLS, self.pools, strict=True))
        ]


def run(interruptions_a_day: float, *, is_known: bool) -> tuple[float, float]:
    """Share of the steps in which a pool was short, and replicas asked for on the mean."""
    rng, config = np.random.default_rng(12), DecideConfig()
    services = [Split(f"s{i}") for i in range(N_SERVICES)]
    targets = [pool for one in services for pool in one.pools]
    interruptions = Interruptions(rng, interruptions_a_day / 24.0 / 5.0)  # of about five nodes
    missed, asked = [], []
    for step in range(N_STEPS):
        now_s = (10_000 + step) * STEP_S
        demand = demands(rng, N_SERVICES, len(POOLS))
        for target in targets:
            target.land()
        interruptions.strike(targets)
        ready = np.array([t.ready for t in targets]).reshape(demand.shape)
        missed.append(1.0 - (1.0 - short_chance(ready)).prod(axis=1))
        owners = [
            one
            for service, loads in zip(services, demand, strict=True)
            for one in service.inputs(loads, now_s, is_known=is_known)
        ]
        request = ShardRequest(
            tuple(owners),
            demands(rng, len(targets), 200, HORIZON),
            np.full((len(targets), 8), CAPACITY),
            np.full((len(targets), 8), LEAD_STEPS * STEP_S),
            STEP_S,
        )
        decisions = decide_shard(request, config, now_s)
        for at, (target, made) in enumerate(zip(targets, decisions, strict=True)):
            services[at // len(POOLS)].log_multiplier = made.next_log_multiplier
            target.scale(made.final)
            asked.append(made.final)
    return float(np.mean(missed[WARM_UP:])), float(np.mean(asked[WARM_UP * len(targets) :]))


@pytest.mark.slow
def test_the_joint_promise_is_kept_within_a_third_of_a_point() -> None:
    unknown, held_unknown = run(INTERRUPTIONS_A_DAY, is_known=False)
    known, held = run(INTERRUPTIONS_A_DAY, is_known=True)
    print(f"\npromised {EPSILON:.1%} of both pools; out of SLA and replicas asked for of each:")
    print(f"  interrupted, unknown {unknown:.2%}  {held_unknown:.2f}")
    print(f"  interrupted, known   {known:.2%}  {held:.2f}")
    assert known <= EPSILON + 0.003
    assert known < unknown - 0.001
    assert held > held_unknown
