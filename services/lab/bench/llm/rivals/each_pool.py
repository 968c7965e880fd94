"""A rule for each of two pools: neither knows of the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.lab.arena.loop import SERVE, LoopPolicy, LoopTargets, LoopTick


@dataclass(frozen=True, slots=True)
class EachPool:
    """Policies of one pool, side by side; all are asked at the same times.

    Attributes:
        policies: By pool.
    """

    policies: Mapping[str, LoopPolicy]

    @property
    def first_tick_s(self) -> float:
        """When all are asked first."""
        return max(policy.first_tick_s for policy in self.policies.values())

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        """Ask each with its own pool, as if there were no other."""
        told = {pool: one.on_tick(tick.of(pool)) for pool, one in self.policies.items()}
        counts = {pool: own.counts[SERVE] for pool, own in told.items() if SERVE in own.counts}
        return LoopTargets(counts, min(own.next_tick_s for own in told.values()))
