"""Candidate mixes, and how many replicas each variant may have. Pure.

Shapes: K mixes, V variants, L capacities.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import add

import numpy as np

from decider.errors import require
from decider.mix.promise import MixPromise, MixSearch
from decider.types import FloatArray, IntArray
from decider.variant_types import VariantSet, VariantState, whole

MAX_LEVELS = 24
"""Capacities that are looked at between the least and what is asked for; in full up to here."""
MAX_MIXES = 4_000
"""Mixes beyond which only those are looked at that vary two variants at a time."""
MAX_PAIRED = 300_000
"""Mixes of two variants at a time: beyond it not every count of the first is looked at."""
SLACK = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class MixRequest:
    """Capacity asked of the variants of one workload, in reference replicas.

    Attributes:
        variants: What it may run on, and what runs.
        wanted: Capacity that the plan asks for, after the guards.
        low: Capacity that comes first, before any budget.
        high: Capacity that is never exceeded, but for the variants' own least counts.
        loss_usd_per_hour: (wanted - low + 1,) loss at low..wanted; it never rises.
        start_ratio: Price of a start, in hours of the replica that is started.
        stop_ratio: The same of a stop.
        wait_ratio: By variant, what a start costs beyond that, in the same unit: the time for which
            it is paid and does not serve while a start of the fastest variant would; empty: none.
        may_rise: Variants may be given more replicas.
        may_fall: Variants may be given fewer.
        is_fixed: Nothing may change.
        most_started: Capacity that may be started now, but for the rest of a replica.
        most_stopped: Capacity that may be stopped now, but for the rest of a replica.
        closed_types: GPU types of which no more may be taken: their budget cannot be read.
        promise: What a mix must keep with interruptions of spot nodes; None: none of it is lost.
        is_room_shared: Variants of one type have its free GPUs together (`decider.mix.rooms`), not
            each all of them, as before docs/decisions/0121.
        are_free_counted: GPUs that cost nothing count as next to nothing; earlier, as nothing.
    """

    variants: VariantSet
    wanted: int
    low: int
    high: int
    loss_usd_per_hour: FloatArray
    start_ratio: float = 0.0
    stop_ratio: float = 0.0
    wait_ratio: tuple[float, ...] = ()
    may_rise: bool = True
    may_fall: bool = True
    is_fixed: bool = False
    most_started: float = math.inf
    most_stopped: float = math.inf
    closed_types: frozenset[str] = frozenset()
    promise: MixPromise | None = None
    is_room_shared: bool = True
    are_free_counted: bool = True

    def __post_init__(self) -> None:
        """Refuse contradictory capacities."""
        require(
            0 <= self.low <= self.wanted, f"low={self.low}, wanted={self.wanted}: low <= wanted"
        )
        n = self.wanted - self.low + 1
        shape = self.loss_usd_per_hour.shape
        require(shape == (n,), f"loss_usd_per_hour has shape {shape}, must be ({n},)")
        size, wanted = len(self.wait_ratio), len(self.variants.states)
        require(size in (0, wanted), f"wait_ratio has {size} entries, must have {wanted} or none")


@dataclass(frozen=True, slots=True)
class Bound:
    """Counts that one variant may have, and what keeps it from more; empty: its own maximum."""

    least: int
    most: int
    why: str = ""


def bounds_of(request: MixRequest) -> tuple[Bound, ...]:
    """Counts that each variant may have now."""
    return tuple(_bound(v, request) for v in request.variants.states)


def _bound(variant: VariantState, request: MixRequest) -> Bound:
    spec = variant.spec
    if request.is_fixed:
        return Bound(spec, spec, "held")
    if variant.held:
        return Bound(spec, spec, "held")
    least, most, why = variant.least, variant.most, "variant_limits"
    if variant.schedulable_gpus is not None:
        fresh = max(0, variant.schedulable_gpus // variant.gpus_per_replica - variant.pending)
        if spec + fresh < most:
            most, why = max(least, spec + fresh), "schedulable"
    working = spec - variant.stuck
    if variant.stuck and working < most:  # more would wait with those that do
        most, why = max(least, working), "schedulable"
    if variant.gpu_type in request.closed_types and spec < most:
        least, most, why = min(least, spec), spec, "gpu_budget"
    if not request.may_rise and spec < most:
        most, why = max(least, spec), "one_way"
    if not request.may_fall:
        least = max(least, min(spec, variant.most if variant.stuck else most))
    return Bound(least, max(least, most), why)


def mixes_of(request: MixRequest, bounds: tuple[Bound, ...]) -> IntArray:
    """(K, V) candidate mixes: what runs, one variant changed, and minimal ones."""
    states = request.variants.states
    found = {tuple(b.least for b in bounds), tuple(int(n) for n in _clipped(request, bounds))}
    found.add(tuple(_enough(b, v, request) for b, v in zip(bounds, states, strict=True)))
    found.update(_minimal(request, bounds))
    found.update(_steps(request, bounds))
    if request.promise is not None:
        least, most = (tuple(getattr(b, name) for b in bounds) for name in ("least", "most"))
        search = MixSearch(request.promise, least, most, request.wanted, request.high)
        found.update(search.mixes(_bases(request, bounds)))
    return np.array(sorted(found), dtype=np.int64)


def _clipped(request: MixRequest, bounds: tuple[Bound, ...]) -> IntArray:
    """Present counts, brought within the bounds."""
    least, most = (np.array([getattr(b, name) for b in bounds]) for name in ("least", "most"))
    return np.asarray(np.clip(request.variants.current, least, most), dtype=np.int64)


def _enough(bound: Bound, variant: VariantState, request: MixRequest) -> int:
    """As many as serve everything that is asked for, where so many may run."""
    if bound.why != "variant_limits":
        return bound.most
    alone = math.ceil(request.wanted / variant.capacity_ratio - SLACK)
    return max(bound.least, min(bound.most, alone))


def _steps(request: MixRequest, bounds: tuple[Bound, ...]) -> Iterator[tuple[int, ...]]:
    """Present counts, with one variant changed until the mix serves what is asked for."""
    start = [int(n) for n in _clipped(request, bounds)]
    lacking = request.wanted - request.variants.units(start)
    for at, (bound, variant) in enumerate(zip(bounds, request.variants.states, strict=True)):
        extra = math.ceil(lacking / variant.capacity_ratio - SLACK)
        changed = min(max(start[at] + extra, bound.least), bound.most)
        yield (*start[:at], changed, *start[at + 1 :])


def _levels(low: int, wanted: int) -> list[int]:
    if wanted - low < MAX_LEVELS:
        return list(range(low, wanted + 1))
    spread = np.linspace(low, wanted, MAX_LEVELS - 4).round().astype(int)
    return sorted({*(int(n) for n in spread), *range(wanted - 4, wanted + 1)})


def _reachable_levels(request: MixRequest, bounds: tuple[Bound, ...]) -> list[int]:
    """Capacities to be served: down to the least, and below it what comes nearest to it.

    Where bounds or a coarse variant keep every mix from the least, the nearest one below counts.
    """
    states = request.variants.states
    reach = whole(request.variants.units([b.most for b in bounds]))
    below = request.low - math.ceil(max(v.capacity_ratio for v in states))
    nearest = _levels(max(1, below), request.low - 1)
    levels = {*nearest, *_levels(request.low, request.wanted), reach}
    return sorted(n for n in levels if 0 < n <= request.wanted)


def _minimal(request: MixRequest, bounds: tuple[Bound, ...]) -> Iterator[tuple[int, ...]]:
    """Minimal mixes of every capacity; where there are too many, those that vary two variants."""
    ratios = [v.capacity_ratio for v in request.variants.states]
    rooms = [b.most - b.least for b in bounds]
    levels = _reachable_levels(request, bounds)
    sizes = [
        math.prod(
            min(room, math.ceil(level / ratio)) + 1
            for room, ratio in zip(rooms[:-1], ratios[:-1], strict=True)
        )
        for level in levels
    ]
    if sum(sizes) <= MAX_MIXES:
        yield from _covers(request, [b.least for b in bounds], rooms, levels)
        return
    bases = list(_bases(request, bounds))
    pairs = list(itertools.combinations(range(len(bounds)), 2))
    most = max(2, MAX_PAIRED // (len(levels) * len(bases) * len(pairs)))
    for base, (one, other) in itertools.product(bases, pairs):
        start = list(base)
        start[one], start[other] = bounds[one].least, bounds[other].least
        held = request.variants.units(start)
        room, ratio = (rooms[one], rooms[other]), (ratios[one], ratios[other])
        for level in levels:
            for n, rest in _pair_covers(room, ratio, level - held, most):
                mix = list(start)
                mix[one], mix[other] = mix[one] + n, mix[other] + rest
                yield tuple(mix)


def _covers(
    request: MixRequest, start: list[int], rooms: list[int], levels: list[int]
) -> Iterator[tuple[int, ...]]:
    """Minimal mixes of every capacity with no fewer replicas than `start`."""
    ratios = [v.capacity_ratio for v in request.variants.states]
    held = request.variants.units(start)
    for level in levels:
        for extra in minimal_covers(rooms, ratios, level - held):
            yield tuple(map(add, start, extra))


def minimal_covers(
    rooms: Sequence[int], ratios: Sequence[float], level: float
) -> Iterator[tuple[int, ...]]:
    """Replicas of each variant whose capacity reaches `level`: one less of any falls below it.

    Args:
        rooms: (V,) most replicas of each.
        ratios: (V,) capacity of one replica of each.
        level: Capacity to reach.
    """
    enough = max(0, math.ceil(level / ratios[0] - 1e-9))
    if len(rooms) == 1:
        if enough <= rooms[0]:
            yield (enough,)
        return
    if len(rooms) == 2:
        yield from _pair_covers(rooms, ratios, level, rooms[0] + 2)
        return
    for n in range(min(enough, rooms[0]) + 1):
        for others in minimal_covers(rooms[1:], ratios[1:], level - n * ratios[0]):
            yield (n, *others)


def _pair_covers(
    rooms: Sequence[int], ratios: Sequence[float], level: float, most: int
) -> Iterator[tuple[int, int]]:
    """Minimal covers of two variants, by at most so many counts of the first."""
    top = min(max(0, math.ceil(level / ratios[0] - 1e-9)), rooms[0])
    counts = range(top + 1)
    chosen = counts if top < most else np.linspace(0, top, most).round().astype(int).tolist()
    for n in chosen:
        rest = max(0, math.ceil((level - n * ratios[0]) / ratios[1] - 1e-9))
        if rest <= rooms[1]:
            yield n, rest


def _bases(request: MixRequest, bounds: tuple[Bound, ...]) -> Iterator[list[int]]:
    """Counts of the other variants while two vary: least, present, and cheapest ones full."""
    least = [b.least for b in bounds]
    yield least
    yield [int(n) for n in _clipped(request, bounds)]
    unit = [v.unit_usd_per_hour for v in request.variants.states]
    full = list(least)
    for at in sorted(range(len(bounds)), key=lambda k: (unit[k], k)):
        full[at] = bounds[at].most
        yield list(full)


def limit_of(boxes: Sequence[tuple[Bound, ...]], request: MixRequest) -> str:
    """Name of the bound that keeps the variants from more: the first of the order below.

    Args:
        boxes: Bounds of all variants, or several such of which any may be had.
        request: The request.
    """
    reached = [request.variants.units([b.most for b in box]) for box in boxes]
    most, bounds = max(reached), boxes[int(np.argmax(reached))]
    if whole(most) >= request.wanted:
        rated = math.isfinite(request.most_started) or math.isfinite(request.most_stopped)
        return "rate_limit" if rated else "variant_limits"
    why = [b.why for b in bounds]
    for name in ("schedulable", "gpu_budget", "one_way", "variant_limits"):
        if name in why:
            return name
    return "held"
