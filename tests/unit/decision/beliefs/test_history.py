"""Steps of a history: only where all is known, and none that was seen since."""

from __future__ import annotations

import numpy as np
import pytest

from decider import FloatArray
from services.decision.beliefs.history import (
    PastSeries,
    history_steps,
    tells_by_history,
    with_history,
)
from services.decision.beliefs.miss_data import MissSteps
from services.decision.rows.loads import Sampled
from services.decision.rows.members import ShardMember
from services.kernel.domain import WorkloadSpec

STEP_S = 60
NAN = float("nan")


def member(**changes: object) -> ShardMember:
    spec = {
        "target": "Deployment/w",
        "demand": "load_rps",
        "indicators": [{"name": name, "level": 1} for name in ("load_rps", "tokens")],
        "capacity": {"per_replica": 10.0},
        "sla": {"epsilon": 0.05, "objective": {"goals": [{"metric": "ttft", "threshold_s": 0.5}]}},
    }
    return ShardMember(1, "demo", "w", STEP_S, WorkloadSpec.model_validate(spec | changes))


def series(*values: float, first: int = 0) -> Sampled:
    """Observed values by step; NaN is a gap, of which there is no row."""
    at_s = STEP_S * (first + np.arange(len(values), dtype=float))
    column = np.array(values, dtype=float)
    return at_s[np.isfinite(column)], column[np.isfinite(column)]


def past(
    ready: Sampled, total: Sampled, good: Sampled, demand: Sampled | None = None, **further: Sampled
) -> PastSeries:
    """Requests are given per step."""
    counted = {"sli_ready": ready} | {
        name: (at_s, values / STEP_S)
        for name, (at_s, values) in (("sli_ttft_total", total), ("sli_ttft_good", good))
    }
    return PastSeries(counted, ({} if demand is None else {"load_rps": demand}) | further)


def test_a_step_is_told_where_requests_loads_and_replicas_are_known() -> None:
    found = history_steps(
        member(),
        past(
            ready=series(2, 2, 0, NAN, 4, 4),
            total=series(100, 100, 100, 100, 100, NAN),
            good=series(90, 100, 0, 100, 60, NAN),
            demand=series(10, NAN, 10, 10, 40, 40),
        ),
    )
    assert (found.steps_s / STEP_S).tolist() == [0, 4]
    assert found.load.tolist() == [5.0, 10.0]
    assert found.missed == pytest.approx([10.0, 40.0])
    assert found.total == pytest.approx([100.0, 100.0])


def test_several_loads_are_all_per_ready_replica() -> None:
    also = [{"indicator": "tokens", "per_replica": 100.0}]
    two = member(capacity={"per_replica": 10.0, "also_bound_by": also})
    counts = {"ready": series(2, 4), "total": series(50, 50), "good": series(50, 40)}
    found = history_steps(two, past(**counts, demand=series(10, 20), tokens=series(NAN, 400)))
    assert found.load.tolist() == [[5.0, 100.0]]
    assert history_steps(two, past(**counts, demand=series(10, 20))).size == 0


def test_a_step_behind_a_queue_is_not_told() -> None:
    counts = {"ready": series(2, 2, 2, 2), "total": series(50, 50, 50, 50)}
    told = past(**counts, good=series(50, 20, 20, 50), demand=series(10, 10, 10, 10))
    told = PastSeries({**told.counted, "sli_waiting": series(0, 90, 0, 0)}, told.loads)
    assert (history_steps(member(), told).steps_s / STEP_S).tolist() == [0, 1]


def test_without_demand_nothing_is_told() -> None:
    counts = {"ready": series(2), "total": series(50), "good": series(50)}
    assert history_steps(member(), past(**counts)).size == 0


def test_of_variants_and_pools_nothing_tells_who_served() -> None:
    assert tells_by_history(member())
    assert not tells_by_history(member(sla={"epsilon": 0.05}))
    variants = [
        {"name": name, "target": f"Deployment/{name}", "gpu_type": kind, "max_replicas": 9}
        for name, kind in (("big", "H100"), ("small", "L4"))
    ]
    assert not tells_by_history(member(variants=variants))


def steps(at: FloatArray, load: float) -> MissSteps:
    n = at.size
    return MissSteps(STEP_S * at, np.full(n, load), np.zeros(n), np.full(n, 9.0))


def test_steps_that_were_seen_since_go_before_those_of_the_history() -> None:
    since, before = steps(np.array([5.0, 6.0]), 1.0), steps(np.array([3.0, 5.0, 9.0]), 2.0)
    found = with_history(since, before)
    assert found is not None
    assert (found.steps_s / STEP_S).tolist() == [3, 5, 6, 9]
    assert found.load.tolist() == [2.0, 1.0, 1.0, 2.0]
    assert with_history(None, before) is before
    assert with_history(since, None) is since
    assert with_history(None, None) is None
