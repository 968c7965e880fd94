"""Policies by name, each with a grid of eight settings, leanest first.

Grids are fixed here, before any figure: no trace has one of its own, but where a setting is a count
of workers, which the trace's mean need scales.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.lab.arena.loop import PREFILL, LoopPolicy
from services.lab.arena.requests import FloatArray
from services.lab.bench.llm.race import Race
from services.lab.bench.llm.rivals.each_pool import EachPool
from services.lab.bench.llm.rivals.hpa import IN_FLIGHT, KV_USAGE, HpaPolicy, HpaRules
from services.lab.bench.llm.rivals.schedule import KnownSchedule, constant, ideal_counts
from services.lab.bench.llm.rivals.trailing import TrailingPolicy, TrailingRules

N_SETTINGS = 8
GOODPUTS = (0.90, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
"""Settings of what is told a goodput: Harmony's promises, the oracle's goals."""
IN_FLIGHTS = (33.0, 22.0, 15.0, 10.0, 7.0, 4.5, 3.0, 2.0)
"""Requests in hand per replica."""
PREFILL_IN_FLIGHT = 1.0 / 8.0
"""Requests in hand of a worker that only reads prompts, over those of one that also answers."""
KV_USAGES = (0.9, 0.75, 0.6, 0.45, 0.33, 0.24, 0.17, 0.12)
MARGINS = (0.8, 0.95, 1.1, 1.25, 1.45, 1.7, 2.0, 2.4)
"""Over the workers that are full."""
FIXED, IDEAL, ORACLE = "fixed", "ideal", "oracle"
SIMPLE = ("hpa", "hpa_kv", "keda", "keda_kv", "trail", FIXED)
HARMONY, HARMONY_TOLD = "harmony", "harmony_told"


@dataclass(frozen=True, slots=True)
class PoolRace:
    """One pool of a race.

    Attributes:
        race: The race.
        pool: Name of the pool.
    """

    race: Race
    pool: str

    @property
    def needed(self) -> FloatArray:
        """(T,) full workers that the arrivals of each step keep busy."""
        return self.race.needed(self.pool)


MakePolicy = Callable[[PoolRace, float], LoopPolicy]


@dataclass(frozen=True, slots=True)
class Family:
    """Settings of one rule.

    Attributes:
        settings: Eight of them.
        make: Makes the policy of a setting, of one pool.
    """

    settings: tuple[float, ...]
    make: MakePolicy

    def policy(self, race: Race, setting: float) -> LoopPolicy:
        """Of all pools: each is scaled by the rule for itself, both by one setting."""
        if len(race.pools) == 1:
            return self.make(PoolRace(race, race.pools[0]), setting)
        return EachPool({pool: self.make(PoolRace(race, pool), setting) for pool in race.pools})


def _hpa(signal: str, *, is_external: bool) -> MakePolicy:
    def make(place: PoolRace, target: float) -> LoopPolicy:
        if place.pool != PREFILL:
            return HpaPolicy(HpaRules(target, signal, is_external))
        # Prompts hold little KV space, for a short time: prefill is always scaled by what is there.
        target = target if signal == IN_FLIGHT else IN_FLIGHTS[KV_USAGES.index(target)]
        return HpaPolicy(HpaRules(target * PREFILL_IN_FLIGHT, IN_FLIGHT, is_external))

    return make


def _trail(place: PoolRace, margin: float) -> LoopPolicy:
    return TrailingPolicy(TrailingRules(margin), place.race.laws[place.pool])


def _fixed(place: PoolRace, margin: float) -> LoopPolicy:
    most = place.race.trace.max_workers
    return constant(int(np.clip(round(margin * float(place.needed.mean())), 1, most)))


def _ideal(place: PoolRace, margin: float) -> LoopPolicy:
    return KnownSchedule(ideal_counts(place.needed, margin), place.race.startup_s)


FAMILIES: dict[str, Family] = {
    "hpa": Family(IN_FLIGHTS, _hpa(IN_FLIGHT, is_external=False)),
    "hpa_kv": Family(KV_USAGES, _hpa(KV_USAGE, is_external=False)),
    "keda": Family(IN_FLIGHTS, _hpa(IN_FLIGHT, is_external=True)),
    "keda_kv": Family(KV_USAGES, _hpa(KV_USAGE, is_external=True)),
    "trail": Family(MARGINS, _trail),
    FIXED: Family(MARGINS, _fixed),
    IDEAL: Family(MARGINS, _ideal),
}
