"""Plan of a change of several counts, pure: of variants replicas are added before others go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.kernel.domain.variants import whole_units
from services.operator.plan.plan import MadePart, PlannedAction, Result, StoredDecision

_ORDER = (
    Result.CONFLICT,
    Result.TARGET_MISSING,
    Result.FAILED,
    Result.WAITING,
    Result.PAUSED,
    Result.DELEGATED,
    Result.UNCHANGED,
)
"""Order of results: where no part was patched, the first of theirs is the decision's."""
_WHOLE = (
    Result.SUPERSEDED,
    Result.EXPIRED,
    Result.REJECTED,
    Result.AWAITING_APPROVAL,
    Result.ADVISORY,
)
"""Results that hold for a decision as a whole: where one part has one of them, all have."""
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class PartChange:
    """The change of one variant or pool that a decision asks for.

    Attributes:
        ratio: Counted replicas that one replica is worth: reference replicas of a variant.
        ready: Replicas that serve.
        unit_usd_per_hour: Price of the capacity of one reference replica.
        action: What is to be done, or was done, about it.
        version: Version of the target that the change starts from.
    """

    name: str
    ratio: float
    ready: int
    unit_usd_per_hour: float
    action: PlannedAction
    version: str = ""

    @property
    def current(self) -> int:
        """Replicas in the target's spec."""
        return self.action.from_replicas or 0

    @property
    def wanted(self) -> int:
        """Replicas that the decision asks for."""
        return self.action.to_replicas or 0

    @property
    def may_be_made(self) -> bool:
        """True where it was patched, or may have been."""
        return self.action.result in (Result.APPLIED, Result.UNKNOWN)

    @property
    def made(self) -> MadePart:
        """What was made of it, or may have been."""
        is_sure = self.action.is_patch and self.action.is_sure
        return MadePart(self.name, self.current, self.wanted, self.ratio, is_sure)

    @property
    def is_rise(self) -> bool:
        """True where it gains replicas."""
        return self.action.is_patch and self.wanted > self.current

    @property
    def is_fall(self) -> bool:
        """True where it loses replicas."""
        return self.action.is_patch and self.wanted < self.current


def scale_in(changes: Sequence[PartChange]) -> dict[str, int]:
    """Counts to which each variant that loses replicas may come down now.

    What serves afterwards is no less than what the decision asks for or, where less serves now,
    than that. The dearest capacity goes first.

    Returns:
        Count by variant: as decided, or more while the others' replicas are not ready.
    """
    serving = sum(change.ready * change.ratio for change in changes)
    floor = min(serving, sum(change.wanted * change.ratio for change in changes))
    found = {}
    falls = [change for change in changes if change.is_fall]
    for change in sorted(falls, key=lambda p: (-p.unit_usd_per_hour, p.name)):
        spare = math.floor((serving - floor) / change.ratio + _SLACK)
        kept = max(change.wanted, change.ready - spare)
        count = min(change.current, kept)
        serving -= max(0, change.ready - count) * change.ratio
        found[change.name] = count
    return found


def within_quota(
    changes: Sequence[PartChange], gpus: Mapping[str, int], free_gpus: int
) -> dict[str, int]:
    """Counts to which each part that gains replicas may rise under the quota of all.

    The cheapest capacity goes first.

    Args:
        changes: Every part.
        gpus: GPUs of one replica of each.
        free_gpus: What the quota leaves.

    Returns:
        Count by part: as decided, or fewer.
    """
    found = {}
    left = free_gpus
    rises = [change for change in changes if change.is_rise]
    for change in sorted(rises, key=lambda p: (p.unit_usd_per_hour, p.name)):
        added = min(change.wanted - change.current, left // gpus[change.name])
        found[change.name] = change.current + added
        left -= added * gpus[change.name]
    return found


def describe_waiting(changes: Sequence[PartChange]) -> str:
    """Describe the replicas that a scale-in waits for."""
    starting = [p for p in changes if p.ready < p.wanted]
    of = ", ".join(f"{p.ready} of {p.wanted} of {p.name}" for p in starting)
    return f"{of} are ready" if of else "too few replicas are ready"


def whole_action(
    decision: StoredDecision, changes: Sequence[PartChange], held: Sequence[str]
) -> PlannedAction:
    """The action of the whole decision from those of its parts, in counted replicas.

    Args:
        decision: What is followed.
        changes: Every part, with its result.
        held: Why a scale-in waits, in words; empty: none does.
    """
    before = whole_units(sum(p.current * p.ratio for p in changes))
    result = _result(changes, is_held=bool(held))
    shown = result in _WHOLE
    after = whole_units(
        sum((p.wanted if shown or p.may_be_made else p.current) * p.ratio for p in changes)
    )
    approved_by = next((p.action.approved_by for p in changes if p.action.approved_by), "")
    parts = tuple(p.made for p in changes if p.may_be_made)
    action = PlannedAction(decision, result, "", before, after, approved_by, parts=parts)
    return replace(action, reason=_reason(decision, action, changes, held))


def _result(changes: Sequence[PartChange], *, is_held: bool) -> Result:
    results = {change.action.result for change in changes}
    for result in _WHOLE:
        if result in results:
            return result
    for result in (Result.APPLIED, Result.UNKNOWN, Result.WAITING):
        if result in results:
            return result
    if is_held:
        return Result.PAUSED
    return next(result for result in _ORDER if result in results)


def _reason(
    decision: StoredDecision,
    action: PlannedAction,
    changes: Sequence[PartChange],
    held: Sequence[str],
) -> str:
    if action.result in _WHOLE:
        return next(p.action.reason for p in changes if p.action.result is action.result)
    patched = [_told(p) for p in changes if p.action.is_patch]
    reasons = [f"{decision.reason}: {', '.join(patched)}"] if patched else []
    reasons += held
    quiet = (Result.APPLIED, Result.UNCHANGED)
    reasons += [f"{p.name}: {p.action.reason}" for p in changes if p.action.result not in quiet]
    return "; ".join(reasons) or "the targets have their counts already"


def _told(change: PartChange) -> str:
    note = change.action.decision.note.removeprefix("; ")
    why = f" ({note})" if note else ""
    return f"{change.name} {change.current} -> {change.wanted}{why}"
