"""A promise is kept on spot nodes that are interrupted five times a day."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from decider import (
    DecideConfig,
    History,
    Limits,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    SpotReplicas,
    decide_shard,
    learn_interruptions,
)
from tests.unit.decider.shards import workload

STEP_S, LEAD_STEPS = 60.0, 5
N_SERVICES, N_STEPS, WARM_UP, HORIZON = 12, 2400, 240, 8
PER_NODE = 4
EPSILON, CAPACITY, LEVEL, CV = 0.01, 10.0, 160.0, 0.08
INTERRUPTIONS_A_DAY = 5.0


@dataclass
class Service:
    """Replicas on spot nodes; a node takes four, and dies with them.

    Attributes:
        nodes: Ready replicas on each node.
        starts: Steps since each start on its way.
        interruptions: Of its nodes, so far.
        node_hours: That they lived, so far.
    """

    nodes: list[int] = field(default_factory=lambda: [PER_NODE] * 5)
    starts: list[int] = field(default_factory=list)
    log_multiplier: float | None = None
    interruptions: int = 0
    node_hours: float = 0.0

    @property
    def ready(self) -> int:
        return sum(self.nodes)

    def land(self) -> None:
        """Starts are a step older; those that took long enough serve."""
        self.starts = [age + 1 for age in self.starts]
        n_landed = sum(age >= LEAD_STEPS for age in self.starts)
        self.starts = [age for age in self.starts if age < LEAD_STEPS]
        for _ in range(n_landed):
            place = next((i for i, n in enumerate(self.nodes) if n < PER_NODE), None)
            if place is None:
                self.nodes.append(1)
            else:
                self.nodes[place] += 1

    def interrupt(self, rng: np.random.Generator, rate: float) -> None:
        """Some nodes go; their replicas start anew elsewhere."""
        hours = STEP_S / 3600.0
        self.node_hours += len(self.nodes) * hours
        for i in reversed(range(len(self.nodes))):
            if rng.random() < rate * hours:
                self.interruptions += 1
                self.starts += [0] * self.nodes.pop(i)

    def scale(self, count: int) -> None:
        """As many as were decided: starts are given up before what serves."""
        self.starts += [0] * max(0, count - self.ready - len(self.starts))
        n_fewer = self.ready + len(self.starts) - count
        self.starts = sorted(self.starts, reverse=True)[: max(0, len(self.starts) - n_fewer)]
        while self.ready > count:
            least = int(np.argmin(self.nodes))
            self.nodes[least] -= 1
            self.nodes = [n for n in self.nodes if n]

    def state(self, *, is_known: bool) -> ReplicaState:
        spot = None
        if is_known and self.nodes:
            belief = learn_interruptions(self.interruptions, self.node_hours)
            figures = belief.interruptions, belief.node_hours
            spot = SpotReplicas(self.ready, len(self.nodes), *figures)
        ages = tuple(STEP_S * age for age in self.starts)
        return ReplicaState(self.ready + len(ages), self.ready, ages, spot=spot)


def demands(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return LEVEL * np.exp(CV * rng.standard_normal(shape))


def run(interruptions_a_day: float, *, is_known: bool) -> tuple[float, float]:
    """Share of the steps out of SLA, and replicas asked for on the mean."""
    rng, config = np.random.default_rng(11), DecideConfig()
    services = [Service() for _ in range(N_SERVICES)]
    rate = interruptions_a_day / 24.0 / 5.0  # of one of about five nodes
    missed, asked = [], []
    for step in range(N_STEPS):
        now_s = (10_000 + step) * STEP_S
        demand = demands(rng, N_SERVICES)
        for service in services:
            service.land()
            service.interrupt(rng, rate)
        missed.append([d > s.ready * CAPACITY for d, s in zip(demand, services, strict=True)])
        owners = tuple(
            workload(
                f"w{i}",
                replicas=one.state(is_known=is_known),
                limits=Limits(1, 60),
                sla=Sla(EPSILON),
                history=History(demand[i : i + 1], now_s),
                forecast_origin_s=now_s - STEP_S,
                risk=RiskState(log_multiplier=one.log_multiplier),
            )
            for i, one in enumerate(services)
        )
        request = ShardRequest(
            owners,
            demands(rng, N_SERVICES, 200, HORIZON),
            np.full((N_SERVICES, 8), CAPACITY),
            np.full((N_SERVICES, 8), LEAD_STEPS * STEP_S),
            STEP_S,
        )
        for service, made in zip(services, decide_shard(request, config, now_s), strict=True):
            service.log_multiplier = made.next_log_multiplier
            service.scale(made.final)
            asked.append(made.final)
    return float(np.mean(missed[WARM_UP:])), float(np.mean(asked[WARM_UP * N_SERVICES :]))


@pytest.mark.slow
def test_the_promise_is_kept_within_a_third_of_a_point() -> None:
    unknown, held_unknown = run(INTERRUPTIONS_A_DAY, is_known=False)
    known, held = run(INTERRUPTIONS_A_DAY, is_known=True)
    print(f"\npromised {EPSILON:.1%}; out of SLA and replicas asked for:")
    print(f"  interrupted, unknown {unknown:.2%}  {held_unknown:.2f}")
    print(f"  interrupted, known   {known:.2%}  {held:.2f}")
    assert known <= EPSILON + 0.003
    assert known < unknown - 0.001
    assert held > held_unknown
