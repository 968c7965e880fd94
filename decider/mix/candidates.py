"""Which mixes of variants are worth a look, and how many replicas each variant may have. Pure.

Shapes: K mixes, V variants, L capacities.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from decider.mix.knapsack import Variant, minimal_covers
from decider.types import FloatArray, IntArray, require
from decider.variant_types import VariantSet, VariantState, whole

MAX_LEVELS = 24
"""Capacities that are looked at between the least and what is asked for; in full up to here."""
MAX_MIXES = 4_000
"""Mixes beyond which only those are looked at that vary two variants at a time."""
SLACK = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class MixRequest:
    """What is asked of the variants of one workload. Capacities are in reference replicas.

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
    if variant.gpu_type in request.closed_types and spec < most:
        most, why = max(least, spec), "gpu_budget"
    if not request.may_rise and spec < most:
        most, why = max(least, spec), "one_way"
    if not request.may_fall:
        least = max(least, min(spec, most))
    return Bound(least, most, why)


def mixes_of(request: MixRequest, bounds: tuple[Bound, ...]) -> IntArray:
    """(K, V) mixes worth a look: what runs, one variant changed, and minimal ones."""
    states = request.variants.states
    found = {tuple(b.least for b in bounds), tuple(int(n) for n in _clipped(request, bounds))}
    found.add(tuple(_enough(b, v, request) for b, v in zip(bounds, states, strict=True)))
    found.update(_minimal(request, bounds))
    found.update(_steps(request, bounds))
    return np.array(sorted(found), dtype=np.int64)


def _clipped(request: MixRequest, bounds: tuple[Bound, ...]) -> IntArray:
    """What runs, brought within the bounds."""
    least, most = (np.array([getattr(b, name) for b in bounds]) for name in ("least", "most"))
    return np.asarray(np.clip(request.variants.current, least, most), dtype=np.int64)


def _enough(bound: Bound, variant: VariantState, request: MixRequest) -> int:
    """As many as serve everything that is asked for, where so many may run."""
    if bound.why != "variant_limits":
        return bound.most
    alone = math.ceil(request.wanted / variant.capacity_ratio - SLACK)
    return max(bound.least, min(bound.most, alone))


def _steps(request: MixRequest, bounds: tuple[Bound, ...]) -> Iterator[tuple[int, ...]]:
    """What runs, with one variant changed until the mix serves what is asked for."""
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
    levels = {*range(below, request.low), *_levels(request.low, request.wanted), reach}
    return sorted(n for n in levels if 0 < n <= request.wanted)


def _minimal(request: MixRequest, bounds: tuple[Bound, ...]) -> Iterator[tuple[int, ...]]:
    """Minimal mixes of every capacity; where there are too many, those that vary two variants."""
    states = request.variants.states
    levels = _reachable_levels(request, bounds)
    kinds = tuple(
        Variant(v.gpu_type, v.gpus_per_replica, v.capacity_ratio, v.price_usd_per_gpu_hour,
                b.least, b.most)
        for v, b in zip(states, bounds, strict=True)
    )  # fmt: skip
    sizes = [
        math.prod(min(k.most - k.least, math.ceil(n / k.capacity)) + 1 for k in kinds[:-1])
        for n in levels
    ]
    if sum(sizes) <= MAX_MIXES:
        yield from _covers(kinds, [b.least for b in bounds], levels)
        return
    for base in _bases(request, kinds, bounds):
        for i in range(len(kinds)):
            for j in range(i):
                pair = [base[k] if k not in (i, j) else b.least for k, b in enumerate(bounds)]
                fixed = tuple(
                    k if at in (i, j) else _pinned(k, pair[at]) for at, k in enumerate(kinds)
                )
                yield from _covers(fixed, pair, levels)


def _covers(
    kinds: tuple[Variant, ...], base: list[int], levels: list[int]
) -> Iterator[tuple[int, ...]]:
    held = sum(n * k.capacity for n, k in zip(base, kinds, strict=True))
    for level in levels:
        for extra in minimal_covers(kinds, level - held):
            yield tuple(a + b for a, b in zip(base, extra, strict=True))


def _pinned(kind: Variant, count: int) -> Variant:
    return Variant(
        kind.gpu_type, kind.gpus_per_replica, kind.capacity, kind.price_usd_per_gpu_hour,
        count, count,
    )  # fmt: skip


def _bases(
    request: MixRequest, kinds: tuple[Variant, ...], bounds: tuple[Bound, ...]
) -> Iterator[list[int]]:
    """What the other variants have while two are varied: least, present, and cheapest ones full."""
    least = [b.least for b in bounds]
    yield least
    yield [int(n) for n in _clipped(request, bounds)]
    unit = [v.unit_usd_per_hour for v in request.variants.states]
    full = list(least)
    for at in sorted(range(len(kinds)), key=lambda k: (unit[k], k)):
        full[at] = bounds[at].most
        yield list(full)


def limit_of(bounds: tuple[Bound, ...], request: MixRequest) -> str:
    """What keeps a workload from more: that of the variants' bounds which most of them share."""
    most = request.variants.units([b.most for b in bounds])
    if whole(most) >= request.wanted:
        rated = math.isfinite(request.most_started) or math.isfinite(request.most_stopped)
        return "rate_limit" if rated else "variant_limits"
    why = [b.why for b in bounds]
    for name in ("schedulable", "gpu_budget", "one_way", "variant_limits"):
        if name in why:
            return name
    return "held"
