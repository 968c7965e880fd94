"""An autoscaler with variants as one autoscaler for each of its targets, pure.

Existence, roll-outs, other autoscalers, pauses and bounds of a target are then found and checked
for each variant as for an autoscaler of one kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.kernel.domain import VariantSpec, WorkloadSpec
from services.kernel.domain.variants import whole_units
from services.operator.plan.plan import Situation, StoredDecision
from services.operator.resource.autoscaler import Autoscaler


def members_of(autoscaler: Autoscaler) -> tuple[Autoscaler, ...]:
    """One autoscaler for each variant; itself where it has none."""
    spec = autoscaler.spec
    if spec is None or not autoscaler.variants:
        return (autoscaler,)
    return tuple(
        replace(autoscaler, target=v.target, variants=(), spec=_spec_of(spec, v.spec))
        for v in autoscaler.variants
    )


def ratios(autoscaler: Autoscaler) -> tuple[float, ...]:
    """Reference replicas that one replica of each variant is worth."""
    spec = autoscaler.spec
    if spec is None:
        return ()
    return tuple(v.spec.ratio(spec.capacity.per_replica) for v in autoscaler.variants)


def _spec_of(spec: WorkloadSpec, variant: VariantSpec) -> WorkloadSpec:
    """A variant as a workload of its own; the bounds of schedules are those of the total."""
    most = variant.max_replicas
    if most is None:
        ratio = variant.ratio(spec.capacity.per_replica)
        most = max(variant.min_replicas, math.ceil(spec.max_replicas / ratio - 1e-9))
    unbounded = {"min_replicas": None, "max_replicas": None}
    return spec.model_copy(
        update={
            "target": variant.target,
            "gpu_type": variant.gpu_type,
            "gpus_per_replica": variant.gpus_per_replica,
            "price_usd_per_gpu_hour": variant.price_usd_per_gpu_hour,
            "min_replicas": variant.min_replicas,
            "max_replicas": most,
            "schedules": tuple(s.model_copy(update=unbounded) for s in spec.schedules),
            "variants": (),
        }
    )


def combine(autoscaler: Autoscaler, parts: Sequence[Situation]) -> Situation:
    """The situation of the whole, in reference replicas; what forbids one variant is kept."""
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
        limit="",
        variants=tuple((v.name, part) for v, part in zip(autoscaler.variants, parts, strict=True)),
    )


def decision_of(decision: StoredDecision, name: str) -> StoredDecision | None:
    """The part of a decision that is about one variant; None: there is none."""
    counts = decision.variants.get(name)
    if counts is None:
        return None
    current, desired = counts
    return replace(decision, current=current, raw=desired, desired=desired, variants={})


def describe_target(autoscaler: Autoscaler, situation: Situation) -> str:
    """Describe what is scaled: a name, or each variant with its count; empty: there is no name.

    A variant whose target is not there has a question mark.
    """
    if not situation.variants:
        return autoscaler.target.name
    counts = (
        f"{name}={'?' if part.replicas is None else part.replicas}"
        for name, part in situation.variants
    )
    return ",".join(counts)


def variant_statuses(situation: Situation, newest: StoredDecision | None) -> list[dict[str, Any]]:
    """`status.variants`: present replicas, and those that the newest decision asks for."""
    wanted = {} if newest is None else newest.variants
    found = []
    for name, part in situation.variants:
        entry: dict[str, Any] = {"name": name}
        if part.replicas is not None:
            entry["currentReplicas"] = part.replicas
        if name in wanted:
            entry["desiredReplicas"] = wanted[name][1]
        found.append(entry)
    return found
