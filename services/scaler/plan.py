"""What may be advised of a workload, pure: a count with its reason, or what keeps it unknown.

The rule is the operator's, without its actuator: what the operator would hold is held here at the
count that the target has. A refusal is a value; it never reads as zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from services.kernel.domain import WorkloadSpec

_FOLLOWED = ("applied", "unchanged")
_REFUSED = ("failed", "target_missing", "paused")
_ADVICE = "KEDA applies the ScaledObject's fallback until then"


@dataclass(frozen=True, slots=True)
class Newest:
    """The workload's newest decision and what the operator did about it.

    Attributes:
        result: Result of its newest action; empty without one.
    """

    id: int
    desired: int
    valid_until: datetime
    result: str = ""
    result_reason: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """The target as the operator saw it last.

    Attributes:
        valid_until: From then on it is too old to say anything of now.
    """

    replicas: int
    observed_at: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """All that decides what is advised."""

    namespace: str
    name: str
    spec: WorkloadSpec
    decision: Newest | None
    seen: Seen | None


@dataclass(frozen=True, slots=True)
class Advice:
    """What is advised now.

    Attributes:
        count: Replicas; None: not known, and `problem` says why and what to do.
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
        """Whether the target should run; only a count known to be zero says no."""
        return self.count is None or self.count > 0


def advise(facts: Facts, now: datetime) -> Advice:
    """What to advise.

    The whole pause comes first: it holds whatever the decisions say, also when there are none.

    Args:
        facts: What is stored of the workload.
        now: Aware.
    """
    seen = facts.seen if facts.seen is not None and now < facts.seen.valid_until else None
    if is_paused(facts.spec, now):
        return _hold(facts, seen, f"paused{_until(facts.spec)}", None)
    decision = facts.decision
    if decision is None:
        return Advice(None, problem=f"{_named(facts)} has no decision yet: {_look(facts)}")
    if now >= decision.valid_until:
        problem = (
            f"decision {decision.id} of {_named(facts)} was valid until {_stamp(decision)} only "
            f"and none followed: {_look(facts)}"
        )
        return Advice(None, problem=problem, valid_until=decision.valid_until)
    target = within_bounds(decision.desired, facts.spec)
    held = _held(facts.spec, decision, target, seen)
    if held:
        return _hold(facts, seen, held, decision)
    current = None if seen is None else seen.replicas
    return Advice(target, f"decision {decision.id}", "", decision.valid_until, current)


def is_paused(spec: WorkloadSpec, now: datetime) -> bool:
    """Whether everything is held at `now`; an end of a pause that cannot be read is no end."""
    if not (spec.paused or spec.paused_until):
        return False
    if not spec.paused_until:
        return True
    try:
        until = datetime.fromisoformat(spec.paused_until)
    except ValueError:
        return True
    return until.tzinfo is None or now < until


def within_bounds(count: int, spec: WorkloadSpec) -> int:
    """`count` within the widest bounds that the spec and its schedules allow."""
    lows = [s.min_replicas for s in spec.schedules if s.min_replicas is not None]
    highs = [s.max_replicas for s in spec.schedules if s.max_replicas is not None]
    return min(max(count, min([spec.min_replicas, *lows])), max([spec.max_replicas, *highs]))


def _held(spec: WorkloadSpec, decision: Newest, target: int, seen: Seen | None) -> str:
    """Why the operator would leave the target as it is; empty when nothing holds it."""
    is_half = spec.scale_in_only or spec.scale_out_only
    if seen is None and is_half:
        return "one direction is paused"
    if seen is not None and target > seen.replicas and spec.scale_in_only:
        return "scaling out is paused"
    if seen is not None and target < seen.replicas and spec.scale_out_only:
        return "scaling in is paused"
    if decision.result in _REFUSED:
        return f"the operator held decision {decision.id}: {decision.result_reason}"
    if spec.mode == "Approval" and decision.result not in _FOLLOWED:
        return f"decision {decision.id} is not approved"
    return ""


def _hold(facts: Facts, seen: Seen | None, why: str, decision: Newest | None) -> Advice:
    """The count that the target has, for as long as both its sight and the decision last."""
    if seen is None:
        last = facts.seen
        when = "never" if last is None else f"last at {last.observed_at:%Y-%m-%dT%H:%M:%SZ}"
        problem = (
            f"{_named(facts)} is held ({why}), but the operator saw its target {when}, so the "
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


def _named(facts: Facts) -> str:
    return f"GPUAutoscaler {facts.namespace}/{facts.name}"


def _look(facts: Facts) -> str:
    return (
        f"see the conditions of `kubectl describe gpua -n {facts.namespace} {facts.name}` and that "
        f"the workers run; {_ADVICE}"
    )


def _stamp(decision: Newest) -> str:
    return f"{decision.valid_until:%Y-%m-%dT%H:%M:%SZ}"


def _until(spec: WorkloadSpec) -> str:
    return f" until {spec.paused_until}" if spec.paused_until else ""
