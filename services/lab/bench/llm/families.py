"""Policies by name, each with a grid of eight settings, leanest first.

Grids are fixed here, before any figure: no trace has one of its own, but where a setting is a count
of workers, which the trace's mean need scales, or a target of one of two pools, which what a full
worker has in hand scales. An HPA of two pools has a grid of sixteen pairs of targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.lab.arena.loop import DECODE, PREFILL, SERVE, LoopPolicy
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
KV_USAGES = (0.9, 0.75, 0.6, 0.45, 0.33, 0.24, 0.17, 0.12)
POOL_SHARES = {PREFILL: (0.35, 0.2, 0.12, 0.07), DECODE: (0.6, 0.35, 0.2, 0.12)}
"""Targets of one of two pools, over what a full worker of it has in hand: a rung each. Prefill is
full with fewer: where one first token of twenty is late, most are far from late."""
POOL_KV_USAGES = KV_USAGES[::2]
PAIRS = tuple(10.0 * prefill + decode for prefill in range(1, 5) for decode in range(1, 5))
"""Settings of two pools, each with a target of its own: 23 is prefill's second rung and decode's
third."""
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

    @property
    def full_in_hand(self) -> float:
        """Requests that a full worker has in hand, each there as long as its goal allows.

        Of one of two pools: prefill has the time to the first token, decode that of all others.
        """
        trace = self.race.trace
        answer_ms = trace.goals.tpot_ms * trace.shape.mean_output
        stays_ms = trace.goals.ttft_ms if self.pool == PREFILL else answer_ms
        return stays_ms / 1e3 / float(self.race.laws[self.pool].seconds(trace.requests).mean())


MakePolicy = Callable[[PoolRace, float], LoopPolicy]


@dataclass(frozen=True, slots=True)
class Family:
    """Settings of one rule.

    Attributes:
        settings: Eight of them.
        make: Makes the policy of a setting, of one pool.
        pairs: Settings of two pools, where each has a target of its own; None: the same eight.
    """

    settings: tuple[float, ...]
    make: MakePolicy
    pairs: tuple[float, ...] | None = None

    def settings_in(self, race: Race) -> tuple[float, ...]:
        """Those of a race's pools."""
        is_split = len(race.pools) > 1
        return self.pairs if is_split and self.pairs is not None else self.settings

    def policy(self, race: Race, setting: float) -> LoopPolicy:
        """Of all pools: each is scaled by the rule for itself."""
        if len(race.pools) == 1:
            return self.make(PoolRace(race, race.pools[0]), setting)
        return EachPool({pool: self.make(PoolRace(race, pool), setting) for pool in race.pools})


def _hpa(signal: str, *, is_external: bool) -> MakePolicy:
    def make(place: PoolRace, setting: float) -> LoopPolicy:
        if place.pool == SERVE:
            return HpaPolicy(HpaRules(setting, signal, is_external))
        rung = int(setting // 10 if place.pool == PREFILL else setting % 10) - 1
        # Prompts hold little KV space, for a short time: prefill is always scaled by what is there.
        if signal == KV_USAGE and place.pool == DECODE:
            return HpaPolicy(HpaRules(POOL_KV_USAGES[rung], signal, is_external))
        target = POOL_SHARES[place.pool][rung] * place.full_in_hand
        return HpaPolicy(HpaRules(target, IN_FLIGHT, is_external))

    return make


def _trail(place: PoolRace, margin: float) -> LoopPolicy:
    return TrailingPolicy(TrailingRules(margin), place.race.laws[place.pool])


def _fixed(place: PoolRace, margin: float) -> LoopPolicy:
    most = place.race.trace.max_workers
    return constant(int(np.clip(round(margin * float(place.needed.mean())), 1, most)))


def _ideal(place: PoolRace, margin: float) -> LoopPolicy:
    return KnownSchedule(ideal_counts(place.needed, margin), place.race.startup_s)


FAMILIES: dict[str, Family] = {
    "hpa": Family(IN_FLIGHTS, _hpa(IN_FLIGHT, is_external=False), PAIRS),
    "hpa_kv": Family(KV_USAGES, _hpa(KV_USAGE, is_external=False), PAIRS),
    "keda": Family(IN_FLIGHTS, _hpa(IN_FLIGHT, is_external=True), PAIRS),
    "keda_kv": Family(KV_USAGES, _hpa(KV_USAGE, is_external=True), PAIRS),
    "trail": Family(MARGINS, _trail),
    FIXED: Family(MARGINS, _fixed),
    IDEAL: Family(MARGINS, _ideal),
}
