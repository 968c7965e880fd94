"""How long a shard's decisions take, and how much memory."""

from __future__ import annotations

import math
import resource
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decider import (
    DecideConfig,
    Hardware,
    History,
    Limits,
    MissDraws,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    WorkloadInput,
    decide_shard,
    equivalent_capacity,
)
from services.kernel.clock import make_rng

N_DRAWS = 64
N_REPEATS = 5
MEAN_REPLICAS = 20.0


GOOD_SHARE = 0.95
REQUESTS_PER_STEP = 3000.0


@dataclass(frozen=True, slots=True)
class ShardSize:
    """Size of a shard.

    Attributes:
        workloads: Workloads.
        paths: Sample paths of each.
        steps: Steps ahead.
        loads: Loads that bind a replica, the demand included.
        has_responses: Each workload has a learned response, every other one a promise of requests;
            with several loads it has in any case.
    """

    workloads: int
    paths: int
    steps: int
    loads: int = 1
    has_responses: bool = False

    @property
    def is_soft(self) -> bool:
        """Workloads have responses."""
        return self.has_responses or self.loads > 1


def decision_shard(size: ShardSize, seed: int) -> ShardRequest:
    """A shard in the midst of its life: carried prices, history, starts on their way."""
    n = size.workloads
    rng = make_rng(seed, "bench", "decide", "latency")
    paths = MEAN_REPLICAS * rng.lognormal(0.0, 0.3, (n, size.paths, size.steps))
    demand = MEAN_REPLICAS * rng.lognormal(0.0, 0.2, (n, 144))
    inputs = tuple(
        WorkloadInput(
            f"w{i}",
            ReplicaState(26, 24, (40.0, 20.0)),
            Limits(1, 64),
            _sla(size, i),
            Hardware("H100", 1, 2.5),
            history=History(demand[i]),
            risk=RiskState(log_multiplier=3.0),
            forecast_origin_s=-300.0,
            requests_per_step=REQUESTS_PER_STEP if size.is_soft else math.inf,
            further_capacity=(1.0,) * (size.loads - 1),
        )
        for i in range(n)
    )
    lead_s = rng.lognormal(np.log(90.0), 0.4, (n, N_DRAWS))
    capacity = rng.lognormal(0.0, 0.05, (n, N_DRAWS))
    request = ShardRequest(inputs, paths, capacity, lead_s, 300.0)
    return _with_responses(request, size, rng) if size.is_soft else request


def _sla(size: ShardSize, row: int) -> Sla:
    if not size.is_soft:
        return Sla(0.01)
    return Sla(0.01, "DemandFraction" if row % 2 else "TimeFraction", good_share=GOOD_SHARE)


def _with_responses(
    request: ShardRequest, size: ShardSize, rng: np.random.Generator
) -> ShardRequest:
    """Every load binds about as often; no two draws share an exponent."""
    n_further = size.loads - 1
    responses, further = [], []
    for demand in request.paths:
        others = rng.lognormal(0.0, 0.2, (n_further, *demand.shape))
        further.append(demand * others if n_further else None)
        responses.append(
            MissDraws(
                rng.lognormal(0.3, 0.05, N_DRAWS),
                rng.lognormal(np.log(12.0), 0.2, N_DRAWS),
                np.full(N_DRAWS, 0.002),
                rng.lognormal(np.log(60.0), 0.3, N_DRAWS),
                1.0 + rng.lognormal(0.0, 0.8, N_DRAWS),
                rng.lognormal(0.3, 0.1, (N_DRAWS, n_further)),
            )
        )
    capacity = np.stack(
        [
            equivalent_capacity(draws, w.sla, w.requests_per_step)
            for w, draws in zip(request.workloads, responses, strict=True)
        ]
    )
    return replace(
        request,
        capacity_draws=capacity,
        responses=tuple(responses),
        further_paths=tuple(further) if n_further else (),
    )


def bench_latency(size: ShardSize, seed: int) -> dict[str, Any]:
    """Decide for one shard, explanation included; the best of five, as other work disturbs."""
    request = decision_shard(size, seed)
    config = DecideConfig()
    decide_shard(request, config, 0.0)
    seconds, cpu_s = [], []
    for _ in range(N_REPEATS):
        started, worked = time.perf_counter(), time.process_time()
        decide_shard(request, config, 0.0)
        seconds.append(time.perf_counter() - started)
        cpu_s.append(time.process_time() - worked)
    return {
        "workloads": size.workloads,
        "loads": size.loads,
        "responses": size.is_soft,
        "paths": size.paths,
        "scenarios": size.paths * config.n_pairs,
        "steps": size.steps,
        "candidates": config.max_candidates,
        "seconds": round(min(seconds), 3),
        "seconds_median": round(float(np.median(seconds)), 3),
        "cpu_s": round(min(cpu_s), 3),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
