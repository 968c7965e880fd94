"""The first price of risk of a response that was learned while a service was watched.

A price that is searched for in a service's first forecasts says little. While a forecast is one
value any price keeps the promise, and the least is found; read off a few steps its tail may lie
beyond the most replicas, and the largest is. Either is carried on for the better part of an hour
(docs/decisions/0094). What the response says of a certain demand does not depend on that. It is
used for promises of requests, whose level follows soon where it is too careful.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from decider.planning.plan import Program
from decider.planning.risk import MAX_LOG_MULTIPLIER, MIN_LOG_MULTIPLIER
from decider.planning.utility import Judged
from decider.tables.soft_response import Soft
from decider.types import FloatArray, IntArray, ShardRequest

_STEP = 0.02
"""Change of the logarithm of a load over which the risk's slope is taken."""


def first_price(soft: Soft, demand: float, level: float, most_asked: float = 0.0) -> float:
    """Price of risk at which a certain demand is served with exactly the level.

    n replicas risk r(log(d / n)) of a demand d. The cheapest n under a price p has -p dr/dn = 1,
    so at the load whose risk is the level the price is n / r'.

    Args:
        soft: The response.
        demand: The demand; >= 0.
        level: Risk level, in (0, 1).
        most_asked: Price that keeping the level may take (`decider.planning.risk.most_asked`).

    Returns:
        The price in replica-steps per step out of SLA, within what a price may be.
    """
    load = soft.load_at(level)
    below, above = soft.risk(math.log(load) + np.array([-_STEP, _STEP]))
    rise = float(above - below) / (2.0 * _STEP)
    low, high = math.exp(MIN_LOG_MULTIPLIER), max(math.exp(MAX_LOG_MULTIPLIER), most_asked)
    if rise <= 0.0:
        return high if demand > 0.0 else low
    return min(max(demand / load / rise, low), high)


def first_prices(
    request: ShardRequest,
    program: Program,
    judged: Judged,
    level: FloatArray,
    rows: IntArray,
    most_asked: FloatArray,
) -> Mapping[int, float]:
    """By row, first prices of the promises of requests that were watched before, with a response.

    Any other has its price looked for in the forecast. The pools of a service share one, the
    largest of theirs: a pool without load has none to give.

    Args:
        request: The shard.
        program: The planning problem.
        judged: What plans are judged by.
        level: (W,) risk levels; finite in `rows`.
        rows: (R,) rows without a price; all pools of a service or none.
        most_asked: (W,) prices that keeping the levels may take.
    """
    worth = np.ones(level.size) if program.worth is None else program.worth
    found = {}
    for row in (int(one) for one in rows if int(one) in judged.soft):
        owner = request.workloads[row]
        if owner.sla.kind != "DemandFraction" or owner.risk.observed_steps <= 0:
            continue
        demand = float(np.median(judged.scenarios.demand[row]))
        asked = float(level[row]), float(most_asked[row])
        found[row] = first_price(judged.soft[row], demand, *asked) / float(worth[row])
    for service in judged.services:
        own = [found[row] for row in service.rows if row in found]
        found |= dict.fromkeys(service.rows, max(own)) if own else {}
    return found
