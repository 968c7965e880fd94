"""Faults of the operator's plan and its limits, pure parts; the simulation must find each."""

from __future__ import annotations

from tests.simulation.mutants import Mutant

MUTANTS = (
    Mutant(
        "a decision that has run out is applied",
        "operator.plan.plan:_plan_one",
        "if now >= decision.valid_until and not approved:",
        "if False:",
    ),
    Mutant(
        "an older decision is applied after a newer one",
        "operator.plan.plan:_plan_one",
        "if is_newer_there and not approved:",
        "if False:",
    ),
    Mutant(
        "what is superseded gets no row",
        "operator.plan.plan:plan",
        "is_new = action.result != decision.last_result",
        "is_new = action.result not in (decision.last_result, Result.SUPERSEDED)",
    ),
    Mutant(
        "a budget is one too large",
        "operator.plan.gpu_room:GpuRoom._fitting",
        "free = budget - ",
        "free = budget + 1 - ",
    ),
    Mutant(
        "pods that are leaving hold nothing",
        "operator.plan.gpu_room:TargetUse.held",
        "(max(asked, self.staying) + self.leaving)",
        "max(asked, self.staying)",
    ),
    Mutant(
        "pods that are not asked for any longer hold nothing",
        "operator.plan.gpu_room:TargetUse.held",
        "max(asked, self.staying)",
        "asked",
    ),
    Mutant(
        "limits of the two directions are exchanged",
        "operator.plan.rates:TargetRates.furthest",
        "behavior.scale_up if is_up else behavior.scale_down",
        "behavior.scale_down if is_up else behavior.scale_up",
    ),
    Mutant(
        "what may not have been made gives room in a rate limit",
        "operator.plan.rates:TargetRates._edge",
        "(change.is_sure or (change.added > 0) == is_up)",
        "True",
    ),
    Mutant(
        "a pause is ignored",
        "operator.plan.plan:_forbidden",
        "if situation.pause.holds(current, to_replicas, now):",
        "if False:",
    ),
    Mutant(
        "nobody is asked for an approval",
        "operator.plan.plan:_forbidden",
        'if spec.mode == "Approval":',
        "if False:",
    ),
    Mutant(
        "what was scaled to zero by hand is scaled up",
        "operator.plan.plan:_forbidden",
        "if is_stopped_by_hand(action.decision, situation):",
        "if False:",
    ),
    Mutant(
        "another autoscaler of the target is ignored",
        "operator.plan.plan:_forbidden",
        "if situation.conflict:",
        "if False:",
    ),
    Mutant(
        "two rises take the same room",
        "operator.plan.gpu_room:GpuRoom.grant",
        "taken = use.held(count) - use.held()",
        "taken = 0",
    ),
    Mutant(
        "an approval of one decision is one of all",
        "operator.plan.plan:is_approved",
        "rule.decision_id == decision.id",
        "rule.decision_id is not None",
    ),
    Mutant(
        "pauses of the two directions are exchanged",
        "operator.resource.autoscaler:Pause.holds",
        "if to_replicas < from_replicas:",
        "if to_replicas > from_replicas:",
    ),
    Mutant(
        "what was scaled up makes room in a rate limit",
        "operator.plan.rates:TargetRates._edge",
        "start = current - sum(",
        "start = current + sum(",
    ),
)
