"""Autopilot's horizontal recommender with its stabilisers (Rzadca et al., EuroSys 2020).

[from memory] Demand is averaged over five minutes (one step where steps are longer). The peak or
p95 of these averages over a look-back, divided by what a replica should carry, is the raw count.
Four stabilisers follow in this order: deferred downscaling, slow decay, small changes dropped,
growth limited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView, Knob, column, count_settings
from services.simulator.policies.history import (
    NEVER_S,
    Recent,
    distinct_values,
    duration_text,
    largest_by_setting,
    nothing_recent,
    unseen_columns,
)
from services.simulator.policies.knobs import knob_value, require_within
from services.simulator.policies.reactive.autopilot import steps_per_window, window_numbers
from services.simulator.policies.trailing_percentile import known_percentiles

DECAY_HALF_LIFE_S = 3600.0
"""About half of a gap downwards is released per hour."""

_SLACK = 1e-9
_TICK = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class AutopilotHState:
    """Memory of `AutopilotH`.

    Attributes:
        seen_until_s: End of the last window whose average was taken.
        averages: (W, n) averages of past windows, oldest first; NaN where nothing was observed.
        recommended: (n, D, W) statistics of past windows, by distinct look-back.
        level: (G, W) replicas after deferral and decay, not yet whole; NaN before the first.
        decided_s: Time of the last decision.
    """

    seen_until_s: float
    averages: FloatArray | None
    recommended: Recent | None
    level: FloatArray | None
    decided_s: float


@dataclass(frozen=True, slots=True, eq=False)
class AutopilotH:
    """Horizontal recommender: `S / (target_ratio * c)`, then the stabilisers.

    1. Deferred downscaling: the largest raw count of the last `defer_s`. It begins with the first
       decision: there were no recommendations before.
    2. Slow decay: what lies between the last level and a lower count shrinks by half per hour,
       at every step (the original steps down every five minutes). The first level is the spec that
       was found. Less than half a replica of gap is let go.
    3. A change smaller than `min_change_ratio` of the spec is dropped.
    4. Growth: at most `ready / (1 - max_initialising_ratio)` replicas, so that no larger share of
       them initialises; one start may always be under way, and a spec is not cut by this rule.

    Attributes:
        target_ratio: Target utilisation of a replica's capacity.
        statistic: `max` or `p95` of the averages; the same in all settings.
        lookback_s: Look-back of the statistic.
        defer_s: Time for which a scale-down is deferred; 0 for none.
        min_change_ratio: Changes below this share of the spec are dropped.
        max_initialising_ratio: Largest share of replicas that may initialise at once, in [0, 1);
            the description gives no number.
        name: Name in tables.
    """

    target_ratio: Knob = 0.7
    statistic: Literal["max", "p95"] = "max"
    lookback_s: Knob = 259_200.0
    defer_s: Knob = 172_800.0
    min_change_ratio: Knob = 0.1
    max_initialising_ratio: Knob = 0.5
    name: str = "autopilot_h"

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_within("target_ratio", self.target_ratio, 0.0)
        require_within("lookback_s", self.lookback_s, 0.0)
        require_within("defer_s", self.defer_s, 0.0, is_low_open=False)
        require_within("min_change_ratio", self.min_change_ratio, 0.0, is_low_open=False)
        require_within(
            "max_initialising_ratio", self.max_initialising_ratio, 0.0, 0.999, is_low_open=False
        )
        if self.statistic not in ("max", "p95"):
            raise ValueError(f"statistic={self.statistic} must be max or p95")
        _ = self.n_settings

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(
            self.target_ratio,
            self.lookback_s,
            self.defer_s,
            self.min_change_ratio,
            self.max_initialising_ratio,
        )

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        return (
            f"{self.statistic} of {duration_text(knob_value(self.lookback_s, setting))} "
            f"at {100 * knob_value(self.target_ratio, setting):.4g} %, "
            f"deferred {duration_text(knob_value(self.defer_s, setting))}"
        )

    def initial_state(self) -> AutopilotHState:
        """Nothing seen."""
        return AutopilotHState(NEVER_S, None, None, None, NEVER_S)

    def decide(self, view: GridView, state: AutopilotHState) -> tuple[FloatArray, AutopilotHState]:
        """Replicas after all stabilisers; hold where no window has been observed."""
        state = self._observe(view, state)
        raw = self._deferred(view, state) / (column(self.target_ratio) * view.capacity)
        target = np.ceil(raw * (1.0 - _SLACK))
        level = self._decayed(view, target, state)
        released = np.ceil(level - target - 0.5)
        wanted = target + np.maximum(released, 0.0)
        change = np.abs(wanted - view.replicas)
        is_small = change < column(self.min_change_ratio) * view.replicas * (1.0 - _SLACK)
        wanted = np.where(is_small, view.replicas, np.minimum(wanted, self._growth_limit(view)))
        after = AutopilotHState(
            state.seen_until_s, state.averages, state.recommended, level, view.now_s
        )
        return view.answer(wanted), after

    def _observe(self, view: GridView, state: AutopilotHState) -> AutopilotHState:
        """Take the averages and the statistics of windows completed since the last decision."""
        averages, ended_s = completed_averages(view, state.seen_until_s)
        if averages.shape[1] == 0:
            return state
        lookbacks = distinct_values(self.lookback_s)[0]
        window_s = steps_per_window(view.step_s) * view.step_s
        n_kept = max(1, int(lookbacks.max() // window_s))
        known = averages
        if state.averages is not None:
            known = np.concatenate([state.averages, averages], axis=1)
        known = known[:, max(0, known.shape[1] - n_kept) :]
        percentile = np.array([100.0 if self.statistic == "max" else 95.0])
        statistics = np.concatenate(
            [
                known_percentiles(known[:, -max(1, int(s // window_s)) :], percentile)
                for s in lookbacks
            ]
        )
        recommended = state.recommended or nothing_recent(*statistics.shape)
        recommended = recommended.add(ended_s, statistics, float(np.max(self.defer_s)))
        return AutopilotHState(ended_s, known, recommended, state.level, state.decided_s)

    def _deferred(self, view: GridView, state: AutopilotHState) -> FloatArray:
        """(G, W) largest statistic of the deferral; NaN where nothing was observed."""
        if state.recommended is None:
            return np.full(view.shape, np.nan)
        rows = distinct_values(self.lookback_s)[1]
        return largest_by_setting(state.recommended, rows, self.defer_s, view.shape[0])

    def _decayed(self, view: GridView, target: FloatArray, state: AutopilotHState) -> FloatArray:
        """(G, W) the last level moved towards the target: up at once, down by half per hour."""
        known = view.replicas if state.level is None else state.level
        elapsed_s = view.step_s if np.isinf(state.decided_s) else view.now_s - state.decided_s
        share = np.exp2(-elapsed_s / DECAY_HALF_LIFE_S)
        last = np.clip(known, view.min_replicas, view.max_replicas)
        level = np.where(target >= last, target, target + (last - target) * share)
        held: FloatArray = np.where(np.isnan(target), last, level)
        return held

    def _growth_limit(self, view: GridView) -> FloatArray:
        by_share = np.floor(view.ready / (1.0 - column(self.max_initialising_ratio)) + _SLACK)
        limit: FloatArray = np.maximum(np.maximum(by_share, view.ready + 1.0), view.replicas)
        return limit


def completed_averages(view: GridView, seen_until_s: float) -> tuple[FloatArray, float]:
    """Means of the five-minute windows that ended after `seen_until_s`.

    Windows start at multiples of their length since the epoch. The first may lack steps that lie
    before the history; what is unknown is left out of a mean.

    Returns:
        (W, n) means, NaN where a window holds no observation; and the end of the last one, in
        epoch seconds (`seen_until_s` if there is none).
    """
    n_steps = steps_per_window(view.step_s)
    window_s = n_steps * view.step_s
    new = unseen_columns(view, seen_until_s)
    windows = window_numbers(view, new.shape[1])
    open_window = np.floor(view.now_s / window_s + _TICK)
    is_complete = windows < open_window
    windows, new = windows[is_complete], new[:, is_complete]
    if windows.size == 0:
        return np.empty((view.demand.shape[0], 0)), seen_until_s
    first = np.flatnonzero(np.diff(windows, prepend=-np.inf))
    is_known = np.isfinite(new)
    total = np.add.reduceat(np.where(is_known, new, 0.0), first, axis=1)
    n_known = np.add.reduceat(is_known.astype(float), first, axis=1)
    means = np.divide(total, n_known, out=np.full(total.shape, np.nan), where=n_known > 0)
    return means, float(open_window * window_s)
