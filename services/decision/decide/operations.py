"""Operations requested over the API: replays, and those whose job was lost."""

from __future__ import annotations

from typing import Any

from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from services.kernel.clock import Clock, SystemClock
from services.kernel.db.operations import Claimed
from services.kernel.operation import Tell, resend_lost, run_operation

_WALL = SystemClock()


def run_replay(deps: DecisionDeps, operation_id: int, wall: Clock = _WALL) -> None:
    """Make a decision again from its stored inputs and store the comparison."""

    def work(claimed: Claimed, tell: Tell) -> dict[str, Any]:
        report = replay(deps, int(claimed.params["decision_id"]))
        return {
            "decision_id": claimed.params["decision_id"],
            "is_identical": report.is_identical,
            "stored_sha256": report.stored_sha256,
            "replayed_sha256": report.replayed_sha256,
            "decision": report.record,
        }

    run_operation(deps.engine, wall, operation_id, work)


def sweep(deps: DecisionDeps, wall: Clock = _WALL) -> int:
    """Send every operation again whose job was lost or whose worker died; returns how many."""
    return resend_lost(deps.engine, wall, deps.sender)
