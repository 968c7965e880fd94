"""A scaling: a decision that is to be patched into one target or several; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from services.operator.plan.part_plan import PartChange, whole_action
from services.operator.plan.plan import PlannedAction, Result, StoredDecision
from services.operator.plan.rates import TargetRates
from services.operator.resource.autoscaler import Autoscaler

WHOLE = ""
"""Name of the only target of a workload without parts."""


@dataclass(slots=True)
class Scaling:
    """A decision on its way to its targets.

    Attributes:
        autoscaler: Autoscaler of the workload.
        decision: What is followed.
        changes: The change of each target by name; what a target's action says was done once it
            was tried.
        members: Autoscaler of each target by the same name.
        held: Why something goes less far than decided, in words.
        has_waited: An older decision of the workload waited in vain for GPUs.
        limits: Rate limits of the targets that have some, by name.
    """

    autoscaler: Autoscaler
    decision: StoredDecision
    changes: dict[str, PartChange]
    members: Mapping[str, Autoscaler]
    held: list[str] = field(default_factory=list)
    has_waited: bool = False
    limits: dict[str, TargetRates] = field(default_factory=dict)

    @property
    def patches(self) -> list[PartChange]:
        """Changes that are patches, before they are tried; after that those that worked."""
        return [change for change in self.changes.values() if change.action.is_patch]

    @property
    def is_one(self) -> bool:
        """True where there is one target."""
        return WHOLE in self.changes

    @property
    def key(self) -> tuple[int, int]:
        """Decision and attempt: the identity of its intent and of its action."""
        return self.decision.id, self.decision.n_attempts + 1

    def cap(self, name: str, count: int, why: str) -> None:
        """Let one target go to `count` only; where that is where it stands, it waits."""
        change = self.changes[name]
        action = change.action
        if count == change.current:
            self.changes[name] = replace(change, action=action.with_result(Result.WAITING, why))
            return
        whose = f"{name}: " if name else ""
        note = f"{whose}{count} of {change.wanted} for now: {why}"
        reason = f"{action.reason}; {note}"
        # what is planned again after a conflict must not go further either
        capped = replace(action.decision, desired=count)
        action = replace(action, to_replicas=count, reason=reason, decision=capped)
        self.changes[name] = replace(change, action=action)
        self.held.append(note)

    def action(self) -> PlannedAction:
        """The action of the decision as a whole."""
        if self.is_one:
            change = self.changes[WHOLE]
            parts = () if change.action.is_sure else (change.made,)
            return replace(change.action, decision=self.decision, parts=parts)
        return whole_action(self.decision, list(self.changes.values()), self.held)
