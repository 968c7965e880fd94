"""Views of a grid for tests of policies."""

from __future__ import annotations

import numpy as np

from services.simulator.policies.grid import GridView

DAY_S = 86_400.0 * 20_000


def see(demand, *, n_settings=1, step_s=60.0, replicas=3.0, future=None, **changes):
    """Demand (W, C) or (C,), at the boundary after its last step."""
    demand = np.atleast_2d(np.asarray(demand, dtype=float))
    W = demand.shape[0]
    spec = np.broadcast_to(np.asarray(replicas, dtype=float), (n_settings, W)).copy()
    fields = {
        "now_s": DAY_S + step_s * demand.shape[1],
        "step_s": step_s,
        "demand": demand,
        "ready": spec,
        "starting": np.zeros_like(spec),
        "replicas": spec,
        "capacity": np.full(W, 2.0),
        "min_replicas": np.ones(W),
        "max_replicas": np.full(W, 50.0),
        "future": None if future is None else np.atleast_2d(np.asarray(future, dtype=float)),
    }
    return GridView(**(fields | changes))


def once(policy, view):
    return policy.decide(view, policy.initial_state())[0]
