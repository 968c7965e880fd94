"""The oracle: knows the future. Not a policy that anyone can run; a lower bound on cost.

It is the cheapest schedule without violation when starts take exactly `lookahead_s`, apart from
whole replicas and switching cost. With random start-up times it takes a high quantile of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from decider.policies.view import PolicyView, replicas_for


@dataclass(frozen=True, slots=True)
class Oracle:
    """`n_t = ceil(max demand over [t, t + lookahead] / capacity)` with the true future.

    Attributes:
        lookahead_s: Time a start needs; whole steps are covered.
        name: Name in tables.
    """

    lookahead_s: float
    name: str = "oracle"

    def __post_init__(self) -> None:
        """Check the knob."""
        if self.lookahead_s < 0:
            raise ValueError(f"lookahead_s={self.lookahead_s} must be >= 0")

    def n_lookahead_steps(self, step_s: float) -> int:
        """Steps whose start lies within the look-ahead, after the one that begins now."""
        return math.ceil(self.lookahead_s / step_s)

    def initial_state(self) -> None:
        """It has no memory."""
        return

    def decide(self, view: PolicyView, state: None) -> tuple[int, None]:
        """Replicas for the largest demand that a start ordered now could be needed for.

        Raises:
            ValueError: If the view carries no future.
        """
        if view.future is None:
            raise ValueError("the oracle needs view.future, the true demand from now on")
        ahead = view.future[: 1 + self.n_lookahead_steps(view.step_s)]
        known = ahead[np.isfinite(ahead)]
        if known.size == 0:
            return view.hold(), None
        return view.bounded(int(replicas_for(float(known.max()), view.capacity_per_replica))), None
