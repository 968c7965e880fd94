"""A mix in the record of a decision: counts, reason, words, JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from decider.budget.reasons import Draft
from decider.mix.budget import MixGrant
from decider.result import Decision, GuardStep, Reason, held_words, hours_words
from decider.types import WorkloadInput
from decider.variant_types import (
    MixRecord,
    MixSpot,
    MixVerdict,
    SpotPart,
    VariantCount,
    VariantSet,
)

_LIMITS = {
    "schedulable": "no more GPUs can be scheduled",
    "gpu_budget": "a budget that cannot be read allows no increase",
    "one_way": "nothing may be added",
    "variant_limits": "the variants' own limits leave no more",
    "rate_limit": "the rate limits leave no more for now",
    "held": "the counts cannot be changed",
}
_LIMIT_HOLDS = {
    "schedulable": Reason.HOLD_NOT_SCHEDULABLE,
    "gpu_budget": Reason.HOLD_BUDGET_UNREADABLE,
    "one_way": Reason.HOLD_SCALE_IN_ONLY,
    "rate_limit": Reason.HOLD_RATE_LIMIT,
}
_STOPPED = (Reason.HOLD_PAUSED, Reason.HOLD_PAUSED_UNTIL, Reason.HOLD_UNKNOWN_REPLICAS)


def with_mix(decision: Decision, workload: WorkloadInput, draft: Draft, mix: MixGrant) -> Decision:
    """The decision with its variants' counts, and with what they cost and why they are so."""
    variants = workload.variants
    assert variants is not None, "only workloads with variants have a mix"
    counts = tuple(
        VariantCount(v.name, v.gpu_type, v.spec, n)
        for v, n in zip(variants.states, mix.counts, strict=True)
    )
    before, after = (variants.usd_per_hour(n) for n in (variants.current, mix.counts))
    verdict = mix.verdict
    limit = mix.limit if decision.final < draft.guarded else ""
    spot = _on_spot(variants, mix.counts, decision.final, draft)
    record = MixRecord(
        counts,
        round(variants.units(mix.counts), 9),
        round(after, 9),
        round(before, 9),
        tuple((v.name, round(v.unit_usd_per_hour, 9)) for v in variants.states),
        _binding(verdict, limit),
        verdict,
        _words(variants, mix, draft.unlost_guarded, before, after, limit),
        mix.demand,
        spot,
    )
    if spot is not None and spot.parts:
        record = replace(record, detail=f"{record.detail}; {spot_words(spot)}")
    reason, binding = _reason(decision, record, limit)
    *guards, fleet = decision.guard_trace
    served = draft.guarded if verdict is not None and verdict.is_cut else decision.final
    step = GuardStep("mix", draft.guarded, served, record.detail)
    return replace(
        decision,
        reason=reason,
        binding_constraint=binding,
        guard_trace=(*guards, step, replace(fleet, before=served)),
        cost_delta_usd_per_hour=after - before,
        mix=record,
    )


