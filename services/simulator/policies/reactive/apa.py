"""AIBrix pod autoscaler (APA): ratio to target with tolerances, rates and cooldowns, in step form.

Written from the algorithm's description. Readings that it leaves open:

* Use per pod is the last completed step's demand over the ready pods' capacity, so the pods that
  the ratio multiplies are the ready ones, at least one.
* A decision upwards never lowers the count and one downwards never raises it. While starts are
  under way, the ready pods alone may ask for fewer than the spec that is already on its way.
* A cooldown runs from the last change in either direction.

The program decides every few seconds, and counts pods that do not serve yet to what it may double.
So a decision of a longer step may go as far as decisions of `SYNC_S`, or a cooldown where that is
longer, add up to within it. A step of that or less is one decision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import GridView, Knob, column, count_settings
from services.simulator.policies.knobs import knob_value, require_within
from services.simulator.policies.reactive.hpa_limits import SYNC_S, SyncSpan
from services.simulator.policies.view import RELATIVE_SLACK, FloatArray

_GUARD = 1e-9


@dataclass(frozen=True, slots=True)
class ApaState:
    """Memory of the policy.

    Attributes:
        changed_at_s: (G, W) when the count last changed, -inf if never; None before the first
            decision.
    """

    changed_at_s: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Apa:
    """`ceil(pods * use / target)` outside a dead band, at most doubled and at least halved.

    Attributes:
        target_ratio: Target use per pod as a share of its capacity: the knob.
        up_tolerance: Nothing changes up to this much above the target, relative.
        down_tolerance: Nothing changes down to this much below the target, relative.
        max_up_rate: At most this multiple of the pods, each `SYNC_S`.
        max_down_rate: At least the pods divided by this, each `SYNC_S`.
        up_cooldown_s: No increase within this time of the last change.
        down_cooldown_s: No decrease within this time of the last change.
    """

    target_ratio: Knob = 0.7
    up_tolerance: float = 0.1
    down_tolerance: float = 0.1
    max_up_rate: float = 2.0
    max_down_rate: float = 2.0
    up_cooldown_s: float = 0.0
    down_cooldown_s: float = 300.0

    def __post_init__(self) -> None:
        """Check the settings."""
        require_within("target_ratio", self.target_ratio, 0.0)
        require_within("up_tolerance", self.up_tolerance, 0.0, is_low_open=False)
        require_within("down_tolerance", self.down_tolerance, 0.0, 1.0, is_low_open=False)
        require_within("max_up_rate", self.max_up_rate, 1.0)
        require_within("max_down_rate", self.max_down_rate, 1.0)
        require_within("up_cooldown_s", self.up_cooldown_s, 0.0, is_low_open=False)
        require_within("down_cooldown_s", self.down_cooldown_s, 0.0, is_low_open=False)

    @property
    def name(self) -> str:
        """Short name used in tables."""
        return "apa"

    @property
    def n_settings(self) -> int:
        """G."""
        return count_settings(self.target_ratio)

    def label(self, setting: int) -> str:
        """The target of one setting."""
        return f"target {knob_value(self.target_ratio, setting):g} of capacity"

    def initial_state(self) -> ApaState:
        """No change yet."""
        return ApaState()

    def decide(self, view: GridView, state: ApaState) -> tuple[FloatArray, ApaState]:
        """One decision; the spec where the last step's demand is unknown."""
        changed_at_s = state.changed_at_s
        if changed_at_s is None:
            changed_at_s = np.full(view.shape, -np.inf)
        idle_s = view.now_s - changed_at_s
        raised, lowered = self._bounds_on_change(view)
        wanted = np.where(idle_s >= self.up_cooldown_s, raised, view.replicas)
        wanted = np.where(
            (lowered < view.replicas) & (idle_s >= self.down_cooldown_s), lowered, wanted
        )
        answer = view.answer(wanted)
        is_changed = answer != view.replicas
        return answer, ApaState(np.where(is_changed, view.now_s, changed_at_s))

    def _bounds_on_change(self, view: GridView) -> tuple[FloatArray, FloatArray]:
        """(G, W) counts that an increase and a decrease would give; the spec where none is due."""
        pods = np.maximum(view.ready, 1.0)
        ratio = view.last_demand() / (pods * view.capacity) / column(self.target_ratio)
        proposal = np.ceil(pods * ratio * (1.0 - RELATIVE_SLACK))
        span = SyncSpan(view.now_s, view.step_s)
        most = least = pods
        for _ in range(span.n_syncs(max(SYNC_S, self.up_cooldown_s))):
            most = np.ceil(self.max_up_rate * most)
            if not np.any(most < proposal):
                break
        for _ in range(span.n_syncs(max(SYNC_S, self.down_cooldown_s))):
            least = np.floor(least / self.max_down_rate)
            if not np.any(least > proposal):
                break
        up, down = np.minimum(proposal, most), np.maximum(proposal, least)
        raised = np.where(
            ratio > 1.0 + self.up_tolerance + _GUARD, np.maximum(up, view.replicas), view.replicas
        )
        lowered = np.where(ratio < 1.0 - self.down_tolerance - _GUARD, down, view.replicas)
        return raised, lowered
