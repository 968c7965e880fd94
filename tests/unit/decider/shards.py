"""Requests for the decider's tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from decider import (
    Decision,
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


def drawn_workload(data: st.DataObject, name: str, sla: Sla) -> WorkloadInput:
    """A workload of drawn bounds, replicas, GPUs and load; the draws come in this order."""
    low = data.draw(st.integers(0, 6))
    high = data.draw(st.integers(low, 30))
    ready = data.draw(st.integers(low, high))
    return workload(
        name,
        limits=Limits(low, high),
        replicas=ReplicaState(ready, data.draw(st.integers(0, ready)), (5.0,)),
        sla=sla,
        hardware=Hardware("L4", data.draw(st.integers(1, 4)), 1.0),
        history=observed(data.draw(st.floats(0, 300))),
    )


def assert_limits_hold(
    owners: Sequence[WorkloadInput], decisions: Sequence[Decision], budget: int | None
) -> None:
    """Counts keep their bounds, and together the budget of their GPU type where it can be kept.

    An unknown budget (None) allows no increase.
    """
    for owner, decision in zip(owners, decisions, strict=True):
        assert owner.limits.min_replicas <= decision.final <= owner.limits.max_replicas
        if budget is None:
            assert decision.final <= decision.current
    least = sum(w.hardware.gpus_per_replica * w.limits.min_replicas for w in owners)
    if budget is not None and least <= budget:
        pairs = zip(owners, decisions, strict=True)
        assert sum(w.hardware.gpus_per_replica * d.final for w, d in pairs) <= budget
