"""Each hold and each cut has its own reason."""

from __future__ import annotations

import numpy as np
import pytest

from decider import (
    Control,
    DecideConfig,
    Hardware,
    Limits,
    Reason,
    ReplicaState,
    decide_shard,
)
from tests.unit.decider.shards import NOW_S, noisy, shard, workload

CONFIG = DecideConfig()


def decide_one(paths: np.ndarray, owner=None, **given):
    return decide_shard(shard(paths, [owner or workload()], **given), CONFIG, NOW_S)[0]


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (Control(is_paused=True), Reason.HOLD_PAUSED),
        (Control(paused_until_s=NOW_S + 60), Reason.HOLD_PAUSED_UNTIL),
        (Control(scale_in_only=True), Reason.HOLD_SCALE_IN_ONLY),
        (Control(freeze="Both"), Reason.HOLD_FREEZE),
    ],
)
def test_people_outrank_the_plan(control: Control, reason: Reason) -> None:
    decision = decide_one(noisy(150.0), workload(control=control))
    assert (decision.final, decision.reason) == (10, reason)
    assert decision.raw > 10


def test_scale_out_only_names_itself() -> None:
    decision = decide_one(noisy(40.0), workload(control=Control(scale_out_only=True)))
    assert (decision.final, decision.reason) == (10, Reason.HOLD_SCALE_OUT_ONLY)


def test_unschedulable_growth_is_a_named_hold() -> None:
    state = ReplicaState(10, 10, schedulable_gpus=0)
    decision = decide_one(noisy(150.0), workload(replicas=state))
    assert (decision.final, decision.reason) == (10, Reason.HOLD_NOT_SCHEDULABLE)
    assert decision.binding_constraint == "schedulable"


def test_current_count_out_of_bounds_is_brought_back() -> None:
    high = decide_one(noisy(100.0), workload(limits=Limits(1, 6)))
    assert (high.final, high.reason) == (6, Reason.SCALE_DOWN_BOUNDS)
    low = decide_one(noisy(50.0), workload(limits=Limits(30, 40)))
    assert (low.final, low.reason) == (30, Reason.SCALE_UP_BOUNDS)


def test_a_budget_is_kept_and_explained() -> None:
    owners = [workload(f"w{i}", hardware=Hardware("H100", 2, 2.5)) for i in range(4)]
    paths = np.stack([noisy(150.0, i) for i in range(4)])
    decisions = decide_shard(shard(paths, owners, budgets={"H100": 104}), CONFIG, NOW_S)
    assert sum(2 * d.final for d in decisions) <= 104
    assert all(d.final >= 1 for d in decisions)
    cut = [d for d in decisions if d.fleet_cap is not None]
    assert cut
    assert all(d.binding_constraint == "gpu_budget" for d in cut)
    assert all(d.shadow_price_usd_per_gpu_hour > 0 for d in cut)


def test_an_unreadable_budget_stops_growth_never_means_unlimited() -> None:
    paths = np.stack([noisy(150.0), noisy(40.0)])
    owners = [workload("a"), workload("b")]
    up, down = decide_shard(shard(paths, owners, budgets={"H100": None}), CONFIG, NOW_S)
    assert (up.final, up.reason) == (10, Reason.HOLD_BUDGET_UNREADABLE)
    assert down.final < 10


def test_a_budget_below_the_minima_gives_the_minima_and_says_so() -> None:
    owners = [workload(f"w{i}", limits=Limits(8, 60)) for i in range(2)]
    paths = np.stack([noisy(150.0), noisy(150.0, 1)])
    decisions = decide_shard(shard(paths, owners, budgets={"H100": 10}), CONFIG, NOW_S)
    assert all(d.final <= 10 for d in decisions)
    assert all("minimum replicas alone exceed" in d.guard_trace[-1].detail for d in decisions)
