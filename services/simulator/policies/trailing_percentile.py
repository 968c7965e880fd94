"""Trailing percentile of demand with a margin: the incumbent that a forecast has to beat.

The moving-window recommender of Autopilot (Rzadca et al., EuroSys 2020) reduced to its three knobs,
without decay weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView, Knob, column, count_settings
from services.simulator.policies.history import distinct_values, duration_text
from services.simulator.policies.knobs import knob_value, require_within

_MAX_SELECTED = 32
"""From so many order statistics on, sorting is cheaper than selecting them."""


@dataclass(frozen=True, slots=True, eq=False)
class TrailingPercentileGrid:
    """`n = ceil((1 + margin) * percentile(demand of the last window) / capacity)`.

    Percentiles interpolate linearly between order statistics. Unobserved steps are left out; if
    the window holds no observation the policy holds. Work is done once per distinct window.

    Attributes:
        window_s: Length of the trailing window; at least one step is always used.
        percentile: Percentile in [0, 100].
        margin: Relative headroom on top.
        name: Name in tables.
    """

    window_s: Knob = 3600.0
    percentile: Knob = 95.0
    margin: Knob = 0.1
    name: str = "trailing_percentile"

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_within("window_s", self.window_s, 0.0)
        require_within("percentile", self.percentile, 0.0, 100.0, is_low_open=False)
        require_within("margin", self.margin, -1.0)
        count_settings(self.window_s, self.percentile, self.margin)

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(self.window_s, self.percentile, self.margin)

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        return (
            f"p{knob_value(self.percentile, setting):.4g} of "
            f"{duration_text(knob_value(self.window_s, setting))} "
            f"+ {100 * knob_value(self.margin, setting):.4g} %"
        )

    def n_window_steps(self, step_s: float) -> FloatArray:
        """(G,) steps in the window, at least one; or (1,)."""
        return np.maximum(1.0, np.atleast_1d(np.asarray(self.window_s, dtype=float)) // step_s)

    def initial_state(self) -> None:
        """It has no memory beyond the demand it is shown."""
        return

    def decide(self, view: GridView, state: None) -> tuple[FloatArray, None]:
        """Replicas for the trailing percentile; hold when the window is empty."""
        n_window = self.n_window_steps(view.step_s)
        windows, of_window = distinct_values(n_window)
        percentiles, of_percentile = distinct_values(self.percentile)
        n_columns = view.demand.shape[1]
        levels = np.stack(
            [
                known_percentiles(view.demand[:, max(0, n_columns - int(n)) :], percentiles)
                for n in windows
            ]
        )
        level = levels[of_window, of_percentile] * (1.0 + column(self.margin))
        return view.answer(view.replicas_for(level)), None


def known_percentiles(values: FloatArray, percentiles: FloatArray) -> FloatArray:
    """Percentiles of the finite values of each row, linear between order statistics.

    Args:
        values: (W, n) values; what is not finite is left out.
        percentiles: (P,) in [0, 100].

    Returns:
        (P, W); NaN for a row without a finite value.
    """
    is_known = np.isfinite(values)
    n_known = is_known.sum(axis=1)
    if values.shape[1] == 0:
        return np.full((percentiles.size, values.shape[0]), np.nan)
    position = np.maximum(n_known - 1, 0) * percentiles[:, None] / 100.0
    low = position.astype(np.int64)
    high = np.minimum(low + 1, np.maximum(n_known - 1, 0))
    selected = np.unique([low, high])
    if not is_known.all():
        values = np.where(is_known, values, np.nan)
    if selected.size <= _MAX_SELECTED:
        ordered = np.partition(values, selected, axis=1)
    else:
        ordered = np.sort(values, axis=1)
    rows = np.arange(values.shape[0])
    below, above = ordered[rows, low], ordered[rows, high]
    levels: FloatArray = below + (position - low) * (above - below)
    return levels


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
