"""Trailing percentile of demand with a margin: the incumbent that a forecast has to beat.

The moving-window recommender of Autopilot (Rzadca et al., EuroSys 2020) reduced to its three knobs,
without decay weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decider.policies.view import PolicyView, replicas_for


@dataclass(frozen=True, slots=True)
class TrailingPercentile:
    """`n = ceil((1 + margin) * percentile(demand of the last window) / capacity)`.

    Percentiles interpolate linearly between order statistics. Unobserved steps are left out; if
    the window holds no observation the policy holds.

    Attributes:
        window_s: Length of the trailing window; at least one step is always used.
        percentile: Percentile in [0, 100].
        margin: Relative headroom on top.
        name: Name in tables.
    """

    window_s: float = 3600.0
    percentile: float = 95.0
    margin: float = 0.1
    name: str = "trailing_percentile"

    def __post_init__(self) -> None:
        """Check the knobs."""
        if self.window_s <= 0:
            raise ValueError(f"window_s={self.window_s} must be > 0")
        if not 0 <= self.percentile <= 100:
            raise ValueError(f"percentile={self.percentile} must be in [0, 100]")
        if self.margin <= -1:
            raise ValueError(f"margin={self.margin} must be > -1")

    def n_window_steps(self, step_s: float) -> int:
        """Steps in the window, at least one."""
        return max(1, int(self.window_s // step_s))

    def initial_state(self) -> None:
        """It has no memory beyond the demand it is shown."""
        return

    def decide(self, view: PolicyView, state: None) -> tuple[int, None]:
        """Replicas for the trailing percentile; hold when the window is empty."""
        window = view.demand[-self.n_window_steps(view.step_s) :]
        known = window[np.isfinite(window)]
        if known.size == 0:
            return view.hold(), None
        level = ordered_percentile(np.sort(known).tolist(), self.percentile) * (1.0 + self.margin)
        return view.bounded(int(replicas_for(level, view.capacity_per_replica))), None


def ordered_percentile(ordered: Sequence[float], percentile: float) -> float:
    """Percentile of ascending values, linear between order statistics.

    Args:
        ordered: At least one value, ascending.
        percentile: In [0, 100].
    """
    position = (len(ordered) - 1) * percentile / 100.0
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])
