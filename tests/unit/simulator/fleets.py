"""Small fleets for simulator tests."""

from __future__ import annotations

import numpy as np

from services.kernel.domain import IndicatorSpec
from services.simulator.fleet import Fleet, FleetWorkload, StartupProfile


def make_fleet(
    demand,
    *,
    n_history,
    step_s=60,
    capacity=1.0,
    median_s=90.0,
    sigma=0.0,
    fail=0.0,
    gpus=1,
    max_replicas=50,
    observed=None,
):
    demand = np.atleast_2d(np.asarray(demand, dtype=float))
    W = demand.shape[0]
    workloads = tuple(
        FleetWorkload(
            namespace="t",
            name=f"w{i}",
            kind="llm",
            gpu_type="L4",
            gpus_per_replica=gpus,
            capacity_per_replica=capacity,
            demand="load_rps",
            indicators=(IndicatorSpec(name="load_rps", level=1),),
            min_replicas=1,
            max_replicas=max_replicas,
            startup=StartupProfile(median_s + 7.0 * i, sigma, fail, 20.0),
            price_usd_per_gpu_hour=3.6,
        )
        for i in range(W)
    )
    seen = np.isfinite(demand) if observed is None else observed
    return Fleet(
        label="test",
        seed=1,
        step_s=step_s,
        start_s=0,
        n_history=n_history,
        workloads=workloads,
        demand=demand,
        values=demand[:, :, None],
        observed=seen[:, :, None],
        has_closed_loop=True,
    )
