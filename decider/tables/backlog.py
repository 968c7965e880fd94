"""Queues that the plan remembers: what waits now, and what is left over before it can act.

A miss leaves a queue, which later steps must serve beside what arrives; tables over steps and
counts cannot see it. Until the step that the decision made now owns, no count that is chosen can
matter, so the queue of each scenario follows from the replicas that are held:

    b_0 = what waits now,   b_{h+1} = max(0, b_h + x_h - ready_h * c)

with x what arrives, and c the capacity of the scenario's draw: at a use of 1, where half of what
can be cured misses, a queue is about to grow without bound. A goal that is missed long before
(the time between tokens) makes this limit too low, which errs towards more replicas, and only in
scenarios where most requests miss anyway. What a step has to serve is x_h + b_h. From the owned
step on the queue is the decision's to clear: what is left at its start is demand of that step, and
of no later one. All loads are demand of one step.

Shapes: W workloads, S scenarios, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from decider.belief.capacity import replicas_needed
from decider.tables.landing import LandingWeights
from decider.tables.pairing import paired_draws
from decider.tables.scenarios import Scenarios
from decider.types import FloatArray, ShardRequest, WorkloadInput


def counted_waiting(waiting_load: float, demand: float, most_steps: float) -> float:
    """Load that waits, as far as it counts: at most so many steps of the demand."""
    return min(waiting_load, most_steps * demand)


def with_backlog(
    request: ShardRequest,
    scenarios: Scenarios,
    weights: LandingWeights,
    elapsed: FloatArray,
    most_steps: float,
) -> Scenarios:
    """Scenarios whose demand is what arrives and what waits; the same ones where nothing does.

    Only workloads with a response whose queue is known have one: what is not seen now may not grow
    either, and guessing at it costs replicas for nothing (docs/decisions/0034). What a promise of
    requests is weighed by stays what arrives.

    Args:
        request: The shard.
        scenarios: What arrives, and capacity.
        weights: Landing weights.
        elapsed: (W,) share of the present step that has passed.
        most_steps: A queue counts for at most this many steps of demand; 0: for nothing.
    """
    ready = held_ready(request, weights)
    queues = {}
    for row, workload in enumerate(request.workloads):
        response, arriving = request.response(row), scenarios.demand[row]
        waiting = workload.waiting_load
        if response is None or waiting is None or most_steps <= 0 or not arriving.any():
            continue  # where nothing is to arrive there is no demand to count a queue in
        owned = int(weights.owned_step[row])
        usual = np.ascontiguousarray(arriving[:, : owned + 1].T).mean(axis=1).max()
        before = _Before(
            ready[row, :owned],
            1.0 - elapsed[row] * (np.arange(owned) == 0),
            waiting,
            most_steps * max(float(usual), _last_demand(workload)),
        )
        capacity = response.capacity[paired_draws(response.capacity.size, arriving.shape[0])]
        queue = before.queue(arriving, capacity)
        if queue.any():
            queues[row] = queue
    if not queues:
        return scenarios
    demand, need = scenarios.demand.copy(), scenarios.need.copy()
    for row, queue in queues.items():
        demand[row, :, : queue.shape[1]] += queue
        need[row] = replicas_needed(demand[row], scenarios.capacity[row])
    return replace(scenarios, demand=demand, need=need)


def held_ready(request: ShardRequest, weights: LandingWeights) -> FloatArray:
    """(W, H) mean ready replicas of each step, if nothing but what is on its way is started."""
    spec = np.array([[w.replicas.spec] for w in request.workloads])
    ready = np.array([[w.replicas.ready] for w in request.workloads])
    states = np.minimum(spec, np.minimum(ready, spec) + weights.landed)
    total = np.zeros(weights.arrival.shape[:2])
    for g in range(states.shape[1]):
        total += weights.arrival[:, :, g] * states[:, g, None]
    return total


def _last_demand(workload: WorkloadInput) -> float:
    last = workload.history.last_demand()
    return 0.0 if last is None else last[0]


@dataclass(frozen=True, slots=True)
class _Before:
    """The time before the step that a decision owns, T steps, and the queue that goes into it.

    Attributes:
        ready: (T,) mean ready replicas.
        span: (T,) share of each step that is still to come.
        waiting: Load that waits now.
        most: Load of a queue that counts.
    """

    ready: FloatArray
    span: FloatArray
    waiting: float
    most: float

    def queue(self, arriving: FloatArray, capacity: FloatArray) -> FloatArray:
        """(S, T + 1) what waits at the start of each step.

        Args:
            arriving: (S, H) demand that arrives.
            capacity: (S,) load per replica from which a queue grows.
        """
        queue = np.zeros((arriving.shape[0], self.ready.size + 1))
        queue[:, 0] = min(self.waiting, self.most)
        for h, (ready, span) in enumerate(zip(self.ready, self.span, strict=True)):
            grown = queue[:, h] + span * (arriving[:, h] - ready * capacity)
            queue[:, h + 1] = np.clip(grown, 0.0, self.most)
        return queue
