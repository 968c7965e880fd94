"""Saturation-based scaling of the llm-d workload variant autoscaler (WVA), for a single pool.

Written from the algorithm's description, which reads the KV-cache use and the queue of each replica
of several variants. What is adapted to traces of one demand on one pool:

* Demand over the ready replicas' capacity stands for the KV use of every replica: they share the
  load evenly, so all are saturated or none is.
* There is no queue length. Demand above the ready capacity is what would wait, so it stands for
  "queue >= 5": every replica is saturated and no queue is spare. Demand within capacity leaves the
  queue empty. As thresholds are at most 1, such demand is beyond the threshold of utilisation too,
  and one test serves for both.
* Spare is the distance of the utilisation to the saturation threshold.
* One variant is both the cheapest and the dearest, so +1 and -1 apply to the one pool.
* One decision per period or per step, whichever is longer. Inputs are the largest step average that
  the input window touches; a window no longer than a step is the last completed step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import GridView, Knob, column, count_settings
from services.simulator.policies.knobs import knob_value, require_within
from services.simulator.policies.view import BoolArray, FloatArray
from services.simulator.policies.windows import window_max

_GUARD = 1e-9


@dataclass(frozen=True, slots=True)
class SaturationState:
    """When the policy last looked; -inf before the first time."""

    looked_at_s: float = -np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Saturation:
    """One replica more while spare is short, one fewer while the rest would keep it.

    Attributes:
        saturated_ratio: Utilisation at which a replica counts as saturated. The knob, together
            with `min_spare_ratio`: replicas are added above the difference of the two.
        min_spare_ratio: Spare utilisation that must remain below the threshold.
        min_unsaturated: Fewest unsaturated replicas that a decrease may leave.
        window_s: Inputs are the maximum over this window.
        period_s: Time between decisions, if longer than a step.
    """

    saturated_ratio: Knob = 0.8
    min_spare_ratio: Knob = 0.1
    min_unsaturated: int = 2
    window_s: float = 60.0
    period_s: float = 60.0

    def __post_init__(self) -> None:
        """Check the settings."""
        require_within("saturated_ratio", self.saturated_ratio, 0.0, 1.0)
        require_within("min_spare_ratio", self.min_spare_ratio, 0.0, 1.0, is_low_open=False)
        require_within("min_unsaturated", self.min_unsaturated, 0, is_low_open=False)
        require_within("window_s", self.window_s, 0.0)
        require_within("period_s", self.period_s, 0.0)
        count_settings(self.saturated_ratio, self.min_spare_ratio)
        if not np.all(np.asarray(self.min_spare_ratio) < np.asarray(self.saturated_ratio)):
            raise ValueError(
                f"min_spare_ratio={self.min_spare_ratio} must be below "
                f"saturated_ratio={self.saturated_ratio}"
            )

    @property
    def name(self) -> str:
        """Short name used in tables."""
        return "saturation"

    @property
    def n_settings(self) -> int:
        """G."""
        return count_settings(self.saturated_ratio, self.min_spare_ratio)

    def label(self, setting: int) -> str:
        """Threshold and spare of one setting."""
        return (
            f"saturated at {knob_value(self.saturated_ratio, setting):g}, "
            f"spare {knob_value(self.min_spare_ratio, setting):g}"
        )

    def initial_state(self) -> SaturationState:
        """It has not looked yet."""
        return SaturationState()

    def decide(self, view: GridView, state: SaturationState) -> tuple[FloatArray, SaturationState]:
        """One replica up or down; the spec while starts are under way or demand is unknown."""
        if view.now_s - state.looked_at_s < self.period_s:
            return view.answer(view.replicas), state
        load = window_max(view.demand, view.step_s, self.window_s) / view.capacity
        is_short, is_safe = self._is_short(view, load), self._is_safe_without_one(view, load)
        change = np.where(is_short, 1.0, np.where(is_safe, -1.0, 0.0))
        change = np.where(view.starting > 0, 0.0, change)
        return view.answer(view.replicas + change), SaturationState(view.now_s)

    def _spare(self, load: FloatArray, pods: FloatArray) -> FloatArray:
        """(G, W) threshold less utilisation of `pods` replicas; without replicas -inf."""
        shape = np.broadcast_shapes(load.shape, pods.shape)
        used = np.divide(load, pods, out=np.full(shape, np.inf), where=pods > 0)
        spare: FloatArray = column(self.saturated_ratio) - used
        return spare

    def _is_short(self, view: GridView, load: FloatArray) -> BoolArray:
        """Check whether spare is short or every replica saturated; never without any load."""
        spare = self._spare(load, view.ready)
        is_saturated = spare <= _GUARD
        is_below = spare < column(self.min_spare_ratio) - _GUARD
        is_short: BoolArray = (is_saturated | is_below) & (load > 0)
        return is_short

    def _is_safe_without_one(self, view: GridView, load: FloatArray) -> BoolArray:
        """Check whether one replica fewer would keep spare and enough unsaturated replicas."""
        rest = view.ready - 1.0
        spare = self._spare(load, rest)
        keeps_spare = spare >= column(self.min_spare_ratio) - _GUARD
        is_safe: BoolArray = keeps_spare & (spare > _GUARD) & (rest >= self.min_unsaturated)
        return is_safe
