"""Views of one workload for tests of policies."""

from __future__ import annotations

import numpy as np

from services.simulator.policies import PolicyInput


def see(demand, *, future=None, replicas=3, low=1, high=50, step_s=60.0, capacity=2.0):
    return PolicyInput(
        now_s=0.0,
        step_s=step_s,
        demand=np.asarray(demand, dtype=float),
        ready=replicas,
        starting=0,
        pending=0,
        replicas=replicas,
        capacity_per_replica=capacity,
        min_replicas=low,
        max_replicas=high,
        future=None if future is None else np.asarray(future, dtype=float),
    )


def once(policy, view):
    return policy.decide(view, policy.initial_state())[0]
