"""What is done about a change of mix, pure: more first, then less, and capacity never dips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.kernel.domain.variants import whole_units
from services.operator.plan.plan import Decision, PlannedAction, Result

_ORDER = (
    Result.CONFLICT,
    Result.TARGET_MISSING,
    Result.FAILED,
    Result.PAUSED,
    Result.DELEGATED,
    Result.UNCHANGED,
)
"""Of the results of several variants of which none was patched, the first one is told."""
_WHOLE = (
    Result.SUPERSEDED,
    Result.EXPIRED,
    Result.REJECTED,
    Result.AWAITING_APPROVAL,
    Result.ADVISORY,
)
"""Results that hold for a decision as a whole: where one variant has one of them, all have."""
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Part:
    """One variant of a decision that is followed.

    Attributes:
        ratio: Reference replicas that one replica is worth.
        ready: Replicas that serve.
        unit_usd_per_hour: Price of the capacity of one reference replica.
        action: What is to be done, or was done, about it.
    """

    name: str
    ratio: float
    ready: int
    unit_usd_per_hour: float
    action: PlannedAction

    @property
    def current(self) -> int:
        """Replicas in the target's spec."""
        return self.action.from_replicas or 0

    @property
    def wanted(self) -> int:
        """Replicas that the decision asks for."""
        return self.action.to_replicas or 0

    @property
    def is_rise(self) -> bool:
        """It is given more replicas."""
        return self.action.is_patch and self.wanted > self.current

    @property
    def is_fall(self) -> bool:
        """It is given fewer."""
        return self.action.is_patch and self.wanted < self.current


def scale_in(parts: Sequence[Part]) -> dict[str, int]:
    """How far each variant that is to lose replicas may come down now.

    What serves afterwards is no less than what the decision asks for or, where less serves now,
    than that. The dearest capacity goes first.

    Returns:
        Count by variant: as decided, or more while the others' replicas are not ready.
    """
    serving = sum(part.ready * part.ratio for part in parts)
    floor = min(serving, sum(part.wanted * part.ratio for part in parts))
    found = {}
    falls = [part for part in parts if part.is_fall]
    for part in sorted(falls, key=lambda p: (-p.unit_usd_per_hour, p.name)):
        spare = math.floor((serving - floor) / part.ratio + _SLACK)
        kept = max(part.wanted, part.ready - spare)
        count = min(part.current, kept)
        serving -= max(0, part.ready - count) * part.ratio
        found[part.name] = count
    return found


def within_quota(parts: Sequence[Part], gpus: Mapping[str, int], free_gpus: int) -> dict[str, int]:
    """How far each variant that is to gain replicas may rise under one quota for all of them.

    The cheapest capacity goes first.

    Args:
        parts: Every variant.
        gpus: GPUs of one replica of each.
        free_gpus: What the quota leaves.

    Returns:
        Count by variant: as decided, or fewer.
    """
    found = {}
    left = free_gpus
    rises = [part for part in parts if part.is_rise]
    for part in sorted(rises, key=lambda p: (p.unit_usd_per_hour, p.name)):
        added = min(part.wanted - part.current, left // gpus[part.name])
        found[part.name] = part.current + added
        left -= added * gpus[part.name]
    return found


def waiting(parts: Sequence[Part]) -> str:
    """For whose replicas a scale-in waits, in words."""
    starting = [p for p in parts if p.ready < p.wanted]
    of = ", ".join(f"{p.ready} of {p.wanted} of {p.name}" for p in starting)
    return f"{of} are ready" if of else "too few replicas are ready"


def whole_action(decision: Decision, parts: Sequence[Part], held: Sequence[str]) -> PlannedAction:
    """The action of the whole decision from those of its variants, in reference replicas.

    Args:
        decision: What is followed.
        parts: Every variant with what was done.
        held: Why a scale-in waits, in words; empty: none does.
    """
    before = whole_units(sum(p.current * p.ratio for p in parts))
    result = _result(parts, is_held=bool(held))
    shown = result in _WHOLE
    after = whole_units(
        sum((p.wanted if shown or p.action.is_patch else p.current) * p.ratio for p in parts)
    )
    approved_by = next((p.action.approved_by for p in parts if p.action.approved_by), "")
    action = PlannedAction(decision, result, "", before, after, approved_by)
    return replace(action, reason=_reason(decision, action, parts, held))


def _result(parts: Sequence[Part], *, is_held: bool) -> Result:
    results = {part.action.result for part in parts}
    for result in _WHOLE:
        if result in results:
            return result
    if Result.APPLIED in results:
        return Result.APPLIED
    if is_held:
        return Result.PAUSED
    return next(result for result in _ORDER if result in results)


def _reason(
    decision: Decision, action: PlannedAction, parts: Sequence[Part], held: Sequence[str]
) -> str:
    if action.result in _WHOLE:
        return next(p.action.reason for p in parts if p.action.result is action.result)
    patched = [f"{p.name} {p.current} -> {p.wanted}" for p in parts if p.action.is_patch]
    said = [f"{decision.reason}: {', '.join(patched)}"] if patched else []
    said += held
    quiet = (Result.APPLIED, Result.UNCHANGED)
    said += [f"{p.name}: {p.action.reason}" for p in parts if p.action.result not in quiet]
    return "; ".join(said) or "the targets have their counts already"
