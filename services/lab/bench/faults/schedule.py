"""Which fault strikes when, drawn from a seed. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.kernel.clock import make_rng
from services.lab.bench.faults.kinds import KINDS, FaultKind

SHARE_OVERLAPPING = 0.5
"""Of the faults, how many strike while another one is in force."""
_LATEST_START = 0.2
_LONGEST_SHARE = 0.6
_SECOND_START = 0.8


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault of a schedule.

    Attributes:
        kind: What happens, and to what.
        at_s: Seconds from the start of the schedule.
        duration_s: How long it is in force; a kill is over at once.
    """

    kind: FaultKind
    at_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        """Seconds from the start of the schedule to its end."""
        return self.at_s + self.duration_s

    def overlaps(self, other: PlannedFault) -> bool:
        """Check whether both are in force at some moment."""
        return self.at_s <= other.end_s and other.at_s <= self.end_s


@dataclass(slots=True)
class StruckFault:
    """A fault that was in force.

    Attributes:
        began_at: When it was first tried.
        ended_at: When all was put right.
        has_bitten: The platform felt it.
    """

    planned: PlannedFault
    began_at: datetime | None = None
    ended_at: datetime | None = None
    has_bitten: bool = False


def make_schedule(
    seed: int, n_faults: int, length_s: float, kinds: Sequence[FaultKind] = KINDS
) -> tuple[PlannedFault, ...]:
    """Draw a schedule, in the order of its starts; the same seed gives the same one.

    The time is cut into slots, each with one fault, or with two that overlap. No kind comes again
    before all others had their turn.

    Args:
        seed: Seed.
        n_faults: How many.
        length_s: Seconds that all of them lie in.
        kinds: What is drawn from.
    """
    rng = make_rng(seed, "faults", n_faults)
    drawn = _draw_kinds(rng, n_faults, kinds)
    n_pairs = math.floor(n_faults * SHARE_OVERLAPPING / 2)
    n_slots = n_faults - n_pairs
    if n_slots == 0:
        return ()
    is_pair = np.zeros(n_slots, dtype=bool)
    is_pair[rng.permutation(n_slots)[:n_pairs]] = True
    width_s = length_s / n_slots
    found: list[PlannedFault] = []
    waiting = iter(drawn)
    for slot in range(n_slots):
        start_s = (slot + rng.uniform(0.0, _LATEST_START)) * width_s
        first = _planned(rng, next(waiting), start_s, width_s)
        found.append(first)
        if is_pair[slot]:
            within_s = first.at_s + rng.uniform(0.0, _SECOND_START) * first.duration_s
            left_s = (slot + 1) * width_s - within_s
            found.append(_planned(rng, next(waiting), within_s, left_s))
    return tuple(found)


def _draw_kinds(
    rng: np.random.Generator, n_faults: int, kinds: Sequence[FaultKind]
) -> list[FaultKind]:
    """All kinds in a new order, again and again; an upgrade comes first."""
    found: list[FaultKind] = []
    while len(found) < n_faults:
        found += [kinds[int(i)] for i in rng.permutation(len(kinds))]
    drawn = found[:n_faults]
    upgrade = next((i for i, kind in enumerate(drawn) if kind.act == "upgrade"), 0)
    # what strikes before an upgrade strikes the code of before, which nobody can mend any more
    return [drawn[upgrade], *drawn[:upgrade], *drawn[upgrade + 1 :]]


def _planned(rng: np.random.Generator, kind: FaultKind, at_s: float, room_s: float) -> PlannedFault:
    """A fault that is over before its room ends."""
    wanted_s = rng.uniform(kind.shortest_s, kind.longest_s)
    return PlannedFault(kind, at_s, float(min(wanted_s, _LONGEST_SHARE * room_s)))
