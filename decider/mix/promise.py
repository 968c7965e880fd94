"""Mixes that keep a promise though some of their replicas are on spot nodes. Pure.

An on-demand replica costs more and stays; so dear replicas are held as far as the risk of the cheap
ones demands it, and no further. What a mix risks is that of its capacity less what interruptions
may have taken at a moment (`decider.tables.mix_survivors`).

Shapes: K mixes, V variants.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from decider.planning.interruptions import RELEASE, SMALL
from decider.tables.mix_survivors import CapacityRisk, MixSurvival
from decider.types import BoolArray, FloatArray, IntArray
from decider.variant_types import whole

MOST_COUNTS = 96
"""Counts of one variant beside which the least of another is looked for; of more an even choice."""
_TOLERANCE = 1e-12
_SLACK = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class MixPromise:
    """The risk that a mix may have with interruptions.

    Attributes:
        law: What interruptions leave of mixes.
        own_risk: Risk of capacities of which nothing is lost.
        allowed: Most risk that a mix may have.
        level: Risk level in use. Of it interruptions may add a small share to whatever a mix risks
            without any; 0: nothing.
        running: Replicas that each variant has now; empty: none. Of a mix that lets some of them
            go what interruptions add counts more, so that they do not come and go.
    """

    law: MixSurvival
    own_risk: CapacityRisk
    allowed: float
    level: float = 0.0
    running: Sequence[int] = ()

    def risk(self, mixes: IntArray) -> FloatArray:
        """(K,) risk of mixes (K, V)."""
        return self.law.expected(self.own_risk, mixes)

    def is_kept(self, mixes: IntArray) -> BoolArray:
        """(K,) mixes (K, V) that risk no more than they may."""
        return self._within(*self._risks(mixes))

    def _risks(self, mixes: IntArray) -> tuple[FloatArray, FloatArray]:
        """(K,) risk without any interruption, and what they add as it counts."""
        own = self.own_risk(np.floor(mixes @ self.law.ratio + _SLACK).astype(np.int64))
        lets_go = (mixes < np.array(self.running or [0])).any(axis=1)
        weight = np.where(lets_go, RELEASE, 1.0)
        return own, weight * np.maximum(self.risk(mixes) - own, 0.0)

    def _within(self, own: FloatArray, added: FloatArray) -> BoolArray:
        is_little = (own <= self.allowed + _TOLERANCE) & (added <= SMALL * self.level)
        return np.asarray(is_little | (own + added <= self.allowed + _TOLERANCE))

    def sure(self, mixes: IntArray) -> FloatArray:
        """(K,) capacity that mixes (K, V) are as good as.

        One that keeps the promise counts in full. One that does not is as good as the largest
        capacity without any loss that is as risky.
        """
        own_risk, added = self._risks(mixes)
        risk, units = own_risk + added, mixes @ self.law.ratio
        top = whole(float(units.max(initial=0.0)))
        own = self.own_risk(np.arange(top + 1))
        falling = np.maximum.accumulate(own[::-1])  # by capacity, the largest first
        n_less = np.searchsorted(falling, risk - _TOLERANCE)
        alike = np.minimum(np.maximum(top - n_less, 0), units)
        return np.asarray(np.where(self._within(own_risk, added), units, alike))


@dataclass(frozen=True, slots=True, eq=False)
class MixSearch:
    """The least mixes that are enough and keep a promise.

    Attributes:
        promise: The promise.
        least: (V,) replicas that each variant keeps in any case.
        most: (V,) replicas that each may have.
        wanted: Capacity that is asked for.
        high: Capacity that is never exceeded.
    """

    promise: MixPromise
    least: Sequence[int]
    most: Sequence[int]
    wanted: int
    high: int

    def mixes(self, bases: Iterator[list[int]]) -> Iterator[tuple[int, ...]]:
        """Mixes of which one less of any would not do, two variants varied at a time.

        Where none does, as many of the second as may be stand beside each count of the first.

        Args:
            bases: Counts of the others.
        """
        seen: set[tuple[int, ...]] = set()
        for base, (one, other) in itertools.product(list(bases), self._pairs()):
            start = list(base)
            start[one], start[other] = self.least[one], self.least[other]
            key = (one, *start)
            if key in seen:
                continue
            seen.add(key)
            yield from self._beside(np.array(start), one, other)
        if len(self.least) == 1:
            yield from self._plain(self._least(np.array([self.least]), 0))
        yield self._fullest()

    @property
    def _on_spot(self) -> set[int]:
        """Variants that have replicas on spot nodes."""
        return {part.at for part in self.promise.law.parts}

    def _pairs(self) -> list[tuple[int, int]]:
        """Two variants of which one has replicas on spot nodes; what is sure comes first."""
        spot = self._on_spot
        pairs = itertools.combinations(range(len(self.least)), 2)
        return [
            (other, one) if one in spot and other not in spot else (one, other)
            for one, other in pairs
            if spot & {one, other}
        ]

    def _beside(self, start: IntArray, one: int, other: int) -> Iterator[tuple[int, ...]]:
        """The least of `other` beside each count of `one`, up to where none of it is needed."""
        alone = int(self._least(start[None], one)[0, one])
        counts = np.arange(self.least[one], alone + 1)
        if counts.size > MOST_COUNTS:
            counts = np.unique(np.linspace(counts[0], alone, MOST_COUNTS).round().astype(np.int64))
        mixes = np.repeat(start[None], counts.size, axis=0)
        mixes[:, one] = counts
        yield from self._plain(self._least(mixes, other))

    def _least(self, mixes: IntArray, at: int) -> IntArray:
        """The mixes with the least count of one variant that is enough, or the most it may have."""
        found, ratio = mixes.copy(), float(self.promise.law.ratio[at])
        found[:, at] = 0
        beside = found @ self.promise.law.ratio
        room = np.floor((self.high - beside) / ratio + 1e-9)
        least, most = self.least[at], self.most[at]
        top = np.clip(room, least, most).astype(np.int64)
        need = np.ceil((self.wanted - beside) / ratio - 1e-9)
        low = np.clip(need, least, top).astype(np.int64)
        step, is_open = np.ones_like(low), np.ones(low.size, dtype=bool)
        upper = low.copy()
        while True:  # upwards, each time twice as far
            is_open[is_open] = ~self._is_kept(found[is_open], at, upper[is_open])
            is_open &= upper < top
            if not is_open.any():
                break
            low = np.where(is_open, upper + 1, low)
            upper = np.where(is_open, np.minimum(upper + step, top), upper)
            step *= 2
        while (low < upper).any():
            middle = (low + upper) // 2
            asked = np.flatnonzero(low < upper)
            kept = self._is_kept(found[asked], at, middle[asked])
            upper[asked] = np.where(kept, middle[asked], upper[asked])
            low[asked] = np.where(kept, low[asked], middle[asked] + 1)
        found[:, at] = upper
        return found

    def _is_kept(self, mixes: IntArray, at: int, counts: IntArray) -> BoolArray:
        asked = mixes.copy()
        asked[:, at] = counts
        return self.promise.is_kept(asked)

    def _fullest(self) -> tuple[int, ...]:
        """The mix that loses least: what cannot be lost first, then the others, up to the most."""
        ratio, found, spot = self.promise.law.ratio, list(self.least), self._on_spot
        for at in sorted(range(len(found)), key=lambda at: at in spot):
            room = (self.high - float(np.array(found) @ ratio)) / float(ratio[at])
            more = max(0, int(np.floor(room + 1e-9)))
            found[at] = min(self.most[at], found[at] + more)
        return tuple(found)

    @staticmethod
    def _plain(mixes: IntArray) -> Iterator[tuple[int, ...]]:
        return (tuple(int(n) for n in mix) for mix in mixes)
