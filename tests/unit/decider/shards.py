"""Requests for the decider's tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from decider import (
    Hardware,
    History,
    Limits,
    ReplicaState,
    ShardRequest,
    Sla,
    WorkloadInput,
)

STEP_S = 300.0
NOW_S = 1_000_000 * STEP_S


def workload(name: str = "w", **changes: Any) -> WorkloadInput:
    given = WorkloadInput(
        name,
        ReplicaState(10, 10),
        Limits(1, 60),
        Sla(0.01),
        Hardware("H100", 1, 2.5),
        forecast_origin_s=NOW_S - STEP_S,
    )
    return replace(given, **changes)


def observed(*values: float) -> History:
    return History(np.array(values, dtype=float), NOW_S)


def shard(
    paths: np.ndarray,
    workloads: list[WorkloadInput] | None = None,
    *,
    capacity: float | np.ndarray = 10.0,
    lead_s: float | np.ndarray = 60.0,
    budgets: dict[str, int | None] | None = None,
) -> ShardRequest:
    """A shard from (W, S, H) or (S, H) paths."""
    paths = np.asarray(paths, dtype=float)
    paths = paths[None] if paths.ndim == 2 else paths
    n = paths.shape[0]
    given = workloads or [workload(f"w{i}") for i in range(n)]
    return ShardRequest(
        tuple(given),
        paths,
        np.broadcast_to(np.asarray(capacity, dtype=float), (n, 8)).copy(),
        np.broadcast_to(np.asarray(lead_s, dtype=float), (n, 8)).copy(),
        STEP_S,
        budgets or {},
    )


def noisy(level: float, seed: int = 0, *, n_paths: int = 200, horizon: int = 6, cv: float = 0.1):
    rng = np.random.default_rng(seed)
    return level * np.exp(cv * rng.standard_normal((n_paths, horizon)))
