"""Static provisioning: one constant number of replicas for ever."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView, Knob, column, count_settings
from services.simulator.policies.history import distinct_values
from services.simulator.policies.knobs import knob_value, require_within
from services.simulator.policies.trailing_percentile import known_percentiles


@dataclass(frozen=True, slots=True, eq=False)
class StaticGrid:
    """`n = ceil(percentile(history) * (1 + margin) / capacity)`, fixed at the first decision.

    A workload without any observed demand holds, and is fixed at the first decision that has some.

    Attributes:
        percentile: Percentile of the demand seen until then, 100 for its peak.
        margin: Relative headroom on top.
        name: Name in tables.
    """

    percentile: Knob = 100.0
    margin: Knob = 0.0
    name: str = "static_peak"

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_within("percentile", self.percentile, 0.0, 100.0, is_low_open=False)
        require_within("margin", self.margin, -1.0)
        count_settings(self.percentile, self.margin)

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(self.percentile, self.margin)

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        margin_percent = 100 * knob_value(self.margin, setting)
        return f"p{knob_value(self.percentile, setting):.4g} of history + {margin_percent:.4g} %"

    def initial_state(self) -> FloatArray | None:
        """Nothing fixed yet."""
        return None

    def decide(
        self, view: GridView, state: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """The counts fixed at the first decision; the state is (G, W), NaN where not fixed."""
        fixed = np.full(view.shape, np.nan) if state is None else state
        is_open = np.isnan(fixed).any(axis=0)
        if is_open.any():
            percentiles, which = distinct_values(self.percentile)
            level = known_percentiles(view.demand, percentiles)[which]
            wanted = view.replicas_for(level * (1.0 + column(self.margin)))
            fixed = np.where(is_open, np.broadcast_to(wanted, view.shape), fixed)
        return view.answer(fixed), fixed
