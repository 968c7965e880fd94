"""What responses are learned from: when it suffices, what it is learned for."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from decider import prior_draws
from services.decision.beliefs.miss_data import (
    MIN_STEPS,
    MissSteps,
    group_of,
    lack_of_steps,
    learned_for,
    summary_of,
)
from services.decision.rows.inputs import ShardMember
from services.kernel.domain import WorkloadSpec


def member(goals: Any = (("ttft", 0.5),), share: float = 0.95, **changes: Any) -> ShardMember:
    named = [{"metric": metric, "threshold_s": s} for metric, s in goals]
    spec = {
        "target": "Deployment/w",
        "demand": "load_rps",
        "indicators": [{"name": "load_rps", "level": 1}],
        "capacity": {"per_replica": 10.0},
        "sla": {"epsilon": 0.05, "objective": {"goals": named, "share": share}},
    }
    return ShardMember(1, "demo", "w", 60, WorkloadSpec.model_validate(spec | changes))


def steps(n: int) -> MissSteps:
    load = np.linspace(5.0, 10.0, n)
    return MissSteps(60.0 * np.arange(n), load, np.zeros(n), np.full(n, 100.0))


def test_some_steps_are_needed() -> None:
    assert lack_of_steps(member(), None).startswith("0 measured steps")
    assert lack_of_steps(member(), steps(MIN_STEPS - 1)).startswith(f"{MIN_STEPS - 1} measured")
    assert lack_of_steps(member(), steps(MIN_STEPS)) == ""
    assert "sla.objective" in lack_of_steps(member(sla={"epsilon": 0.05}), steps(100))


@pytest.mark.parametrize(
    "other",
    [
        member(demand="tokens", indicators=[{"name": "tokens", "level": 1}]),
        member(gpu_type="L4"),
        member(gpus_per_replica=2),
        member(goals=[("ttft", 0.4)]),
        member(goals=[("ttft", 0.5), ("e2e", 9.0)]),
        member(share=0.99),
    ],
)
def test_another_group_is_another_fingerprint_too(other: ShardMember) -> None:
    assert group_of(other) != group_of(member())
    assert learned_for(other) != learned_for(member())


def test_what_is_stated_and_promised_is_ones_own() -> None:
    other = member(capacity={"per_replica": 20.0})
    assert group_of(other) == group_of(member())
    assert learned_for(other) != learned_for(member())
    assert learned_for(member(max_replicas=7)) == learned_for(member())
    both = [("ttft", 0.5), ("e2e", 9.0)]
    assert learned_for(member(both)) == learned_for(member(both[::-1]))
    assert json.loads(json.dumps(learned_for(member(both)))) == learned_for(member(both))


def test_a_summary_says_the_load_within_the_promise() -> None:
    draws = prior_draws(10.0, 0.0, 0.05, 256)
    found = summary_of(draws, member(), steps(30))
    assert found["p10"] < found["p50"] == pytest.approx(10.0, rel=0.02)
    assert found["p50"] < found["p90"]
    assert found["slope"] == pytest.approx(12.0, rel=0.02)
    assert (found["data_until_s"], found["requests_per_step"]) == (29 * 60.0, 100.0)
    assert found["learned_for"] == learned_for(member())


def test_of_many_steps_those_near_the_knee_are_kept() -> None:
    many = steps(2000)
    assert many.across_loads().size == 200
    assert steps(3).across_loads().size == 3
    assert MissSteps.none().across_loads().size == 0
