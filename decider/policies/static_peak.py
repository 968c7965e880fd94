"""Static provisioning: one constant number of replicas for ever."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.policies.view import PolicyView, replicas_for


@dataclass(frozen=True, slots=True)
class StaticPeak:
    """`n = ceil(percentile(history) * (1 + margin) / capacity)`, fixed at the first decision.

    Attributes:
        percentile: Percentile of the history's demand, 100 for its peak.
        margin: Relative headroom on top.
        name: Name in tables.
    """

    percentile: float = 100.0
    margin: float = 0.0
    name: str = "static_peak"

    def __post_init__(self) -> None:
        """Check the knobs."""
        if not 0 <= self.percentile <= 100:
            raise ValueError(f"percentile={self.percentile} must be in [0, 100]")
        if self.margin <= -1:
            raise ValueError(f"margin={self.margin} must be > -1")

    def initial_state(self) -> int | None:
        """Nothing fixed yet."""
        return None

    def decide(self, view: PolicyView, state: int | None) -> tuple[int, int | None]:
        """The count fixed at the first decision; hold while no demand has been observed."""
        if state is not None:
            return view.bounded(state), state
        known = view.demand[np.isfinite(view.demand)]
        if known.size == 0:
            return view.hold(), None
        level = float(np.percentile(known, self.percentile)) * (1.0 + self.margin)
        fixed = int(replicas_for(level, view.capacity_per_replica))
        return view.bounded(fixed), fixed
