"""Counterfactuals, the JSON record and the line for people."""

from __future__ import annotations

import json

import numpy as np
import pytest

from decider import (
    DecideConfig,
    Limits,
    decide_shard,
)
from decider.explain import decision_summary, decision_to_dict
from decider.types import RiskKind
from tests.unit.decider.planning.soft_cases import response, sla, soft_shard
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


@pytest.mark.parametrize(
    ("kind", "words"),
    [("DemandFraction", "requests would miss"), ("TimeFraction", "minutes")],
)
def test_counts_are_told_with_what_they_are_expected_to_miss(kind: RiskKind, words: str) -> None:
    owner = workload(sla=sla(kind), limits=Limits(1, 200))
    (decision,) = decide_shard(soft_shard(noisy(150.0), [response()], [owner]), CONFIG, NOW_S)
    misses = decision.expected_misses
    assert misses is not None
    shares = list(misses.by_replicas.values())
    assert list(misses.by_replicas) == sorted(misses.by_replicas)
    assert shares == sorted(shares, reverse=True)
    wanted = {decision.current, decision.final, *decision.counterfactuals.values()}
    assert wanted <= set(misses.by_replicas)
    record = json.loads(json.dumps(decision_to_dict(decision)))["expected_misses"]
    assert record["by_replicas"][str(decision.final)] == pytest.approx(
        misses.by_replicas[decision.final], rel=1e-5
    )
    assert f"{decision.final} replicas: " in decision_summary(decision)
    assert words in decision_summary(decision)


def test_without_a_response_nothing_is_said_of_misses() -> None:
    decision = decide_one(noisy(150.0))
    assert decision.expected_misses is None
    assert "expected_misses" not in decision_to_dict(decision)
