"""Decisions assembled from a plan and what was granted of it."""

from __future__ import annotations

import numpy as np

from decider import DecideConfig, Direction, plan_shard
from decider.budget.reasons import Grant
from decider.recording import record
from tests.unit.decider.shards import NOW_S, noisy, shard

PLANNED = plan_shard(shard(np.stack([noisy(150.0), noisy(150.0, 1)])), DecideConfig(), NOW_S, 60.0)


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


def test_only_the_rows_asked_for_are_made() -> None:
    grants = [Grant(draft.guarded) for draft in PLANNED.shard.drafts]
    assert list(record(PLANNED, grants, [1])) == [1]


def test_what_the_plan_says_is_said_whatever_is_granted() -> None:
    counts = [record(PLANNED, [Grant(n), Grant(n)], [0])[0] for n in (8, 20)]
    assert counts[0].counterfactuals == counts[1].counterfactuals == PLANNED.counterfactuals[0]
    assert counts[0].quantiles == counts[1].quantiles == PLANNED.quantiles[0]
