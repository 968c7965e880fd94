"""The mixes of variants that one workload may run: which there are, what each serves and costs.

Bounds of the variants, what can be scheduled, pauses and
rate limits rule mixes out before any is chosen. Pure. Shapes: K mixes, V variants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.mix.candidates import SLACK, MixRequest, bounds_of, limit_of, mixes_of
from decider.mix.rooms import boxes_of, has_room, with_one_waiting
from decider.types import BoolArray, FloatArray, IntArray

FREE_RATIO = 1e-4
"""Price of a GPU that costs nothing, beside that of the cheapest one that costs something."""


@dataclass(frozen=True, slots=True, eq=False)
class MixOptions:
    """The mixes of one workload. The first one takes the least of everything.

    Attributes:
        counts: (K, V) replicas.
        units: (K,) capacity in reference replicas, of which interruptions may take some.
        usd_per_hour: (K,) price of the replicas; of GPUs that cost nothing next to nothing.
        premium_usd_per_hour: (K,) what a mix costs beyond the cheapest one of its capacity.
        moves_usd_per_hour: (K,) price of getting there from what runs.
        loss_usd_per_hour: (K,) loss at its capacity, or at as much as is as risky without any
            interruption.
        is_enough: (K,) as much of what is asked for as any mix can serve; with replicas on spot
            nodes it keeps the promise too, or is as near to it as any.
        is_least: (K,) the capacity that comes first, or as much of it as any mix can serve.
        limit: What keeps every mix below what is asked for; empty: one serves it.
    """

    counts: IntArray
    units: FloatArray
    usd_per_hour: FloatArray
    premium_usd_per_hour: FloatArray
    moves_usd_per_hour: FloatArray
    loss_usd_per_hour: FloatArray
    is_enough: BoolArray
    is_least: BoolArray
    limit: str = ""

    @property
    def extra_usd_per_hour(self) -> FloatArray:
        """(K,) premium and moves."""
        return self.premium_usd_per_hour + self.moves_usd_per_hour

    def best(self) -> int:
        """The cheapest mix that serves what is asked for."""
        cost = np.where(self.is_enough, self.usd_per_hour + self.moves_usd_per_hour, np.inf)
        return int(np.argmin(np.round(cost, 9)))


def make_options(request: MixRequest) -> MixOptions:
    """Every mix worth a look, those nearest to what runs first among equals."""
    bounds = bounds_of(request)
    ratio = np.array([v.capacity_ratio for v in request.variants.states])
    spec = np.array(request.variants.current, dtype=np.int64)
    first = np.array([b.least for b in bounds], dtype=np.int64)
    boxes = boxes_of(request, bounds)
    counts = mixes_of(request, bounds)
    if boxes:
        counts = np.unique(np.concatenate([counts, *(mixes_of(request, b) for b in boxes)]), axis=0)
    counts = with_one_waiting(request, bounds, counts)
    counts = counts[_allowed(request, counts, ratio, first)]
    moved = np.abs(counts - spec) @ ratio
    is_first = (counts == first).all(axis=1)
    counts = counts[np.lexsort((moved, ~is_first))]
    return _options(request, counts, ratio, limit_of(boxes or (bounds,), request))


def _carrying(request: MixRequest, counts: IntArray) -> IntArray:
    """Replicas of mixes (..., V) that serve or will: what is stuck carries nothing."""
    states = request.variants.states
    most = [v.spec - v.stuck if v.stuck else np.iinfo(np.int64).max for v in states]
    return np.minimum(counts, np.array(most, dtype=np.int64))


def _changes(request: MixRequest, counts: IntArray) -> IntArray:
    """(K, V) starts and stops of mixes; to let go what is stuck stops nothing."""
    spec = np.array(request.variants.current, dtype=np.int64)
    return _carrying(request, counts) - _carrying(request, spec)


def _allowed(
    request: MixRequest, counts: IntArray, ratio: FloatArray, first: IntArray
) -> BoolArray:
    """(K,) mixes within the total, the rate limits and what is free; the least counts always are.

    A replica is not divided: what it is worth beyond a rate limit is let through.
    """
    change = _changes(request, counts) * ratio
    started, stopped = (np.maximum(s * change, 0.0).sum(axis=1) for s in (1, -1))
    served = np.floor(_carrying(request, counts) @ ratio + SLACK)
    is_first = (counts == first).all(axis=1)
    is_slow = (started < request.most_started + ratio.max()) & (
        stopped < request.most_stopped + ratio.max()
    )
    within = (served <= request.high) & has_room(request, counts, first)
    if not (is_slow & (within | is_first)).any():
        is_slow = np.ones_like(is_slow)  # bounds come before rates
    return np.asarray(is_first | (within & is_slow))


def _prices(request: MixRequest) -> FloatArray:
    """(V,) price of a replica by which mixes are told apart.

    Of what costs nothing more would be as good as enough: what runs would stay for ever. So its
    GPUs count as next to nothing beside those that cost something; where none does, alike.
    """
    states = request.variants.states
    paid = [v.price_usd_per_gpu_hour for v in states if v.price_usd_per_gpu_hour > 0]
    least = FREE_RATIO * min(paid) if paid else 1.0
    if not request.are_free_counted:
        least = 0.0
    prices = [v.price_usd_per_gpu_hour or least for v in states]
    return np.array([p * v.gpus_per_replica for p, v in zip(prices, states, strict=True)])


def _options(request: MixRequest, counts: IntArray, ratio: FloatArray, limit: str) -> MixOptions:
    states, usd = request.variants.states, _prices(request)
    carrying = _carrying(request, counts)
    units = carrying @ ratio
    sure = units if request.promise is None else request.promise.sure(carrying)
    bound, served = (
        np.floor(np.minimum(capacity, request.wanted) + SLACK).astype(np.int64)
        for capacity in (units, sure)
    )
    change = _changes(request, counts)
    start_ratio = request.start_ratio + np.array(request.wait_ratio or [0.0] * len(states))
    moves = start_ratio * np.maximum(change, 0) + request.stop_ratio * np.maximum(-change, 0)
    reach = min(int(served.max()), request.wanted)
    level = np.clip(served, request.low, request.wanted)
    bought = carrying @ usd
    # Capacity beyond what is asked for is not wanted: its price counts against the mix.
    cheapest = np.full(int(level.max()) - request.low + 1, np.inf)
    np.minimum.at(cheapest, level - request.low, bought)
    cheapest = np.minimum.accumulate(cheapest[::-1])[::-1]
    premium = bought - cheapest[level - request.low]
    return MixOptions(
        counts,
        units,
        bought,
        premium,
        moves @ usd,
        request.loss_usd_per_hour[level - request.low],
        served >= reach,
        bound >= min(int(bound.max()), request.low),
        limit if reach < request.wanted else "",
    )