def _on_spot(
    variants: VariantSet, counts: Sequence[int], final: int, draft: Draft
) -> MixSpot | None:
    """What of a mix is on spot nodes, where it was chosen with their interruptions."""
    if draft.promised_mix is None or draft.unlost is None:
        return None
    parts = []
    for one, count in zip(variants.states, counts, strict=True):
        if one.spot is None or not count:
            continue
        replicas, per_node = one.spot.on_spot(count), one.spot.per_node
        places = replace(one.spot.places, replicas=replicas, nodes=-(-replicas // per_node))
        hours = places.hours_between
        parts.append(SpotPart(one.name, count, replicas, min(per_node, replicas), hours))
    # a replica is not divided: what the last one is worth beyond what is needed is not held
    coarse = max((math.ceil(v.capacity_ratio) for v in variants.states), default=1) - 1
    return MixSpot(tuple(parts), max(0, final - draft.unlost_guarded - coarse))


def spot_words(spot: MixSpot) -> str:
    """What is on spot nodes and what an interruption takes, in words; empty: nothing is."""
    parts = [
        f"of {one.desired} {one.name} {one.replicas} run on spot nodes, of which one goes about "
        f"each {hours_words(one.hours_between)} and takes {one.per_node}"
        for one in spot.parts
    ]
    return f"{'; '.join(parts)}: {held_words(spot.held)}" if parts else ""


def _binding(verdict: MixVerdict | None, limit: str) -> str:
    if verdict is not None and (verdict.is_cut or any(price > 0 for _, price in verdict.prices)):
        return "gpu_budget"
    return limit


def _reason(decision: Decision, record: MixRecord, limit: str) -> tuple[Reason, str]:
    """Why; a change of the mix alone has a reason of its own."""
    is_hold = decision.final == decision.current
    is_cut = record.verdict is not None and record.verdict.is_cut
    if decision.reason in _STOPPED:
        return decision.reason, decision.binding_constraint
    if limit and not is_cut:
        held = _LIMIT_HOLDS.get(limit, Reason.HOLD_BOUNDS)
        return (held if is_hold else _moved(decision)), limit
    if is_hold and record.is_changed:
        return Reason.REBALANCE_VARIANTS, record.binding or "price"
    return decision.reason, decision.binding_constraint


def _moved(decision: Decision) -> Reason:
    """Reason of a change that a limit of the variants, not a GPU budget, cut short."""
    if decision.final < decision.current:
        return Reason.SCALE_DOWN_BOUNDS
    floor = decision.rung not in ("forecast", "last_forecast")
    return Reason.SCALE_UP_FALLBACK if floor else Reason.SCALE_UP_RISK


def _words(
    variants: VariantSet, mix: MixGrant, wanted: int, before: float, after: float, limit: str
) -> str:
    """Counts, capacity, prices, lead times and what limits the mix."""
    served = variants.units(mix.counts)
    parts = [
        f"{listed(variants, mix.counts)}: capacity {served:.4g} of {wanted} at {after:.2f} USD/h, "
        f"{before:.2f} now"
    ]
    parts += [
        f"{one.stuck} of {one.spec} {one.name} do not start and carry nothing"
        for one in variants.states
        if one.stuck
    ]
    unit = ", ".join(f"{v.name} {v.unit_usd_per_hour:.2f}" for v in variants.states)
    parts.append(f"USD/h per reference replica: {unit}")
    leads = [v.lead_s for v in variants.states]
    if None not in leads and len(set(leads)) > 1:
        waits = ", ".join(f"{v.name} {v.lead_s:.0f} s" for v in variants.states)
        parts.append(f"a start is ready after {waits}")
    if mix.verdict is not None:
        parts.append(mix.verdict.budget)
    if limit:
        parts.append(_LIMITS[limit])
    parts += [f"{v.name}: {v.held}" for v in variants.states if v.held]
    return "; ".join(parts)


def listed(variants: VariantSet, counts: Sequence[int]) -> str:
    """`2 h100 + 6 l4`."""
    return " + ".join(f"{n} {v.name}" for n, v in zip(counts, variants.states, strict=True))


def changes(mix: MixRecord) -> str:
    """`h100 4 -> 2, l4 0 -> 6`; what stays is its count alone."""
    return ", ".join(
        f"{c.name} {c.current}" + (f" -> {c.desired}" if c.desired != c.current else "")
        for c in mix.counts
    )


def mix_to_dict(mix: MixRecord) -> dict[str, object]:
    """The JSON-able form of a mix."""
    verdict = mix.verdict
    return _spot_to_dict(mix) | {
        "variants": [
            {
                "name": c.name,
                "gpu_type": c.gpu_type,
                "current": c.current,
                "desired": c.desired,
                "usd_per_hour_per_reference_replica": unit,
            }
            for c, (_, unit) in zip(mix.counts, mix.unit_usd_per_hour, strict=True)
        ],
        "capacity_replicas": mix.units,
        "usd_per_hour": mix.usd_per_hour,
        "usd_per_hour_before": mix.usd_before,
        "binding": mix.binding,
        "prices_usd_per_gpu_hour": {} if verdict is None else dict(verdict.prices),
        "detail": mix.detail,
    }


def _spot_to_dict(mix: MixRecord) -> dict[str, object]:
    """What of a mix is on spot nodes; nothing where none is."""
    if mix.spot is None:
        return {}
    parts = [
        {
            "name": one.name,
            "replicas": one.replicas,
            "per_node": one.per_node,
            "hours_between": float(f"{one.hours_between:.6g}"),
        }
        for one in mix.spot.parts
    ]
    return {"spot": {"variants": parts, "held": mix.spot.held}}
