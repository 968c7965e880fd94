"""A workload with two variants in a closed loop: one of them truly carries less than is stated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from sqlalchemy import RowMapping

from decider import FloatArray
from tests.integration.decision.measured_loop import OBJECTIVE, Loop, Looped, truth
from tests.integration.decision.variant_rows import H100, L4, observe, seen, variants_of

STATED = {"per_replica": 10.0}
TRUE_WORTH = 0.6
USD = {"h100": 4.0, "l4": 2.5}


@dataclass
class Mixed(Looped):
    """A workload on H100 and L4.

    Attributes:
        mix: Replicas of each now; a change runs at once.
        worth: What an L4 truly carries, over what is stated of it.
        usd: Price of what ran in each step, per step of an hour.
        room: Free GPUs for L4 in step t.
    """

    mix: dict[str, int] = field(default_factory=lambda: {"h100": 4, "l4": 0})
    worth: float = TRUE_WORTH
    usd: list[float] = field(default_factory=list)
    mixes: list[dict[str, int]] = field(default_factory=list)
    room: Callable[[int], int] = lambda _t: 200


class VariantLoop(Loop):
    """A loop of workloads with variants; an L4 is stated to carry as much as an H100."""

    def add_mixed(self, name: str, **changes: object) -> Mixed:
        """A workload whose L4 is the cheaper one by what is stated."""
        l4 = L4 | {"capacity_per_replica": 10.0, "max_replicas": 8}
        sla = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
        given = {"capacity": STATED, "variants": [H100, l4], "max_replicas": 60, "sla": sla}
        first = {"target": H100["target"], "price_usd_per_gpu_hour": 4.0}
        known = self.add(name, truth(10.0), **(given | first | changes))
        self.services[-1] = Mixed(known.id, known.response)
        return self.services[-1]

    def _take(self, one: Looped, decision: RowMapping) -> None:
        assert isinstance(one, Mixed)
        one.mix = variants_of(decision)

    def _per_replica(self, one: Looped, demand: float, tokens: float) -> FloatArray:
        assert isinstance(one, Mixed)
        one.mixes.append(dict(one.mix))
        one.usd.append(sum(USD[name] * count for name, count in one.mix.items()))
        carried = one.mix["h100"] + one.worth * one.mix["l4"]
        return np.array([demand / max(carried, 0.1)])

    def _see(self, one: Looped, start: datetime) -> None:
        assert isinstance(one, Mixed)
        free = one.room(self.at)
        variants = {"h100": seen(one.mix["h100"]), "l4": seen(one.mix["l4"], schedulable_gpus=free)}
        observe(self.deps.engine, one.id, start, **variants)
