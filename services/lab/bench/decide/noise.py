"""How far a count depends on the luck of the sample paths, the forecast being the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from decider import (
    Hardware,
    Limits,
    ReplicaState,
    ShardRequest,
    Sla,
    StepQuantiles,
    WorkloadInput,
    capacity_draws,
    decide_shard,
)
from forecaster.predict import paths_by_rank, stratified
from services.kernel.clock import make_rng
from services.lab.bench.decide.deployed import BASE
from services.lab.bench.forecast.arm import LEVELS
from services.simulator.fleet.arrays import FloatArray

PROMISES = (0.001, 0.01, 0.05)
N_STEPS = 12
N_DRAWS = 64
STEP_S = 300.0


@dataclass(frozen=True, slots=True)
class NoiseCase:
    """A forecast of which samples are drawn.

    Attributes:
        replicas: Replicas that the median demand needs.
        spread: Standard deviation of the logarithm of the demand, at every step.
        capacity_cv: Coefficient of variation of what a replica serves.
        n_paths: Sample paths.
        n_seeds: Samples of them.
    """

    replicas: float
    spread: float
    capacity_cv: float
    n_paths: int
    n_seeds: int

    def quantiles(self) -> FloatArray:
        """(Q, H) quantile function."""
        one = self.replicas * np.exp(self.spread * ndtri(LEVELS))
        return np.repeat(one[:, None], N_STEPS, axis=1)


def bench_noise(case: NoiseCase, seed: int) -> list[dict[str, Any]]:
    """Decide once per sample of paths, by them and by the quantile function; a row per promise."""
    samples = np.stack([_paths(case, seed, i) for i in range(case.n_seeds)])
    steps = StepQuantiles(LEVELS, case.quantiles().astype(np.float32).astype(np.float64))
    rows = []
    for promise in PROMISES:
        by_paths = _request(case, samples, promise)
        known = replace(by_paths, quantiles=(steps,) * case.n_seeds)
        row: dict[str, Any] = {"promise": promise}
        for name, request in (("paths", by_paths), ("quantiles", known)):
            counts = np.array([d.raw for d in decide_shard(request, BASE, 0.0)])
            row[f"{name}_mean"] = round(float(counts.mean()), 1)
            row[f"{name}_sd_over_mean"] = round(float(counts.std() / counts.mean()), 4)
        rows.append(row)
    return rows


def _paths(case: NoiseCase, seed: int, sample: int) -> FloatArray:
    """(S, H) paths as the forecaster draws them: stratified points, in any order."""
    rng = make_rng(seed, "bench", "decide", "noise", sample)
    scores = rng.standard_normal((1, case.n_paths, N_STEPS), dtype=np.float32)
    points = stratified(case.n_paths, N_STEPS, rng)
    quantiles = case.quantiles()[None].astype(np.float32)
    return np.asarray(paths_by_rank(quantiles, LEVELS, scores, points)[0], dtype=np.float64)


def _request(case: NoiseCase, samples: FloatArray, promise: float) -> ShardRequest:
    """One workload per sample, with nothing but a forecast."""
    running = round(case.replicas)
    one = WorkloadInput(
        "w",
        ReplicaState(running, running),
        Limits(1, 100 * running),
        Sla(promise),
        Hardware("H100", 1, 2.5),
        forecast_origin_s=-STEP_S,
    )
    capacity = capacity_draws(1.0, case.capacity_cv, N_DRAWS)
    return ShardRequest(
        tuple(replace(one, workload=f"sample{i}") for i in range(case.n_seeds)),
        samples,
        np.tile(capacity, (case.n_seeds, 1)),
        np.full((case.n_seeds, N_DRAWS), 90.0),
        STEP_S,
    )
