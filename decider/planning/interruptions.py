"""Counts that keep a promise though some of their replicas are on spot nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from decider.planning.outlook import Outlook
from decider.planning.pool_risk import PoolRisk
from decider.tables.candidates import effective_bounds
from decider.tables.survivors import least_within
from decider.types import FloatArray, IntArray, ShardRequest

_TOLERANCE = 1e-12
_HALVINGS = 40
"""Times that a risk is halved until it is none."""
_BISECTIONS = 12
"""Between two halvings: to a part in four thousand."""


def counts_through_losses(
    request: ShardRequest, outlook: Outlook, counts: IntArray
) -> dict[int, int]:
    """By row, the least count that is at most as risky with interruptions as promised.

    What is promised is the risk level in use; where a count was worth more risk without any
    interruption, it is that risk. The count never falls below the given one. Where none up to the
    bounds is good enough it is the bound: so more interruptions never ask for fewer. Nothing is
    held where prices alone decide; for pools see `_pools_through_losses`, for variants
    `decider.mix.request`.

    Args:
        request: The shard.
        outlook: Its plan.
        counts: (W,) counts that are wanted without interruptions.

    Returns:
        Counts of the rows that have replicas on spot nodes, and of the other pools of their
        services.
    """
    found = {}
    for row in outlook.survival:
        if request.workloads[row].pool is None:
            level, count = outlook.level_of_step(request, row), int(counts[row])
            allowed = max(outlook.own_risk(row, count), level) + _TOLERANCE
            found[row] = _least(request, outlook, row, count, allowed)
    for one in outlook.services:
        if not outlook.survival.keys().isdisjoint(one.rows):
            found |= _pools_through_losses(request, outlook, one, counts)
    return found


def _least(request: ShardRequest, outlook: Outlook, row: int, low: int, allowed: float) -> int:
    """Least count from `low` on that risks no more than is allowed by itself; else the bound."""
    most = max(low, effective_bounds(request.workloads[row])[1])
    return least_within(lambda n: outlook.risk_with_losses(row, n) <= allowed, low, most)


def _pools_through_losses(
    request: ShardRequest, outlook: Outlook, service: PoolRisk, counts: IntArray
) -> dict[int, int]:
    """Counts of the pools of a service, of which some are on spot nodes.

    Each may risk the same by itself, in money: where a replica costs twice as much, twice as much
    may be risked, which is cheapest where each replica more divides a risk by the same. How much
    that is, is found for the service: the most with which its joint risk is as promised. So a pool
    on no spot node may be raised, too. Where the bounds leave no such risk each pool does its part,
    one among as many as there are.
    """
    before = counts[list(service.rows)]
    level = outlook.level_of_step(request, service.rows[0])
    allowed = max(service.charge(_alone(outlook, service, before), before), level) + _TOLERANCE
    worth = outlook.program.worth

    def held(risk: float) -> dict[int, int]:
        own = {row: risk / (1.0 if worth is None else float(worth[row])) for row in service.rows}
        return {row: _least(request, outlook, row, int(counts[row]), own[row]) for row in own}

    def is_kept(risk: float) -> bool:
        asked = np.array(list(held(risk).values()), dtype=np.int64)
        return outlook.joint_risk(service, asked) <= allowed

    return held(_most_within(is_kept, allowed) or allowed / len(service.rows))


def _alone(outlook: Outlook, service: PoolRisk, counts: IntArray) -> FloatArray:
    """(P,) risk of each pool alone, if none of its replicas is lost."""
    pairs = zip(service.rows, counts, strict=True)
    return np.array([outlook.own_risk(row, int(n)) for row, n in pairs])


def _most_within(is_within: Callable[[float], bool], most: float) -> float:
    """The most risk that is within, infinite where any is; 0 where none is.

    Args:
        is_within: Judges a risk; what is within stays so with less.
        most: No finite risk beyond it is.
    """
    if is_within(np.inf):
        return np.inf
    high = low = most
    for _ in range(_HALVINGS):
        if is_within(low):
            break
        high, low = low, 0.5 * low
    else:
        return 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if is_within(middle) else (low, middle)
    return low
