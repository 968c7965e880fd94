"""Knative pod autoscaler (KPA): stable and panic windows over concurrency, in step form.

Written from the algorithm's description. What the step form changes:

* One decision per step instead of one every 2 s.
* Demand is known as one average per completed step, not in 1 s buckets. A window averages the part
  of the step averages that it overlaps, so a window no longer than a step collapses to the last
  completed step: with steps of 60 s or more the stable (60 s) and panic (6 s) averages are equal,
  and panic differs from stable operation by its memory only. Unknown steps are left out; a panic
  window without data reads as the stable one; a stable window without data means no action.
* Every revision is reachable, and its activation scale is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import GridView, Knob, column, count_settings
from services.simulator.policies.knobs import knob_value, require_within
from services.simulator.policies.view import RELATIVE_SLACK, BoolArray, FloatArray
from services.simulator.policies.windows import window_mean


@dataclass(frozen=True, slots=True)
class KpaState:
    """Memory of a KPA; None before the first decision.

    Attributes:
        panic_at_s: (G, W) when the panic test was last true, -inf outside panic.
        panic_peak: (G, W) largest count given during this panic, 0 outside panic.
        zero_since_s: (G, W) since when zero has been wanted, inf while it is not.
        recent: Counts wanted before bounds within the scale-down delay, oldest first.
    """

    panic_at_s: FloatArray | None = None
    panic_peak: FloatArray | None = None
    zero_since_s: FloatArray | None = None
    recent: tuple[tuple[float, FloatArray], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Kpa:
    """`n = ceil(stable average / target per pod)`; in panic never below what panic has given.

    Attributes:
        target_ratio: Target per pod as a share of its capacity: the knob.
        stable_window_s: Stable window W_s.
        panic_window_s: Panic window W_p.
        panic_threshold: Panic starts at this ratio of panic-wanted to ready pods.
        max_up_rate: At most this multiple of the ready pods.
        max_down_rate: At least the ready pods divided by this.
        scale_down_delay_s: The count is the largest wanted within this window.
        zero_grace_s: Zero is given only once it has been wanted for this long.
    """

    target_ratio: Knob = 0.7
    stable_window_s: float = 60.0
    panic_window_s: float = 6.0
    panic_threshold: float = 2.0
    max_up_rate: float = 1000.0
    max_down_rate: float = 2.0
    scale_down_delay_s: float = 0.0
    zero_grace_s: float = 30.0

    def __post_init__(self) -> None:
        """Check the settings."""
        require_within("target_ratio", self.target_ratio, 0.0)
        require_within("panic_window_s", self.panic_window_s, 0.0)
        require_within(
            "stable_window_s", self.stable_window_s, self.panic_window_s, is_low_open=False
        )
        require_within("panic_threshold", self.panic_threshold, 1.0)
        require_within("max_up_rate", self.max_up_rate, 1.0)
        require_within("max_down_rate", self.max_down_rate, 1.0)
        require_within("scale_down_delay_s", self.scale_down_delay_s, 0.0, is_low_open=False)
        require_within("zero_grace_s", self.zero_grace_s, 0.0, is_low_open=False)

    @property
    def name(self) -> str:
        """Short name used in tables."""
        return "kpa"

    @property
    def n_settings(self) -> int:
        """G."""
        return count_settings(self.target_ratio)

    def label(self, setting: int) -> str:
        """The target of one setting."""
        return f"target {knob_value(self.target_ratio, setting):g} of capacity"

    def initial_state(self) -> KpaState:
        """Nothing seen yet."""
        return KpaState()

    def decide(self, view: GridView, state: KpaState) -> tuple[FloatArray, KpaState]:
        """One decision; where the stable window holds no data, the spec and memory stand."""
        panic_at_s, panic_peak, zero_since_s = _memory(view, state)
        stable = window_mean(view.demand, view.step_s, self.stable_window_s)
        is_known = np.broadcast_to(np.isfinite(stable), view.shape)
        for_stable, for_panic = self._wanted(view, stable)

        ready = np.maximum(view.ready, 1.0)
        is_panic, panic_at_s = self._panic(view.now_s, for_panic / ready, panic_at_s)
        lower, upper = np.floor(ready / self.max_down_rate), np.ceil(self.max_up_rate * ready)
        wanted = np.clip(for_stable, lower, upper)
        panicked = np.fmax(np.fmax(wanted, np.clip(for_panic, lower, upper)), panic_peak)
        wanted = np.where(is_panic & is_known, panicked, wanted)
        panic_peak = np.where(is_panic, panicked, 0.0)

        recent = self._recent(view.now_s, state, wanted)
        for _, earlier in recent:
            wanted = np.where(is_known, np.fmax(wanted, earlier), wanted)
        wanted, zero_since_s = self._graced(view, wanted, zero_since_s)
        return view.answer(wanted), KpaState(panic_at_s, panic_peak, zero_since_s, recent)

    def _wanted(self, view: GridView, stable: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(G, W) pods that the stable and the panic average ask for, before any clamp."""
        panic = window_mean(view.demand, view.step_s, self.panic_window_s)
        panic = np.where(np.isfinite(panic), panic, stable)
        per_pod = column(self.target_ratio) * view.capacity
        slack = 1.0 - RELATIVE_SLACK
        return np.ceil(stable / per_pod * slack), np.ceil(panic / per_pod * slack)

    def _panic(
        self, now_s: float, excess: FloatArray, panic_at_s: FloatArray
    ) -> tuple[BoolArray, FloatArray]:
        """Check whether each element is in panic now, and when its test was last true."""
        panic_at_s = np.where(excess >= self.panic_threshold, now_s, panic_at_s)
        is_panic = now_s - panic_at_s <= self.stable_window_s
        return is_panic, np.where(is_panic, panic_at_s, -np.inf)

    def _recent(
        self, now_s: float, state: KpaState, wanted: FloatArray
    ) -> tuple[tuple[float, FloatArray], ...]:
        if self.scale_down_delay_s == 0:
            return ()
        since_s = now_s - self.scale_down_delay_s
        return (*(entry for entry in state.recent if entry[0] > since_s), (now_s, wanted))

    def _graced(
        self, view: GridView, wanted: FloatArray, zero_since_s: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The last pod stays until zero has been wanted for the whole grace."""
        since_s = np.where(wanted == 0, np.minimum(zero_since_s, view.now_s), np.inf)
        since_s = np.where(np.isfinite(wanted), since_s, zero_since_s)
        is_early = (wanted == 0) & (view.now_s - since_s < self.zero_grace_s)
        return np.where(is_early, np.minimum(view.replicas, 1.0), wanted), since_s


def _memory(view: GridView, state: KpaState) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The arrays of `state`; a start with more than one ready pod begins in panic."""
    if state.panic_at_s is None or state.panic_peak is None or state.zero_since_s is None:
        has_pods = view.ready > 1
        return (
            np.where(has_pods, view.now_s, -np.inf),
            np.where(has_pods, view.ready, 0.0),
            np.full(view.shape, np.inf),
        )
    return state.panic_at_s, state.panic_peak, state.zero_since_s
