"""Counts that keep a promise though some of their replicas are on spot nodes."""

from __future__ import annotations

from decider.planning.outlook import Outlook
from decider.tables.candidates import effective_bounds
from decider.tables.survivors import least_within
from decider.types import IntArray, ShardRequest

_TOLERANCE = 1e-12


def counts_through_losses(
    request: ShardRequest, outlook: Outlook, counts: IntArray
) -> dict[int, int]:
    """By row, the least count that is at most as risky with interruptions as promised.

    What is promised is the risk level in use; where a count was worth more risk without any
    interruption, it is that risk. The count never falls below the given one. Where none up to the
    bounds is good enough it is the bound: so more interruptions never ask for fewer. Nothing is
    held where prices alone decide, or for pools; for variants see `decider.mix.request`.

    Args:
        request: The shard.
        outlook: Its plan.
        counts: (W,) counts that are wanted without interruptions.

    Returns:
        Counts of the rows that have replicas on spot nodes.
    """
    found = {}
    for row in outlook.survival:
        level, count = outlook.level_of_step(request, row), int(counts[row])
        allowed = max(outlook.own_risk(row, count), level) + _TOLERANCE
        most = max(count, effective_bounds(request.workloads[row])[1])

        def is_within(n: int, row: int = row, allowed: float = allowed) -> bool:
            return outlook.risk_with_losses(row, n) <= allowed

        found[row] = least_within(is_within, count, most)
    return found
