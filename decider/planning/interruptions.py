"""Counts that keep a promise though some of their replicas are on spot nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from decider.planning.outlook import Outlook
from decider.planning.pool_risk import PoolRisk
from decider.tables.candidates import effective_bounds
from decider.tables.survivors import least_within
from decider.types import IntArray, ShardRequest

_TOLERANCE = 1e-12
SMALL = 0.5
"""Share of the risk level that interruptions may add whatever a count risks without any."""
RELEASE = 2.0
"""Weight of what interruptions add where it is asked whether a replica that runs may go."""
_HALVINGS = 40
"""Times that a risk is halved until it is none."""
_BISECTIONS = 12
"""Between two halvings: to a part in four thousand."""


def counts_through_losses(
    request: ShardRequest, outlook: Outlook, counts: IntArray
) -> dict[int, int]:
    """By row, the least count that is no riskier with interruptions than it may be.

    That is: no riskier than promised, the level in use, or than the wanted count is without any
    interruption where that is more. Or what interruptions add is a small share of the level: it is
    in the risk that the decision answers for, and so in the price of risk, which keeps the mean. To
    hold each single count to the level asked for one replica more, and gave it back, whenever a
    count came near the level. A replica that runs is let go only where the count without it could
    bear twice what interruptions add.

    The count never falls below the given one. Where none up to the bounds is good enough it is the
    bound: so more interruptions never ask for fewer. Nothing is held where prices alone decide; for
    pools see `_of_pools`, for variants `decider.mix.request`.

    Args:
        request: The shard.
        outlook: Its plan.
        counts: (W,) counts that are wanted without interruptions.

    Returns:
        Counts of the rows that have replicas on spot nodes, and of the other pools of their
        services.
    """
    found: dict[int, int] = {}
    for weight in (1.0, RELEASE):
        for row, n in _asked(request, outlook, counts, weight).items():
            current = request.workloads[row].replicas.spec
            found[row] = n if row not in found else max(found[row], min(current, n))
    return found


def _asked(
    request: ShardRequest, outlook: Outlook, counts: IntArray, weight: float
) -> dict[int, int]:
    """Such counts, what interruptions add being weighted."""
    found = {}
    for row in outlook.survival:
        if request.workloads[row].pool is None:
            level, count = outlook.level_of_step(request, row), int(counts[row])
            allowed = max(outlook.own_risk(row, count), level)

            def is_within(
                n: int, row: int = row, level: float = level, most: float = allowed
            ) -> bool:
                own, more = outlook.own_risk(row, n), weight * outlook.risk_of_losses(row, n)
                return own + more <= most + _TOLERANCE or more <= SMALL * level

            found[row] = least_within(is_within, count, _bound(request, row, count))
    for one in outlook.services:
        if not outlook.survival.keys().isdisjoint(one.rows):
            found |= _of_pools(request, outlook, one, counts, weight)
    return found


def _bound(request: ShardRequest, row: int, count: int) -> int:
    return max(count, effective_bounds(request.workloads[row])[1])


def _of_pools(
    request: ShardRequest, outlook: Outlook, service: PoolRisk, counts: IntArray, weight: float
) -> dict[int, int]:
    """Such counts of the pools of a service, by their joint risk.

    Each may risk the same by itself, in money: where a replica costs twice as much, twice as much
    may be risked, which is cheapest where each replica more divides a risk by the same. How much
    that is, is found for the service: the most with which its joint risk is as it may be. So a pool
    on no spot node may be raised, too. Where the bounds leave no such risk each pool does its part,
    one among as many as there are.
    """
    rows, before = service.rows, counts[list(service.rows)]
    level = outlook.level_of_step(request, rows[0])
    allowed = max(outlook.joint_risk(service, before, 0.0), level) + _TOLERANCE
    worth = outlook.program.worth

    @cache
    def alone(row: int, n: int) -> float:
        return outlook.own_risk(row, n) + weight * outlook.risk_of_losses(row, n)

    def held(risk: float) -> dict[int, int]:
        found = {}
        for row, count in zip(rows, before, strict=True):
            most = risk / (1.0 if worth is None else float(worth[row]))

            def is_within(n: int, row: int = row, most: float = most) -> bool:
                return alone(row, n) <= most

            found[row] = least_within(is_within, int(count), _bound(request, row, int(count)))
        return found

    @cache
    def may_be(asked: tuple[int, ...]) -> bool:
        on = np.array(asked, dtype=np.int64)
        total = outlook.joint_risk(service, on, weight)
        return total <= allowed or total - outlook.joint_risk(service, on, 0.0) <= SMALL * level

    def is_kept(risk: float) -> bool:
        return may_be(tuple(held(risk).values()))

    return held(_most_within(is_kept, allowed) or allowed / len(rows))


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
