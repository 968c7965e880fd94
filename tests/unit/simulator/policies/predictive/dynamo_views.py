"""Views and predictions of one workload for the planner."""

from __future__ import annotations

import numpy as np

from services.simulator.policies.grid import GridView
from services.simulator.policies.predictive.dynamo_predictors import predict_next

STEP_S = 180.0


def see(demand, *, replicas=3.0, ready=None, starting=0.0, low=0.0, high=1000.0, capacity=1.0):
    """One setting; demand (C,) or (W, C)."""
    demand = np.atleast_2d(np.asarray(demand, dtype=float))
    W = demand.shape[0]
    spec = np.full((1, W), replicas)
    return GridView(
        now_s=STEP_S * demand.shape[1],
        step_s=STEP_S,
        demand=demand,
        ready=spec if ready is None else np.full((1, W), float(ready)),
        starting=np.full((1, W), float(starting)),
        replicas=spec,
        capacity=np.full(W, capacity),
        min_replicas=np.full(W, low),
        max_replicas=np.full(W, high),
    )


def predicted(predictor, demand):
    return float(predict_next(see(demand), predictor, 1, None)[0][0])
