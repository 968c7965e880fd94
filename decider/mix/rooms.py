"""Room for more replicas of variants: what those of one type share, and what nobody knows. Pure.

Shapes: K mixes, V variants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from decider.mix.candidates import Bound, MixRequest
from decider.types import BoolArray, IntArray
from decider.variant_types import VariantState


@dataclass(frozen=True, slots=True)
class SharedRoom:
    """What the variants of one type may be given more, together.

    Attributes:
        at: Their places among the variants; at least two.
        gpus: GPUs that are free for them, those of starts that have no node yet taken off.
    """

    at: tuple[int, ...]
    gpus: int


def shared_rooms(states: Sequence[VariantState]) -> tuple[SharedRoom, ...]:
    """Rooms of the types that more than one variant is of.

    A variant on spot nodes and one on others are on different nodes. Of the rest the one that finds
    most free GPUs tells how many there are. Where one of them does not know, nothing is.
    """
    together: dict[tuple[str, bool], list[int]] = {}
    for at, one in enumerate(states):
        together.setdefault((one.gpu_type, one.spot is None), []).append(at)
    found = []
    for places in together.values():
        free = [states[at].schedulable_gpus for at in places]
        known = [gpus for gpus in free if gpus is not None]
        if len(places) < 2 or len(known) < len(free):
            continue
        waiting = sum(
            max(0, states[at].pending - states[at].stuck) * states[at].gpus_per_replica
            for at in places
        )
        found.append(SharedRoom(tuple(places), max(0, max(known) - waiting)))
    return tuple(found)


def has_room(request: MixRequest, counts: IntArray, first: IntArray) -> BoolArray:
    """(K,) mixes (K, V) that ask for no more than is free; least counts (V,) come first."""
    fits = np.ones(len(counts), dtype=bool)
    if not request.is_room_shared:
        return fits
    states = request.variants.states
    spec, gpus = (np.array([getattr(v, n) for v in states]) for n in ("spec", "gpus_per_replica"))
    for room in shared_rooms(states):
        at = list(room.at)
        most = max(room.gpus, int(np.maximum(first - spec, 0)[at] @ gpus[at]))
        fits &= np.maximum(counts - spec, 0)[:, at] @ gpus[at] <= most
    return fits


def boxes_of(request: MixRequest, bounds: tuple[Bound, ...]) -> tuple[tuple[Bound, ...], ...]:
    """Bounds within which what is free is enough whatever is taken; empty: `bounds` are such.

    Of each shared room one variant after the other has what is left, each of them first once.
    """
    rooms = shared_rooms(request.variants.states) if request.is_room_shared else ()
    if not rooms:
        return ()
    found = [bounds]
    for room in rooms:
        found = [box for one in found for box in _divided(request, one, room)]
    return tuple(dict.fromkeys(found))


def _divided(
    request: MixRequest, bounds: tuple[Bound, ...], room: SharedRoom
) -> Iterator[tuple[Bound, ...]]:
    states = request.variants.states
    by_worth = sorted(room.at, key=lambda k: -states[k].capacity_ratio / states[k].gpus_per_replica)
    for one in by_worth:
        box, left = list(bounds), room.gpus
        for at in (one, *(k for k in by_worth if k != one)):
            state, bound = states[at], bounds[at]
            most = max(bound.least, min(bound.most, state.spec + left // state.gpus_per_replica))
            left = max(0, left - max(0, most - state.spec) * state.gpus_per_replica)
            if most < bound.most:
                box[at] = replace(bound, most=most, why="schedulable")
        yield tuple(box)


def with_one_waiting(request: MixRequest, bounds: tuple[Bound, ...], counts: IntArray) -> IntArray:
    """Mixes, and the same with one of the stuck starts kept of those that keep all that serves.

    Where no free GPUs tell that a variant could be had again, only a start that waits does: without
    one it would be asked for anew as soon as it is let go. It costs nothing while it waits.

    Args:
        request: The request.
        bounds: Bounds of the variants; a start that is kept is beyond them.
        counts: (K, V) mixes.
    """
    for at, (one, bound) in enumerate(zip(request.variants.states, bounds, strict=True)):
        working, free = one.spec - one.stuck, one.schedulable_gpus
        is_untold = free is None or free >= one.gpus_per_replica
        if not one.stuck or not is_untold or bound.most != working:
            continue
        kept = counts[counts[:, at] == working]
        kept[:, at] += 1
        counts = np.concatenate([counts, kept])
    return counts
