"""Views of one workload for the recommenders."""

from __future__ import annotations

import numpy as np

from services.simulator.policies.grid import GridView

DAY_S = 86_400.0 * 20_000


def see(demand, *, step_s=300.0, now_s=None, replicas=3.0, ready=None, high=1000.0, low=0.0):
    """One setting, one workload; by default the history begins at midnight."""
    demand = np.atleast_2d(np.asarray(demand, dtype=float))
    spec = np.full((1, 1), replicas)
    return GridView(
        now_s=DAY_S + demand.shape[1] * step_s if now_s is None else now_s,
        step_s=step_s,
        demand=demand,
        ready=spec if ready is None else np.full((1, 1), float(ready)),
        starting=np.zeros((1, 1)),
        replicas=spec,
        capacity=np.ones(1),
        min_replicas=np.full(1, low),
        max_replicas=np.full(1, high),
    )


def once(policy, view):
    return float(policy.decide(view, policy.initial_state())[0][0, 0])


def replay(policy, demand, *, first=1, follows=True, **seen):
    """Answers at every boundary from the `first` completed step on."""
    state, answers = policy.initial_state(), []
    replicas = seen.pop("replicas", 3.0)
    for n in range(first, len(demand) + 1):
        wanted, state = policy.decide(see(demand[:n], replicas=replicas, **seen), state)
        answers.append(float(wanted[0, 0]))
        replicas = answers[-1] if follows else replicas
    return answers
