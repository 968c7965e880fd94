"""How long a shard's decisions take, and how much memory."""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np

from decider import (
    DecideConfig,
    Hardware,
    History,
    Limits,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    WorkloadInput,
    decide_shard,
)
from services.kernel.clock import make_rng

N_DRAWS = 64
N_REPEATS = 5
MEAN_REPLICAS = 20.0


def decision_shard(n_workloads: int, n_paths: int, n_steps: int, seed: int) -> ShardRequest:
    """A shard in the midst of its life: carried prices, history, starts on their way."""
    rng = make_rng(seed, "bench", "decide", "latency")
    paths = MEAN_REPLICAS * rng.lognormal(0.0, 0.3, (n_workloads, n_paths, n_steps))
    demand = MEAN_REPLICAS * rng.lognormal(0.0, 0.2, (n_workloads, 144))
    inputs = tuple(
        WorkloadInput(
            f"w{i}",
            ReplicaState(26, 24, (40.0, 20.0)),
            Limits(1, 64),
            Sla(0.01),
            Hardware("H100", 1, 2.5),
            history=History(demand[i]),
            risk=RiskState(log_multiplier=3.0),
            forecast_origin_s=-300.0,
        )
        for i in range(n_workloads)
    )
    lead_s = rng.lognormal(np.log(90.0), 0.4, (n_workloads, N_DRAWS))
    capacity = rng.lognormal(0.0, 0.05, (n_workloads, N_DRAWS))
    return ShardRequest(inputs, paths, capacity, lead_s, 300.0)


def bench_latency(n_workloads: int, n_paths: int, n_steps: int, seed: int) -> dict[str, Any]:
    """Decide for one shard, explanation included; the best of five, as other work disturbs."""
    request = decision_shard(n_workloads, n_paths, n_steps, seed)
    config = DecideConfig()
    decide_shard(request, config, 0.0)
    seconds = []
    for _ in range(N_REPEATS):
        started = time.perf_counter()
        decide_shard(request, config, 0.0)
        seconds.append(time.perf_counter() - started)
    return {
        "workloads": n_workloads,
        "paths": n_paths,
        "scenarios": n_paths * config.n_pairs,
        "steps": n_steps,
        "candidates": config.max_candidates,
        "seconds": round(min(seconds), 3),
        "seconds_median": round(float(np.median(seconds)), 3),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
