"""Shards whose workloads are bound by several loads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from decider import MissDraws, ShardRequest, WorkloadInput
from decider.types import FloatArray
from tests.unit.decider.shards import shard, workload
from tests.unit.decider.tables.soft_cases import N_DRAWS, response, soft_shard

STATED = (400.0, 2.0, 9.0)


def several(
    seed: int = 0, n_further: int = 2, spread: float = 1.0, *, sharing: float | None = None
) -> MissDraws:
    """`response` with further loads about `STATED`, and sharing exponents from 1 on."""
    rng = np.random.default_rng(seed + 100)
    one = response(seed, spread)
    noise = spread * rng.standard_normal((N_DRAWS, n_further))
    further = np.array(STATED[:n_further]) * np.exp(0.15 * noise)
    drawn = 1.0 + np.exp(spread * rng.standard_normal(N_DRAWS))
    exponents = drawn if sharing is None else np.full(N_DRAWS, sharing)
    return MissDraws(
        one.capacity, one.slope, one.floor, one.concentration, exponents, further
    )  # fmt: skip


def bound(n_further: int = 2, **changes: object) -> WorkloadInput:
    """A workload with stated further capacities."""
    return workload(further_capacity=STATED[:n_further], **changes)


def further_paths(paths: FloatArray, n_further: int = 2, seed: int = 0) -> FloatArray:
    """(F, S, H) further loads that take about as much of a replica as the demand (S, H) does."""
    rng = np.random.default_rng(seed)
    noise = np.exp(0.3 * rng.standard_normal((n_further, *paths.shape)))
    return paths / 10.0 * np.array(STATED[:n_further])[:, None, None] * noise


def load_shard(
    paths: FloatArray,
    further: FloatArray,
    owner: WorkloadInput,
    draws: MissDraws | None = None,
) -> ShardRequest:
    """One workload with paths (S, H) and (F, S, H); without draws its capacity is 10."""
    request = shard(paths, [owner]) if draws is None else soft_shard(paths, [draws], [owner])
    return replace(request, further_paths=(further,))
