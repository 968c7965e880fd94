"""Which load binds a workload that several loads bind, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.kernel.domain.loads import bound_words


def bound_shares(explanation: object) -> dict[str, float]:
    """Share of what is missed that falls to each load, by a stored explanation; empty: unknown."""
    record = explanation.get("bound_by") if isinstance(explanation, dict) else None
    if not isinstance(record, dict):
        return {}
    return {str(n): float(v) for n, v in record.items() if isinstance(v, (int, float))}


def explain_loads(explanation: Mapping[str, Any]) -> str:
    """One sentence without its stop; empty: the demand alone binds.

    Args:
        explanation: The decision's stored explanation; parts that are absent are left out.
    """
    shares = bound_shares(explanation)
    if shares:
        words = bound_words(shares)
        return words[0].upper() + words[1:]
    record = explanation.get("further_loads")
    message = str(record.get("message") or "") if isinstance(record, dict) else ""
    return message[:1].upper() + message[1:]
