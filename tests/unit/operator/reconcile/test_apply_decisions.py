"""Plans of open decisions; what has been seen is remembered."""

from __future__ import annotations

from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from services.operator.cluster.free_gpus import FreeGpus
from services.operator.cluster.ownership import PodIndex
from services.operator.plan.plan import PlannedAction, Result
from services.operator.reconcile.apply_decisions import (
    OpenDecisions,
    plan_decisions,
    remember_decisions,
)
from services.operator.reconcile.find_targets import Targets
from services.operator.reconcile.gpu_use import FleetAtHand
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from tests.unit.operator.examples import NOW, decision

VIEW = View([], [], Targets(), PodIndex(), set(), FreeGpus(()), {})


def deps() -> OperatorDeps:
    return OperatorDeps(None, None, FixedClock(NOW), Settings())  # type: ignore[arg-type]


def test_decisions_of_a_deleted_autoscaler_are_answered() -> None:
    found = OpenDecisions({7: [decision(1, workload_id=7)]}, {}, 1)
    planned = plan_decisions(FleetAtHand(VIEW, {}, lambda: VIEW, VIEW), found, NOW)
    (action,) = planned.actions
    assert planned.scalings == []
    assert action.result is Result.TARGET_MISSING
    assert "deleted" in action.reason


def test_a_decision_without_an_action_holds_the_watermark_back() -> None:
    ours, open_ = deps(), decision(5)
    remember_decisions(ours, OpenDecisions({1: [open_]}, {1: open_}, 5), [])
    assert list(ours.memory.watermark._seen)[-1][1] == 4


def test_a_decision_that_waits_holds_the_watermark_back_and_one_that_failed_does_not() -> None:
    for result, seen in ((Result.WAITING, 4), (Result.FAILED, 5)):
        ours, open_ = deps(), decision(5)
        found = OpenDecisions({1: [open_]}, {1: open_}, 5)
        remember_decisions(ours, found, [PlannedAction(open_, result, "")])
        assert list(ours.memory.watermark._seen)[-1][1] == seen
