"""Counterfactuals, the JSON record and the line for people."""

from __future__ import annotations

import json

import numpy as np

from decider import (
    DecideConfig,
    Limits,
    decide_shard,
)
from decider.explain import decision_summary, decision_to_dict
from tests.unit.decider.shards import NOW_S, noisy, shard, workload

CONFIG = DecideConfig()


def decide_one(paths: np.ndarray, owner=None, **given):
    return decide_shard(shard(paths, [owner or workload()], **given), CONFIG, NOW_S)[0]


def test_counterfactuals_order_and_stay_within_bounds() -> None:
    decision = decide_one(noisy(150.0, cv=0.2), workload(limits=Limits(1, 25)))
    others = decision.counterfactuals
    by_level = [others[f"epsilon_{e:g}"] for e in (0.001, 0.01, 0.05, 0.1)]
    assert by_level == sorted(by_level, reverse=True)
    assert others["median_forecast"] == 16
    assert all(1 <= n <= 25 for n in others.values())


def test_the_record_is_json_and_the_summary_reads() -> None:
    decision = decide_one(noisy(150.0))
    record = json.loads(json.dumps(decision_to_dict(decision)))
    assert record["risk"]["target"] == 0.01
    assert record["guard_trace"][0]["guard"] == "stale_input"
    line = decision_summary(decision)
    assert "w: 10 ->" in line
    assert "scale_up_risk" in line
    assert "promised" in line


def test_the_counterfactual_at_the_own_promise_is_the_plan() -> None:
    (decision,) = decide_shard(shard(noisy(150.0, cv=0.2)), DecideConfig(), NOW_S)
    assert decision.counterfactuals["epsilon_0.01"] == decision.raw
