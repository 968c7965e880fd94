"""What responses are learned from: when it suffices, what it is learned for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decider import MissDraws, MissPrior
from services.decision.beliefs.miss_data import (
    MIN_STEPS,
    MissSteps,
    group_of,
    lack_of_steps,
    learned_for,
    summary_of,
)
from services.decision.rows.members import ShardMember
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


TOKENS = {"indicators": [{"name": n, "level": 1} for n in ("load_rps", "tokens", "kv")]}


def bound(*names: str, per_replica: float = 200.0) -> ShardMember:
    further = [{"indicator": name, "per_replica": per_replica} for name in names]
    return member(capacity={"per_replica": 10.0, "also_bound_by": further}, **TOKENS)


@pytest.mark.parametrize(
    "other",
    [
        bound("tokens"),
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
    draws = MissPrior.stated(10.0, 0.0, 0.05).draws(256)
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


def test_what_further_loads_it_is_learned_for_counts_and_their_order() -> None:
    one, other = bound("tokens", "kv"), bound("kv", "tokens")
    assert group_of(one)["further"] == ["tokens", "kv"]
    assert group_of(one) != group_of(other)
    tight = bound("tokens", "kv", per_replica=100.0)
    assert group_of(one) == group_of(tight)
    assert learned_for(one) != learned_for(tight)
    assert "further" not in learned_for(member())


def test_steps_with_an_unknown_load_are_left_out() -> None:
    known: Any = {
        "steps_s": [0.0, 60.0, 120.0],
        "load": [1.0, 2.0, 3.0],
        "missed": [0.0, 1.0, 2.0],
        "total": [10.0, 20.0, 30.0],
    }
    tokens = {"tokens": (np.array([0.0, 120.0]), np.array([7.0, 9.0]))}
    found = MissSteps.of(known, bound("tokens").spec, tokens)
    np.testing.assert_array_equal(found.load, [[1.0, 7.0], [3.0, 9.0]])
    assert (found.size, found.missed.tolist(), found.total.tolist()) == (
        2,
        [0.0, 2.0],
        [10.0, 30.0],
    )
    assert MissSteps.of(known, bound("tokens", "kv").spec, tokens).size == 0
    np.testing.assert_array_equal(MissSteps.of(known, member().spec).load, [1.0, 2.0, 3.0])
    assert MissSteps.none(2).load.shape == (0, 3)


def test_too_few_steps_name_the_loads_that_they_need() -> None:
    assert "with demand, tokens, kv and ready" in lack_of_steps(bound("tokens", "kv"), None)


def test_a_summary_says_what_a_replica_bears_of_each_load_alone() -> None:
    alone = MissPrior.stated(10.0, 0.0, 0.05).draws(256)
    draws = MissDraws(
        alone.capacity,
        alone.slope,
        alone.floor,
        alone.concentration,
        np.full(256, 3.0),
        20.0 * alone.capacity[:, None],
    )
    load = np.column_stack([np.full(30, 5.0), np.full(30, 80.0)])
    found = summary_of(draws, bound("tokens"), replace(steps(30), load=load))
    assert found["further"]["tokens"]["p50"] == pytest.approx(20.0 * found["p50"], rel=1e-4)
    assert found["sharing"] == {"p10": 3.0, "p50": 3.0, "p90": 3.0}
    assert "further" not in summary_of(alone, member(), steps(30))
