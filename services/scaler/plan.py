"""Advice for a workload, pure: a count with its reason, or the problem that keeps it unknown.

The rule is the operator's, without its patches: where the operator would hold, the advice is the
count that the target has. An unknown count is a value of its own; it never reads as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction

from services.kernel.domain import PartSpec, VariantSpec, WorkloadSpec, part_spec
from services.kernel.domain.schedules import bounds_at, freeze_at, is_paused_at

_FOLLOWED = ("applied", "unchanged", "delegated")
_HELD = ("failed", "target_missing", "paused", "waiting", "unknown")
_ADVICE = "KEDA applies the ScaledObject's fallback until then"


@dataclass(frozen=True, slots=True)
class Newest:
    """The workload's newest decision, or the newest that was looked at, and what came of it.

    Attributes:
        result: Result of its newest action; empty: the operator has not looked at it.
        parts: Replicas of each variant or pool by name; empty: there is one target.
        ratios: Reference replicas that one of a variant counts as, by name, where that was learned.
    """

    id: int
    desired: int
    valid_until: datetime
    result: str = ""
    result_reason: str = ""
    parts: Mapping[str, int] = field(default_factory=dict)
    ratios: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Approved:
    """The decision that a person approved last.

    Attributes:
        count: Replicas that were approved.
        valid_until: Until then it is advised in any case, so that a follower has time to read it;
            after that the target keeps its count.
        parts: As those of the newest decision.
    """

    decision_id: int
    count: int
    valid_until: datetime
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObservedTarget:
    """The target as the operator observed it last.

    Attributes:
        valid_until: From then on it is too old to be relied on.
        parts: Replicas of each part's target by name.
    """

    replicas: int
    observed_at: datetime
    valid_until: datetime
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """Everything that the advice is made from, and the name of the cluster.

    Attributes:
        looked_at: The newest decision that the operator has looked at, in mode Auto where that is
            not the newest of all.
    """

    namespace: str
    name: str
    spec: WorkloadSpec
    decision: Newest | None
    seen: ObservedTarget | None
    approved: Approved | None = None
    cluster: str = ""
    looked_at: Newest | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """The advice for a workload at one time.

    Attributes:
        count: Replicas; None: not known, for `problem`, which contains what to do.
        reason: Why this count.
        valid_until: Until when; where unknown, when it ended, if ever there was one.
        current: Replicas of the target's spec; None: not known.
    """

    count: int | None
    reason: str = ""
    problem: str = ""
    valid_until: datetime | None = None
    current: int | None = None

    @property
    def is_active(self) -> bool:
        """True where the target should run; false only where the count is known to be zero."""
        return self.count is None or self.count > 0


def advise(facts: WorkloadFacts, now: datetime, part: str = "") -> Advice:
    """Advise a count.

    Each variant or pool has a count of its own: no follower can do with their sum.

    A pause or freeze of both directions comes first: it holds whatever the decisions are, also
    when there are none, or the fallback of another autoscaler would move the target.

    Args:
        facts: What is stored of the workload.
        now: Aware.
        part: The variant or pool that is asked about; empty: none.
    """
    if facts.spec.parts or part:
        problem = _part_problem(facts, part)
        if problem:
            return Advice(None, problem=problem)
        facts = _of_part(facts, part)
    seen = facts.seen if facts.seen is not None and now < facts.seen.valid_until else None
    stopped = _stopped(facts.spec, now)
    if stopped:
        return _hold(facts, seen, stopped, None)
    decision = facts.decision
    if decision is None:
        return Advice(None, problem=f"{_label(facts)} has no decision yet: {_where_to_look(facts)}")
    if now >= decision.valid_until:
        problem = (
            f"decision {decision.id} of {_label(facts)} was valid until {_stamp(decision)} only "
            f"and none followed: {_where_to_look(facts)}"
        )
        return Advice(None, problem=problem, valid_until=decision.valid_until)
    count, reason, ends = decision.desired, f"decision {decision.id}", decision.valid_until
    held = _not_followed(facts.spec, decision)
    approved = facts.approved
    if approved is not None and _is_asked_for(facts.spec, decision) and now < approved.valid_until:
        count, held, ends = approved.count, "", min(approved.valid_until, ends)
        reason = f"decision {approved.decision_id}, approved; decision {decision.id} is not"
    low, high = bounds_at(facts.spec, now)
    target = min(max(count, low), high)
    current = None if seen is None else seen.replicas
    held = _one_direction_stopped(facts.spec, target, current, now) or held
    if held:
        return _hold(facts, seen, held, decision)
    if seen is not None:
        kept = min(_least_unseen(facts, seen, target, now), high)
        if target < kept:
            reason = f"held: the operator has not looked at decision {decision.id} yet"
            target, ends = kept, min(ends, seen.valid_until)
    return Advice(target, reason, "", ends, current)


def _part_problem(facts: WorkloadFacts, part: str) -> str:
    """Why nothing can be advised of a part; empty where something can."""
    names = [each.name for each in facts.spec.parts]
    if not names:
        return f"{_label(facts)} has neither variants nor pools: leave `part` out of the trigger"
    word, listed = facts.spec.parts[0].WORD, ", ".join(names)
    if not part:
        return (
            f"{_label(facts)} has {word}s ({listed}), whose counts no single HPA can follow: give "
            f"each target a follower of its own that names its {word} (`part: {names[0]}` in the "
            "trigger), or let Harmony's operator scale them (mode Auto or Approval)"
        )
    if part not in names:
        return f"{_label(facts)} has no {word} {part!r}: its {word}s are {listed}"
    decision = facts.decision
    if decision is not None and part not in decision.parts:
        return f"decision {decision.id} of {_label(facts)} was made before {word} {part} was there"
    return ""


def _of_part(facts: WorkloadFacts, part: str) -> WorkloadFacts:
    """What is known of a part, as of a workload of its own.

    A variant without a maximum may have what that of all is worth, by what was learned of it.
    """
    own: PartSpec = next(each for each in facts.spec.parts if each.name == part)
    decision, seen, approved = facts.decision, facts.seen, facts.approved
    before = facts.looked_at
    if decision is not None:
        ratio = decision.ratios.get(part)
        if ratio is not None and isinstance(own, VariantSpec):
            own = own.worth(ratio, facts.spec.capacity.per_replica)
        decision = replace(decision, desired=decision.parts[part])
    if before is not None:
        known = part in before.parts
        before = replace(before, desired=before.parts[part]) if known else None
    if seen is not None:
        seen = replace(seen, replicas=seen.parts[part]) if part in seen.parts else None
    if approved is not None:
        known = part in approved.parts
        approved = replace(approved, count=approved.parts[part]) if known else None
    spec = part_spec(facts.spec, own)
    own_facts = replace(facts, spec=spec, decision=decision, seen=seen)
    return replace(own_facts, approved=approved, looked_at=before)


def _stopped(spec: WorkloadSpec, now: datetime) -> str:
    """The reason that stops both directions; empty when there is none."""
    if is_paused_at(paused=spec.paused, until=spec.paused_until, now=now):
        return "paused" + (f" until {spec.paused_until}" if spec.paused_until else "")
    frozen = freeze_at(spec, now)
    return "" if frozen is None or frozen[0] != "Both" else f"schedule {frozen[1]} freezes it"


def _one_direction_stopped(
    spec: WorkloadSpec, target: int, current: int | None, now: datetime
) -> str:
    """The reason that stops the direction of `target`, or might where the count is not known."""
    is_in_frozen = spec.scale_out_only or freeze_at(spec, now) is not None
    if is_in_frozen and (current is None or target < current):
        return "scaling in is paused"
    if spec.scale_in_only and (current is None or target > current):
        return "scaling out is paused"
    return ""


def _not_followed(spec: WorkloadSpec, decision: Newest) -> str:
    """Why the operator would not follow the decision; empty where it would."""
    if decision.result in _HELD:
        return f"the operator held decision {decision.id}: {decision.result_reason}"
    if not _is_asked_for(spec, decision):
        return ""
    if decision.result == "rejected":
        return decision.result_reason
    if decision.result == "conflict":
        return (
            f"decision {decision.id} is not approved: {decision.result_reason}, and the operator "
            "does not know that it follows Harmony (docs/interop.md)"
        )
    return f"decision {decision.id} is not approved"


def _least_unseen(facts: WorkloadFacts, seen: ObservedTarget, target: int, now: datetime) -> int:
    """The least count that may be advised as long as the operator sees the target.

    In mode Auto, before it has looked at the newest decision, that is the count that was advised
    before: nobody knows yet whether a roll-out has to end first. The target itself may not have
    that count yet, or the operator not have seen that it has.

    Returns:
        `target` where nothing waits: the operator has looked, or the mode asks for no look.
    """
    decision, before = facts.decision, facts.looked_at
    if facts.spec.mode != "Auto" or decision is None or decision.result:
        return target
    if before is None or now >= before.valid_until or _not_followed(facts.spec, before):
        return seen.replicas
    return before.desired


def _is_asked_for(spec: WorkloadSpec, decision: Newest) -> bool:
    """True where a decision waits for an approval, or was rejected."""
    is_settled = decision.result in _FOLLOWED or decision.result in _HELD
    return spec.mode == "Approval" and not is_settled


def _hold(
    facts: WorkloadFacts, seen: ObservedTarget | None, why: str, decision: Newest | None
) -> Advice:
    """The count that the target has, while both its observation and the decision are valid."""
    if seen is None:
        last = facts.seen
        when = "never" if last is None else f"last at {last.observed_at:%Y-%m-%dT%H:%M:%SZ}"
        problem = (
            f"{_label(facts)} is held ({why}), but the operator saw its target {when}, so the "
            f"count to hold is not known: see that the operator runs and that the target exists; "
            f"{_ADVICE}"
        )
        return Advice(None, problem=problem, valid_until=None if last is None else last.valid_until)
    ends = seen.valid_until if decision is None else min(seen.valid_until, decision.valid_until)
    return Advice(seen.replicas, f"held: {why}", "", ends, seen.replicas)


def past_tolerance(count: int, current: int | None, tolerance: Fraction) -> int:
    """The least count from `count` on that an HPA of this tolerance acts on when it must grow.

    An HPA ignores a metric within its tolerance of the current count. Too few replicas break the
    promise, a few too many cost money only: an increase is rounded up until it is seen, a
    decrease is left to wait.

    Args:
        count: Replicas wanted.
        current: Replicas that the HPA starts from; None: not known, nothing is rounded.
        tolerance: The HPA's, e.g. 1/10.
    """
    if current is None or not current < count <= current * (1 + tolerance):
        return count
    return int(current * (1 + tolerance)) + 1


def _label(facts: WorkloadFacts) -> str:
    return f"GPUAutoscaler {facts.namespace}/{facts.name}"


def _where_to_look(facts: WorkloadFacts) -> str:
    return (
        f"see the conditions of `kubectl describe gpua -n {facts.namespace} {facts.name}` and that "
        f"the workers run; {_ADVICE}"
    )


def _stamp(decision: Newest) -> str:
    return f"{decision.valid_until:%Y-%m-%dT%H:%M:%SZ}"
