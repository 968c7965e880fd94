"""Ray Serve's autoscaling by ongoing requests, in step form.

Written from the algorithm's description. What the step form changes:

* One decision per step. Ongoing requests are the demand, averaged over the look-back window; a
  look-back no longer than a step is the last completed step.
* A direction seen in a completed step has held for that step, so each step of known demand adds its
  length to the time that the direction has persisted. An unknown step neither adds to it nor ends
  it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import GridView, Knob, column, count_settings
from services.simulator.policies.knobs import knob_value, require_within
from services.simulator.policies.view import RELATIVE_SLACK, BoolArray, FloatArray
from services.simulator.policies.windows import window_mean

_SLACK = 1.0 - RELATIVE_SLACK


@dataclass(frozen=True, slots=True)
class RayServeState:
    """Memory of the policy.

    Attributes:
        persisted_s: (G, W) seconds for which more (> 0) or fewer (< 0) replicas have been wanted
            since the last change; None before the first decision.
    """

    persisted_s: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RayServe:
    """`n + factor * (ongoing / target_ongoing - n)`, applied once the direction has persisted.

    Attributes:
        target_ratio: Target of ongoing requests per replica as a share of its capacity: the knob.
        look_back_s: Window over which ongoing requests are averaged.
        upscale_delay_s: More replicas are given once wanted for longer than this.
        downscale_delay_s: Fewer replicas are given once wanted for longer than this.
        upscale_factor: Share of the gap that is closed upwards.
        downscale_factor: Share of the gap that is closed downwards.
    """

    target_ratio: Knob = 0.7
    look_back_s: float = 30.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    upscale_factor: Knob = 1.0
    downscale_factor: Knob = 1.0

    def __post_init__(self) -> None:
        """Check the settings."""
        require_within("target_ratio", self.target_ratio, 0.0)
        require_within("look_back_s", self.look_back_s, 0.0)
        require_within("upscale_delay_s", self.upscale_delay_s, 0.0, is_low_open=False)
        require_within("downscale_delay_s", self.downscale_delay_s, 0.0, is_low_open=False)
        require_within("upscale_factor", self.upscale_factor, 0.0)
        require_within("downscale_factor", self.downscale_factor, 0.0)

    @property
    def name(self) -> str:
        """Short name used in tables."""
        return "ray_serve"

    @property
    def n_settings(self) -> int:
        """G."""
        return count_settings(self.target_ratio, self.upscale_factor, self.downscale_factor)

    def label(self, setting: int) -> str:
        """Target and factors of one setting."""
        return (
            f"target {knob_value(self.target_ratio, setting):g} of capacity, "
            f"factors {knob_value(self.upscale_factor, setting):g} up, "
            f"{knob_value(self.downscale_factor, setting):g} down"
        )

    def initial_state(self) -> RayServeState:
        """No direction yet."""
        return RayServeState()

    def decide(self, view: GridView, state: RayServeState) -> tuple[FloatArray, RayServeState]:
        """One decision; the spec where the look-back holds no known demand."""
        scaled, is_waking = self._scaled(view)
        direction = np.sign(scaled - view.replicas)
        persisted_s = np.zeros(view.shape) if state.persisted_s is None else state.persisted_s
        goes_on = direction * persisted_s > 0
        longer_s = np.where(goes_on, persisted_s, 0.0) + direction * view.step_s
        persisted_s = np.where(np.isfinite(direction), longer_s, persisted_s)

        is_up = (persisted_s > self.upscale_delay_s) | is_waking
        is_due = is_up | (persisted_s < -self.downscale_delay_s)
        wanted = np.where(is_due, scaled, view.replicas)
        return view.answer(wanted), RayServeState(np.where(is_due, 0.0, persisted_s))

    def _scaled(self, view: GridView) -> tuple[FloatArray, BoolArray]:
        """(G, W) counts within bounds before any delay, NaN unknown; and where 0 has to wake up."""
        ongoing = window_mean(view.demand, view.step_s, self.look_back_s)
        desired = ongoing / (column(self.target_ratio) * view.capacity)
        up, down = column(self.upscale_factor), column(self.downscale_factor)
        current = view.replicas
        factor = np.where(desired > current, up, down)
        # current + factor * (desired - current), without the cancellation near zero
        scaled = np.ceil(((1.0 - factor) * current + factor * desired) * _SLACK)
        needed = np.ceil(desired * _SLACK)
        # rounding up a part of a downward gap would keep the count for ever
        is_stuck = (needed < current) & (scaled == current)
        scaled = np.where(is_stuck, current - 1.0, scaled)

        is_waking = (current == 0) & (desired > 0)
        scaled = np.where(is_waking, np.maximum(np.ceil(up), needed), scaled)
        return np.clip(scaled, view.min_replicas, view.max_replicas), is_waking
