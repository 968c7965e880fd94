"""Decisions assembled from a plan and what was granted of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decider import (
    DecideConfig,
    Direction,
    History,
    ReplicaState,
    RiskState,
    after_decision,
    decide_shard,
    decision_summary,
    plan_shard,
)
from decider.budget.reasons import Grant
from decider.recording import record
from tests.unit.decider.shards import NOW_S, noisy, shard, workload

CONFIG = DecideConfig()
PLANNED = plan_shard(shard(np.stack([noisy(150.0), noisy(150.0, 1)])), CONFIG, NOW_S, 60.0)


def test_a_grant_is_what_a_decision_says_and_is_judged_by() -> None:
    wanted = PLANNED.shard.drafts[0].guarded
    grants = [Grant(12, 12, 3.5, "cut", (9, 8)), Grant(wanted)]
    cut, free = (record(PLANNED, grants, [0, 1])[row] for row in (0, 1))
    assert (cut.final, cut.direction, cut.fleet_cap) == (12, Direction.UP, 12)
    assert (cut.shadow_price_usd_per_gpu_hour, cut.budget_demand) == (3.5, (9, 8))
    assert cut.guard_trace[-1].detail == "cut"
    assert cut.valid_until_s == NOW_S + 60.0
    assert (free.final, free.fleet_cap) == (wanted, None)
    assert cut.risk_after is not None
    assert free.risk_after is not None
    assert cut.risk_after > free.risk_after


def test_a_risk_is_told_as_a_share_whatever_falls_before_others_could_land() -> None:
    """It was told as 1544 %: the sum over the steps until a start lands."""
    owner = workload(
        replicas=ReplicaState(20, 20),
        history=History(np.full(20, 150.0), NOW_S),
        forecast_origin_s=NOW_S - 60.0,
    )
    request = replace(shard(noisy(150.0, horizon=12), [owner], lead_s=900.0), step_s=60.0)
    request = replace(request, gpu_budgets={"H100": 12})
    (cut,) = decide_shard(request, CONFIG, NOW_S)
    assert (cut.final, cut.is_short) == (12, True)
    assert cut.risk_after == 1.0
    assert "risk 100.00% against 1.00% promised" in decision_summary(cut)
    assert cut.risk_level is not None
    level_use = after_decision(RiskState(), cut, CONFIG.risk).level_use
    assert level_use == pytest.approx(1.0 / cut.risk_level)
    (before,) = decide_shard(request, DecideConfig(revision=4), NOW_S)
    assert before.risk_after is not None
    assert before.risk_after > 10.0
    assert before.next_log_multiplier == cut.next_log_multiplier


def test_only_the_rows_asked_for_are_made() -> None:
    grants = [Grant(draft.guarded) for draft in PLANNED.shard.drafts]
    assert list(record(PLANNED, grants, [1])) == [1]


def test_what_the_plan_says_is_said_whatever_is_granted() -> None:
    counts = [record(PLANNED, [Grant(n), Grant(n)], [0])[0] for n in (8, 20)]
    assert counts[0].counterfactuals == counts[1].counterfactuals == PLANNED.counterfactuals[0]
    assert counts[0].quantiles == counts[1].quantiles == PLANNED.quantiles[0]
