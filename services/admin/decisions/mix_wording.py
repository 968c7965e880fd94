"""The counts of variants or pools that a decision chose, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.admin.rest.formats import usd

_BINDING = {
    "gpu_budget": "A GPU budget shapes it.",
    "schedulable": "It is all that can be scheduled at present.",
    "variant_limits": "The limits of the variants leave no more.",
    "rate_limit": "The rate limits leave no more for now.",
    "one_way": "Nothing may be added at present.",
    "held": "Its counts cannot be changed at present.",
}


@dataclass(frozen=True, slots=True)
class PartWords:
    """What a decision says of variants or pools: what these are called, and a line for each first.

    Attributes:
        title: Empty with the lines: there is one target.
    """

    title: str = ""
    lines: tuple[str, ...] = ()


def explain_parts(explanation: Mapping[str, Any]) -> PartWords:
    """Counts of variants or of pools.

    Args:
        explanation: The decision's stored explanation; parts that are absent are left out.
    """
    mix, pools = explain_mix(explanation), explain_pools(explanation)
    if mix:
        return PartWords("variants", mix)
    return PartWords("pools", pools) if pools else PartWords()


def explain_pools(explanation: Mapping[str, Any]) -> tuple[str, ...]:
    """A line for each pool, and what they come to together; nothing where there are no pools.

    Args:
        explanation: As in `explain_parts`.
    """
    record = explanation.get("pools")
    if not isinstance(record, dict):
        return ()
    lines = [
        f"{_counts(pool)}, {str(pool.get('reason') or '').replace('_', ' ')}"
        for pool in record.get("counts") or ()
        if isinstance(pool, dict)
    ]
    summary = record.get("summary")
    return (*lines, f"{summary}.") if isinstance(summary, str) else tuple(lines)


def explain_mix(explanation: Mapping[str, Any]) -> tuple[str, ...]:
    """The mix of a decision, a line for each variant first; nothing where there are no variants.

    Args:
        explanation: The decision's stored explanation; parts that are absent are left out.
    """
    record = explanation.get("mix")
    if not isinstance(record, dict):
        return ()
    lines = [_line(v) for v in record.get("variants") or () if isinstance(v, dict)]
    lines += _spot_lines(record.get("spot"))
    after, before = record.get("usd_per_hour"), record.get("usd_per_hour_before")
    if isinstance(after, (int, float)) and isinstance(before, (int, float)):
        lines.append(f"{usd(after)} per hour together, {usd(before)} as it runs now.")
    prices = record.get("prices_usd_per_gpu_hour")
    for gpu_type, price in sorted((prices if isinstance(prices, dict) else {}).items()):
        if isinstance(price, (int, float)) and price > 0:
            lines.append(
                f"{gpu_type} is scarce: one GPU more would be worth {usd(price)} per hour."
            )
    binding = _BINDING.get(str(record.get("binding") or ""))
    return (*lines, binding) if binding else tuple(lines)


def _line(variant: Mapping[str, Any]) -> str:
    unit = variant.get("usd_per_hour_per_reference_replica")
    price = "" if not isinstance(unit, (int, float)) else f", {usd(unit)} per hour"
    worth = f"{price} for the capacity of a reference replica" if price else ""
    return f"{_counts(variant)}{worth}"


def _spot_lines(spot: object) -> list[str]:
    """What of the mix is on spot nodes, and what an interruption would take of it."""
    if not isinstance(spot, dict) or not spot.get("variants"):
        return []
    lines = [
        f"{each.get('replicas')} {each.get('name')} on spot nodes: an interruption takes "
        f"{each.get('per_node')}, and comes about each {_hours(each.get('hours_between'))}."
        for each in spot["variants"]
        if isinstance(each, dict)
    ]
    held = spot.get("held")
    if isinstance(held, int) and held > 0:
        noun = "reference replica is" if held == 1 else "reference replicas are"
        lines.append(f"{held} more {noun} held for interruptions.")
    return lines


def _hours(hours: object) -> str:
    if not isinstance(hours, (int, float)):
        return "so often"
    if hours < 1.0:
        return f"{60.0 * hours:.0f} min"
    return f"{hours:.0f} h" if hours >= 10.0 else f"{hours:.2g} h"


def _counts(part: Mapping[str, Any]) -> str:
    current, desired = part.get("current"), part.get("desired")
    change = f"{desired}" if current == desired else f"{current} → {desired}"
    return f"{part.get('name')} on {part.get('gpu_type')}: {change}"
