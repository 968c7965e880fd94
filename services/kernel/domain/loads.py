"""Which of several loads binds a workload, in words; pure."""

from __future__ import annotations

from collections.abc import Mapping

_MOST = 0.5
"""Share from which one load is what mostly binds."""
_LEAST = 0.05
"""A load with less is not worth a word."""


def bound_words(shares: Mapping[str, float]) -> str:
    """`mostly bound by output_tokens_per_s (82 %)`; where none stands out, the loads in order.

    Args:
        shares: Share of what is missed that falls to each load, by its indicator.
    """
    ordered = sorted(shares.items(), key=lambda one: (-one[1], one[0]))
    if not ordered:
        return ""
    if ordered[0][1] > _MOST:
        return f"mostly bound by {_told(*ordered[0])}"
    return "bound by " + ", ".join(_told(*one) for one in ordered if one[1] >= _LEAST)


def _told(name: str, share: float) -> str:
    return f"{name} ({100.0 * share:.0f} %)"
