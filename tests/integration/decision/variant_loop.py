"""A workload with two variants in a closed loop: one of them truly carries less than is stated."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from sqlalchemy import RowMapping

from decider import FloatArray
from tests.integration.decision.measured_loop import OBJECTIVE, Loop, Looped, truth
from tests.integration.decision.variant_rows import H100, L4, observe, seen, variants_of

STATED = {"per_replica": 10.0}
TRUE_WORTH = 0.6


@dataclass
class Mixed(Looped):
    """A workload on H100 and L4.

    Attributes:
        mix: Replicas of each now.
        worth: What an L4 truly carries, over what is stated of it.
        mixes: What ran in each step.
        is_followed: What is decided runs at once.
    """

    mix: dict[str, int] = field(default_factory=lambda: {"h100": 4, "l4": 0})
    worth: float = TRUE_WORTH
    mixes: list[dict[str, int]] = field(default_factory=list)
    is_followed: bool = True


class VariantLoop(Loop):
    """A loop of workloads with variants; an L4 is stated to carry as much as an H100."""

    def add_mixed(self, name: str, **changes: object) -> Mixed:
        """A workload whose L4 is the cheaper one by what is stated."""
        l4 = L4 | {"capacity_per_replica": 10.0, "max_replicas": 8}
        sla = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
        given = {"capacity": STATED, "variants": [H100, l4], "max_replicas": 60, "sla": sla}
        first = {"target": H100["target"], "price_usd_per_gpu_hour": 4.0}
        known = self.add(name, truth(10.0), **(given | first | changes))
        mixed = Mixed(known.id, known.response)
        self.services[-1] = mixed
        return mixed

    def _take(self, one: Looped, decision: RowMapping) -> None:
        assert isinstance(one, Mixed)
        if one.is_followed:
            one.mix = variants_of(decision)

    def _per_replica(self, one: Looped, demand: float, tokens: float) -> FloatArray:
        assert isinstance(one, Mixed)
        one.mixes.append(dict(one.mix))
        carried = one.mix["h100"] + one.worth * one.mix["l4"]
        return np.array([demand / max(carried, 0.1)])

    def _see(self, one: Looped, start: datetime) -> None:
        assert isinstance(one, Mixed)
        variants = {name: seen(count) for name, count in one.mix.items()}
        observe(self.deps.engine, one.id, start, **variants)
