"""The oracle: knows the future. Not a policy that anyone can run; a lower bound on cost.

It is the cheapest schedule without violation when starts take exactly `lookahead_s`, apart from
whole replicas and switching cost. With random start-up times it takes a high quantile of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView, Knob, count_settings
from services.simulator.policies.history import duration_text
from services.simulator.policies.knobs import knob_value, require_within


@dataclass(frozen=True, slots=True, eq=False)
class OracleGrid:
    """`n_t = ceil(max demand over [t, t + lookahead] / capacity)` with the true future.

    Attributes:
        lookahead_s: Time a start needs; whole steps are covered.
        name: Name in tables.
    """

    lookahead_s: Knob
    name: str = "oracle"

    def __post_init__(self) -> None:
        """Check the knob."""
        require_within("lookahead_s", self.lookahead_s, 0.0, is_low_open=False)

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(self.lookahead_s)

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        return f"looks {duration_text(knob_value(self.lookahead_s, setting))} ahead"

    def initial_state(self) -> None:
        """It has no memory."""
        return

    def decide(self, view: GridView, state: None) -> tuple[FloatArray, None]:
        """Replicas for the largest demand that a start ordered now could be needed for.

        Raises:
            ValueError: If the view carries no future.
        """
        if view.future is None:
            raise ValueError("the oracle needs view.future, the true demand from now on")
        if view.future.shape[1] == 0:
            return view.answer(np.full(view.shape, np.nan)), None
        n_ahead = np.ceil(np.atleast_1d(self.lookahead_s) / view.step_s).astype(np.int64)
        ahead = view.future[:, : 1 + int(n_ahead.max())]
        peaks = np.fmax.accumulate(np.where(np.isfinite(ahead), ahead, np.nan), axis=1)
        level = peaks[:, np.minimum(n_ahead, ahead.shape[1] - 1)].T
        return view.answer(view.replicas_for(level)), None
