"""An autoscaler with variants or pools as one autoscaler for each of its targets, pure.

Existence, roll-outs, other autoscalers, pauses and bounds of a target are then found and checked
for each part as for an autoscaler of one target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.kernel.domain import part_specs
from services.kernel.domain.variants import whole_units
from services.operator.plan.plan import Situation, StoredDecision
from services.operator.resource.autoscaler import Autoscaler


def members_of(autoscaler: Autoscaler) -> tuple[Autoscaler, ...]:
    """One autoscaler for each part; itself where it has none."""
    spec = autoscaler.spec
    if spec is None or not autoscaler.parts:
        return (autoscaler,)
    if not autoscaler.members:  # a pass asks for them some ten times
        own_specs = zip(autoscaler.parts, part_specs(spec), strict=True)
        autoscaler.members[:] = (
            replace(autoscaler, target=part.target, parts=(), spec=own) for part, own in own_specs
        )
    return tuple(autoscaler.members)


def ratios(autoscaler: Autoscaler) -> tuple[float, ...]:
    """Counted replicas that one replica of each part is worth."""
    spec = autoscaler.spec
    if spec is None:
        return ()
    return tuple(part.spec.ratio(spec.capacity.per_replica) for part in autoscaler.parts)


def with_learned_ratios(autoscaler: Autoscaler, newest: StoredDecision | None) -> Autoscaler:
    """An autoscaler whose variants carry what its newest decision took them to.

    Counts, scale-ins that wait and statuses then speak of the reference replicas of the decision.
    """
    spec, known = autoscaler.spec, {} if newest is None else newest.capacity_ratios
    if spec is None or not spec.variants or not known:
        return autoscaler
    stated = spec.capacity.per_replica
    own = {v.name: v.worth(known[v.name], stated) for v in spec.variants if v.name in known}
    variants = tuple(own.get(v.name, v) for v in spec.variants)
    parts = tuple(replace(part, spec=own.get(part.name, part.spec)) for part in autoscaler.parts)
    return replace(autoscaler, spec=spec.model_copy(update={"variants": variants}), parts=parts)


def combine(autoscaler: Autoscaler, parts: Sequence[Situation]) -> Situation:
    """The situation of the whole, in counted replicas; what forbids one part is kept."""
    known = [part for part in parts if part.replicas is not None]
    missing = next((part for part in parts if part.replicas is None), parts[0])
    worth = zip(parts, ratios(autoscaler), strict=True)
    total = whole_units(sum((part.replicas or 0) * ratio for part, ratio in worth))

    def first(name: str) -> Any:
        return next((found for part in parts if (found := getattr(part, name))), "")

    return replace(
        parts[0],
        spec=autoscaler.spec,
        replicas=total if known else None,
        target_problem=missing.target_problem,
        target_reason=missing.target_reason,
        is_target_known=missing.is_target_known,
        conflict=first("conflict"),
        follower=first("follower"),
        rollout=first("rollout"),
        failure=first("failure"),
        hung="",
        claims=None,
        n_pending=sum(part.n_pending for part in parts),
        n_gated=sum(part.n_gated for part in parts),
        limit="",
        grace=None,
        parts=tuple((p.name, part) for p, part in zip(autoscaler.parts, parts, strict=True)),
    )


def decision_of(decision: StoredDecision, name: str) -> StoredDecision | None:
    """What a decision says of one part; None: nothing."""
    counts = decision.parts.get(name)
    if counts is None:
        return None
    current, desired = counts
    return replace(
        decision,
        current=current,
        raw=desired,
        desired=desired,
        parts={},
        is_put_to_zero=name in decision.parts_put_to_zero,
    )


def describe_target(autoscaler: Autoscaler, situation: Situation) -> str:
    """Describe what is scaled: a name, or each part with its count; empty: there is no name.

    A part whose target is not there has a question mark.
    """
    if not situation.parts:
        return autoscaler.target.name
    counts = (
        f"{name}={'?' if part.replicas is None else part.replicas}"
        for name, part in situation.parts
    )
    return ",".join(counts)


def part_statuses(situation: Situation, newest: StoredDecision | None) -> list[dict[str, Any]]:
    """`status.variants`: present replicas, and those that the newest decision asks for."""
    wanted = {} if newest is None else newest.parts
    found = []
    for name, part in situation.parts:
        entry: dict[str, Any] = {"name": name}
        if part.replicas is not None:
            entry["currentReplicas"] = part.replicas
        if name in wanted:
            entry["desiredReplicas"] = wanted[name][1]
        found.append(entry)
    return found
