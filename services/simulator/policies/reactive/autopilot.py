"""Autopilot's moving-window recommender (Rzadca et al., EuroSys 2020), on a service's total demand.

[paper, partly from memory] Usage is put into windows of five minutes (one step where steps are
longer), the windows weigh `2^(-age / half_life)`, and a statistic of the weighted usage plus a
margin is the recommendation. What is published is the largest recommendation of the last hour.
Here the statistic sizes a pool, `n = ceil((1 + margin) * statistic / capacity)`.

Each workload has a histogram with geometric buckets, as the original does. It is updated, never
recomputed: a decision costs the same after a week as after an hour. The original's margin shrinks
with the size of the limit; the description gives no formula, so that here it does not.
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
from services.simulator.policies.view import IntArray

WINDOW_S = 300.0
"""Length of an aggregation window."""

N_BUCKETS = 800
BUCKET_RATIO = 1.01
"""Buckets reach from twice the demand of `max_replicas` down to 1/2800 of that."""

_SLACK = 1e-12
_TICK = 1e-6
"""Rounding of a step's start, as a share of a window."""

Statistic = Literal["peak", "average", "load_adjusted"]


def steps_per_window(step_s: float) -> int:
    """Whole steps in an aggregation window, at least one."""
    return max(1, int(WINDOW_S // step_s))


def window_numbers(view: GridView, n_columns: int) -> FloatArray:
    """(n,) number since the epoch of the window in which each of the last n columns began."""
    starts_s = view.now_s - view.step_s * np.arange(n_columns, 0, -1)
    numbers: FloatArray = np.floor(starts_s / (steps_per_window(view.step_s) * view.step_s) + _TICK)
    return numbers


@dataclass(frozen=True, slots=True, eq=False)
class DecayedHistogram:
    """Weighted histograms of demand, one per half-life and workload.

    Attributes:
        top: (W,) demand at the upper edge of the last bucket.
        load: (D, W, K) decayed sum of the demand in each bucket.
        count: (D, W, K) decayed number of samples in each bucket; the first holds zeros.
        window: Number of the newest window, counted from the epoch.
    """

    top: FloatArray
    load: FloatArray
    count: FloatArray
    window: int

    @classmethod
    def empty(cls, view: GridView, n_half_lives: int) -> DecayedHistogram:
        """Without samples, with buckets to fit the workloads of `view`."""
        top = 2.0 * view.capacity * np.maximum(view.max_replicas, 1.0)
        nothing = np.zeros((n_half_lives, top.size, N_BUCKETS))
        return cls(top, nothing, nothing, 0)

    def add(
        self, demand: FloatArray, windows: FloatArray, decay_per_window: FloatArray
    ) -> DecayedHistogram:
        """With samples added, all weights taken relative to the newest window.

        Args:
            demand: (W, n) samples, NaN where unknown.
            windows: (n,) numbers of their windows, ascending, not before `self.window`.
            decay_per_window: (D,) factors of a weight from one window to the next.
        """
        if windows.size == 0:
            return self
        newest = int(windows[-1])
        n_workloads, K = self.top.size, N_BUCKETS
        workload, sample = np.nonzero(np.isfinite(demand))
        value = np.maximum(demand[workload, sample], 0.0)
        bucket = _bucket(value, self.top[workload])
        slot = workload * K + bucket
        load, count = np.empty_like(self.load), np.empty_like(self.count)
        for row, decay in enumerate(decay_per_window):
            weight = decay ** (newest - windows[sample])
            aged = decay ** float(newest - self.window)
            added = np.bincount(slot, weight, n_workloads * K).reshape(n_workloads, K)
            count[row] = self.count[row] * aged + added
            added = np.bincount(slot, weight * value, n_workloads * K).reshape(n_workloads, K)
            load[row] = self.load[row] * aged + added
        return DecayedHistogram(self.top, load, count, newest)

    def average(self) -> FloatArray:
        """(D, W) weighted mean of the samples; NaN without any."""
        return _ratio(self.load.sum(axis=-1), self.count.sum(axis=-1))

    def load_adjusted(self, percentiles: FloatArray) -> FloatArray:
        """Demand below which the given share of the weighted *load* lies.

        A bucket weighs its demand times its decayed count, and stands for the mean of its samples.

        Args:
            percentiles: (P,) in [0, 100].

        Returns:
            (D, P, W); 0 if all samples are zero, NaN without samples.
        """
        below = np.cumsum(self.load, axis=-1)
        total = below[..., -1]
        answer = np.empty((total.shape[0], percentiles.size, total.shape[1]))
        rows = np.indices(total.shape)
        for i, percentile in enumerate(percentiles):
            asked = np.maximum(total * percentile / 100.0 * (1.0 - _SLACK), np.finfo(float).tiny)
            bucket = np.minimum((below < asked[..., None]).sum(axis=-1), N_BUCKETS - 1)
            slot = (rows[0], rows[1], bucket)
            answer[:, i] = _ratio(self.load[slot], self.count[slot])
        is_idle = (total <= 0.0)[:, None, :]
        is_empty = (self.count.sum(axis=-1) <= 0.0)[:, None, :]
        return np.where(is_empty, np.nan, np.where(is_idle, 0.0, answer))


def _bucket(value: FloatArray, top: FloatArray) -> IntArray:
    """Bucket of each value: 0 for zero, else by the logarithm of its distance from the top."""
    is_zero = value <= 0.0
    from_top = np.log(np.where(is_zero, 1.0, top / np.where(is_zero, 1.0, value)))
    bucket = N_BUCKETS - 1 - np.floor(from_top / np.log(BUCKET_RATIO))
    whole: IntArray = np.where(is_zero, 0, np.clip(bucket, 1, N_BUCKETS - 1)).astype(np.int64)
    return whole


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    ratio: FloatArray = np.divide(
        part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0.0
    )
    return ratio


@dataclass(frozen=True, slots=True, eq=False)
class AutopilotMWState:
    """Memory of `AutopilotMW`.

    Attributes:
        seen_until_s: End of the last step that entered the histogram.
        histogram: None before the first decision, and for the peak statistic.
        published: (n, D, W) statistics of the last decisions, by distinct setting.
    """

    seen_until_s: float
    histogram: DecayedHistogram | None
    published: Recent | None


@dataclass(frozen=True, slots=True, eq=False)
class AutopilotMW:
    """Moving-window recommender: `n = ceil((1 + margin) * max over hold_s of statistic / c)`.

    Statistics: `load_adjusted` is the percentile of the decayed load (serving CPU), `average` the
    decayed mean (batch CPU), `peak` the largest step of the last `peak_window_s` (memory). Steps
    not observed are left out. A workload that was never observed holds.

    Attributes:
        percentile: Of the load, in [0, 100]; read by `load_adjusted` only.
        half_life_s: Age at which a window weighs half; 12 h for CPU, 48 h for memory.
        margin: Relative headroom; 0.10–0.15 in the original.
        hold_s: The largest recommendation younger than this is published.
        statistic: Which one; the same in all settings.
        peak_window_s: Horizon of `peak`; our choice, the description says "last N samples".
        name: Name in tables.
    """

    percentile: Knob = 95.0
    half_life_s: Knob = 43_200.0
    margin: Knob = 0.12
    hold_s: Knob = 3600.0
    statistic: Statistic = "load_adjusted"
    peak_window_s: float = 86_400.0
    name: str = "autopilot_mw"

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_within("percentile", self.percentile, 0.0, 100.0, is_low_open=False)
        require_within("half_life_s", self.half_life_s, 0.0)
        require_within("margin", self.margin, -0.5)
        require_within("hold_s", self.hold_s, 0.0, is_low_open=False)
        require_within("peak_window_s", self.peak_window_s, 0.0)
        if self.statistic not in ("peak", "average", "load_adjusted"):
            raise ValueError(f"statistic={self.statistic} must be peak, average or load_adjusted")
        count_settings(self.percentile, self.half_life_s, self.margin, self.hold_s)

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(self.percentile, self.half_life_s, self.margin, self.hold_s)

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        what = self.statistic.replace("_", "-")
        if self.statistic == "load_adjusted":
            what = f"{what} p{knob_value(self.percentile, setting):.4g}"
        if self.statistic != "peak":
            what += f", half-life {duration_text(knob_value(self.half_life_s, setting))}"
        return (
            f"{what} + {100 * knob_value(self.margin, setting):.4g} %, "
            f"held {duration_text(knob_value(self.hold_s, setting))}"
        )

    def initial_state(self) -> AutopilotMWState:
        """Nothing seen."""
        return AutopilotMWState(NEVER_S, None, None)

    def decide(
        self, view: GridView, state: AutopilotMWState
    ) -> tuple[FloatArray, AutopilotMWState]:
        """Replicas for the largest recent recommendation."""
        half_lives, of_half_life = distinct_values(self.half_life_s)
        histogram = None if self.statistic == "peak" else self._learn(view, state, half_lives)
        statistics, row = self._statistics(view, histogram, of_half_life)
        published = state.published or nothing_recent(*statistics.shape)
        published = published.add(view.now_s, statistics, float(np.max(self.hold_s)))
        level = largest_by_setting(published, row, self.hold_s, view.shape[0])
        wanted = view.replicas_for(level * (1.0 + column(self.margin)))
        return view.answer(wanted), AutopilotMWState(view.now_s, histogram, published)

    def _learn(
        self, view: GridView, state: AutopilotMWState, half_lives: FloatArray
    ) -> DecayedHistogram:
        histogram = state.histogram or DecayedHistogram.empty(view, half_lives.size)
        new = unseen_columns(view, state.seen_until_s)
        decay = np.exp2(-steps_per_window(view.step_s) * view.step_s / half_lives)
        return histogram.add(new, window_numbers(view, new.shape[1]), decay)

    def _statistics(
        self, view: GridView, histogram: DecayedHistogram | None, of_half_life: IntArray
    ) -> tuple[FloatArray, IntArray]:
        """(D, W) distinct statistics now, and (G,) or (1,) which of them a setting asks for."""
        if histogram is None:
            n_peak = max(1, int(self.peak_window_s // view.step_s))
            recent = view.demand[:, max(0, view.demand.shape[1] - n_peak) :]
            known = np.where(np.isfinite(recent), recent, np.nan)
            peak = np.fmax.reduce(known, axis=1, initial=np.nan)
            return peak[None], np.zeros(1, dtype=np.int64)
        if self.statistic == "average":
            return histogram.average(), of_half_life
        percentiles, of_percentile = distinct_values(self.percentile)
        levels = histogram.load_adjusted(percentiles)
        n_rows = levels.shape[0] * levels.shape[1]
        return levels.reshape(n_rows, -1), of_half_life * percentiles.size + of_percentile
