"""Decisions of workloads without variants are what they were, byte for byte; `make golden` renews.

A change of the decider that changes what is decided shows itself here, figure by figure. The
records are those that are stored and shown: their figures are rounded, so that the last bit of a
processor's arithmetic is none of theirs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decider import (
    Control,
    DecideConfig,
    DirectionRules,
    Hardware,
    History,
    Limits,
    RatePolicy,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    TrailingRule,
    WorkloadInput,
    decide_shard,
    decision_summary,
    decision_to_dict,
)

FOLDER = Path(__file__).parent / "decisions"
STEP_S = 300.0
NOW_S = 1_000_000 * STEP_S
SEED = 7


def workload(name: str, **changes: Any) -> WorkloadInput:
    given = WorkloadInput(
        name,
        ReplicaState(10, 10, schedulable_gpus=64),
        Limits(1, 60),
        Sla(0.01),
        Hardware("H100", 1, 2.5),
        history=observed(92.0, 97.0, 101.0),
        forecast_origin_s=NOW_S - STEP_S,
    )
    return replace(given, **changes)


def observed(*values: float, **more: Any) -> History:
    return History(np.array(values, dtype=float), NOW_S, **more)


def shard(
    workloads: list[WorkloadInput],
    levels: list[float],
    budgets: dict[str, int | None] | None = None,
    growth: float = 1.0,
) -> ShardRequest:
    """Paths about a level for each workload, capacities about 10, lead times about 90 s."""
    rng = np.random.default_rng(SEED)
    n, horizon = len(workloads), 6
    shape = growth ** np.arange(horizon)
    noise = np.exp(0.12 * rng.standard_normal((n, 200, horizon)))
    capacity = 10.0 * np.exp(0.05 * rng.standard_normal((n, 8)))
    lead_s = 90.0 * np.exp(0.3 * rng.standard_normal((n, 8)))
    paths = np.asarray(levels)[:, None, None] * shape * noise
    return ShardRequest(tuple(workloads), paths, capacity, lead_s, STEP_S, budgets or {})


def promises() -> ShardRequest:
    """Kinds of promise, budgets spent and unspent, a price instead of a promise."""
    spent = RiskState(log_level=0.3, spent_steps=90.0, observed_steps=4000.0)
    known = RiskState(log_multiplier=1.5)
    owners = [
        workload("time"),
        workload("demand", sla=Sla(0.02, "DemandFraction")),
        workload("window", sla=Sla(0.05, "AnyInWindow", window_s=86400.0)),
        workload("priced", sla=Sla(None)),
        workload("exhausted", sla=Sla(0.01, window_s=86400.0), risk=spent),
        workload("carried", risk=known),
    ]
    return shard(owners, [150.0, 120.0, 110.0, 95.0, 100.0, 130.0])


def movements() -> ShardRequest:
    """Up, down, staying; starts on their way and stuck; gangs; from and to zero."""
    owners = [
        workload("rises"),
        workload("falls"),
        workload("stays"),
        workload("starting", replicas=ReplicaState(16, 10, (20.0, 60.0, 60.0), (90.0,) * 3, 8)),
        workload("stuck", replicas=ReplicaState(14, 10, (), (600.0,) * 4, 0)),
        workload("gangs", hardware=Hardware("B200", 4, 6.0)),
        workload("idle", limits=Limits(0, 60), history=observed(0.0, 0.0, 0.0)),
        workload("awakes", limits=Limits(0, 60), replicas=ReplicaState(0, 0)),
    ]
    return shard(owners, [180.0, 40.0, 84.0, 140.0, 130.0, 120.0, 0.0, 60.0], growth=1.04)


def limits() -> ShardRequest:
    """Bounds, rates, tolerance, stabilisation, schedules, pauses, freezes."""
    slow = DirectionRules(policies=(RatePolicy("Pods", 2, 300.0), RatePolicy("Percent", 10, 600.0)))
    steady = DirectionRules(stabilization_window_s=1800.0, tolerance=0.1)
    changes = observed(95.0, 96.0, changes=((NOW_S - 200.0, 1),))
    asked = observed(95.0, 60.0, recommendations=((NOW_S - 900.0, 12), (NOW_S - 300.0, 9)))
    owners = [
        workload("at-most", limits=Limits(1, 12)),
        workload("at-least", limits=Limits(9, 60)),
        workload("slowly", limits=Limits(1, 60, scale_up=slow), history=changes),
        workload("steadily", limits=Limits(1, 60, scale_down=steady), history=asked),
        workload("never-down", limits=Limits(1, 60, scale_down=DirectionRules(0, "Disabled"))),
        workload("scheduled", control=Control(schedule="day", schedule_min=14, schedule_max=20)),
        workload("paused", control=Control(is_paused=True)),
        workload("paused-until", control=Control(is_paused=True, paused_until_s=NOW_S + 60.0)),
        workload("down-only", control=Control(scale_in_only=True)),
        workload("up-only", control=Control(scale_out_only=True)),
        workload("frozen", control=Control(schedule="sale", freeze="ScaleDown")),
    ]
    levels = [190.0, 30.0, 190.0, 50.0, 40.0, 80.0, 190.0, 190.0, 190.0, 40.0, 40.0]
    return shard(owners, levels)


def fallbacks() -> ShardRequest:
    """No forecast, an old one, one that is not trusted, nothing measured."""
    rule = TrailingRule(3, 0.9, 0.2)
    old = NOW_S - 30 * STEP_S
    none: dict[str, Any] = {"forecast_rung": "", "forecast_origin_s": 0.0}
    owners = [
        workload("no-forecast", **none),
        workload("old-forecast", forecast_origin_s=old),
        workload("untrusted", is_model_trusted=False, trust_reason="it lost", trailing_rule=rule),
        workload("unmeasured", has_replica_state=False),
        workload("blind", history=History(), **none),
        workload("static", history=History(), limits=Limits(1, 60, static_replicas=7), **none),
        workload("gaps", history=observed(90.0, np.nan, np.nan), **none),
        workload("floor", history=observed(60.0, 150.0)),
    ]
    return shard(owners, [120.0, 120.0, 160.0, 120.0, 120.0, 120.0, 120.0, 40.0])


def budgets() -> ShardRequest:
    """A scarce type, one that is plentiful, and one whose budget cannot be read."""
    owners = [
        workload("gold", sla=Sla(0.01, class_weight=8.0)),
        workload("silver", sla=Sla(0.01, class_weight=2.0)),
        workload("bronze", sla=Sla(0.05, class_weight=1.0)),
        workload("by-hand", control=Control(is_automatic=False)),
        workload("plentiful", hardware=Hardware("L4", 1, 0.7)),
        workload("unreadable", hardware=Hardware("A100", 2, 1.8)),
    ]
    levels = [150.0, 150.0, 150.0, 100.0, 150.0, 150.0]
    return shard(owners, levels, {"H100": 48, "L4": 400, "A100": None})


def loads() -> ShardRequest:
    """Two further loads, by stated capacities: one binds, none does, one is not known."""
    two: dict[str, Any] = {"further_capacity": (400.0, 2.0)}
    owners = [
        workload("demand", **two),
        workload("first", **two),
        workload("second", sla=Sla(0.02, "DemandFraction"), **two),
        workload("unknown", **two),
        workload("alone"),
    ]
    request = shard(owners, [150.0, 110.0, 110.0, 150.0, 150.0])
    noise = np.exp(0.2 * np.random.default_rng(SEED + 1).standard_normal((2, 200, 6)))
    level = noise * np.array([4000.0, 20.0])[:, None, None]
    high = np.array([[1.0, 1.0], [1.7, 1.0], [1.0, 1.7]])[:, :, None, None]
    return replace(request, further_paths=(*(level * h for h in high), None, None))


CASES: tuple[Callable[[], ShardRequest], ...] = (
    promises,
    movements,
    limits,
    fallbacks,
    budgets,
    loads,
)


def rendered(request: ShardRequest) -> str:
    """The decisions of a shard as a file."""
    decisions = decide_shard(request, DecideConfig(), NOW_S)
    found = [
        {"summary": decision_summary(each), "record": decision_to_dict(each)} for each in decisions
    ]
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.__name__))
def test_what_is_decided_is_what_was(case: Callable[[], ShardRequest]) -> None:
    path = FOLDER / f"{case.__name__}.json"
    now = rendered(case())
    if os.environ.get("HARMONY_UPDATE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(now)
    assert now.encode() == path.read_bytes(), (
        f"{path.name}: decisions changed; if they should, look at each and run `make golden`"
    )


def test_the_cases_reach_what_can_be_decided() -> None:
    """A golden file that holds everywhere guards nothing."""
    reasons = {
        each["record"]["reason"]
        for path in FOLDER.glob("*.json")
        for each in json.loads(path.read_text())
    }
    assert {path.stem for path in FOLDER.glob("*.json")} == {case.__name__ for case in CASES}
    assert len(reasons) >= 15, sorted(reasons)
    assert not any("mix" in path.read_text() for path in FOLDER.glob("*.json"))
