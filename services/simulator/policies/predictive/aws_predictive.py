"""AWS predictive scaling (ForecastAndScale) over target tracking.

A forecast of the hourly load, refreshed every six hours, only raises the minimum capacity; a
dynamic policy may ask for more, and scale-in comes from the dynamic policy alone.

The original's forecaster is closed: this one is a stand-in. It is the mean load of the same hour
of the week over the last two weeks, and of the same hour of the day where less than a week is
known. The capacity for an hour is ordered ahead of it by a buffer. Bounds are honoured
(HonorMaxCapacity); the option that lifts the maximum is left out.

The dynamic policy is target tracking, `ceil(last demand / (target_ratio * capacity))`: up at once;
down only if nothing was changed for the cooldown (our choice, 300 s).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView, Knob, column, count_settings
from services.simulator.policies.history import duration_text
from services.simulator.policies.knobs import knob_value, require_within

HOUR_S = 3600.0
HOURS_PER_WEEK = 168
HOURS_PER_DAY = 24

_TICK_S = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class AwsPredictiveState:
    """Memory of `AwsPredictive`.

    Attributes:
        refreshed_s: When the forecast was made.
        load: (W, 168) forecast load by hour of the week, counted from the epoch in UTC (which was
            a Thursday); NaN where there is none. None before the first decision.
        changed_s: (G, W) when the count was last changed.
    """

    refreshed_s: float = -np.inf
    load: FloatArray | None = None
    changed_s: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AwsPredictive:
    """`n = max(ceil(forecast load / (target_ratio * c)), target tracking)`.

    A boundary serves the hours that begin before the next boundary plus the buffer, so that steps
    longer than the buffer order early rather than late. An unknown demand holds the dynamic part;
    the forecast may still raise it.

    Attributes:
        target_ratio: Target utilisation, for the forecast and for target tracking.
        buffer_s: How long before an hour its capacity is ordered; below one hour.
        scale_in_cooldown_s: Time without change before target tracking may scale in.
        refresh_s: Age at which a forecast is made anew.
        history_s: History that a forecast is made from.
        name: Name in tables.
    """

    target_ratio: Knob = 0.6
    buffer_s: Knob = 300.0
    scale_in_cooldown_s: Knob = 300.0
    refresh_s: float = 21_600.0
    history_s: float = 1_209_600.0
    name: str = "aws_predictive"

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_within("target_ratio", self.target_ratio, 0.0)
        require_within("buffer_s", self.buffer_s, 0.0, HOUR_S - 1.0, is_low_open=False)
        require_within("scale_in_cooldown_s", self.scale_in_cooldown_s, 0.0, is_low_open=False)
        require_within("refresh_s", self.refresh_s, 0.0)
        require_within("history_s", self.history_s, HOURS_PER_DAY * HOUR_S, is_low_open=False)
        _ = self.n_settings

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(self.target_ratio, self.buffer_s, self.scale_in_cooldown_s)

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        return (
            f"target {100 * knob_value(self.target_ratio, setting):.4g} %, "
            f"{duration_text(knob_value(self.buffer_s, setting))} ahead"
        )

    def initial_state(self) -> AwsPredictiveState:
        """Neither forecast nor change."""
        return AwsPredictiveState()

    def decide(
        self, view: GridView, state: AwsPredictiveState
    ) -> tuple[FloatArray, AwsPredictiveState]:
        """The larger of the forecast's floor and target tracking."""
        load, refreshed_s = state.load, state.refreshed_s
        if load is None or view.now_s - refreshed_s >= self.refresh_s - _TICK_S:
            load, refreshed_s = weekly_load(view, self.history_s), view.now_s
        changed_s = np.full(view.shape, -np.inf) if state.changed_s is None else state.changed_s
        target = column(self.target_ratio)
        floor = view.replicas_for(self._ahead(view, load) / target)
        dynamic = view.replicas_for(view.last_demand() / target)
        dynamic = np.where(np.isnan(dynamic), view.replicas, dynamic)
        wanted = view.answer(np.fmax(floor, dynamic))
        is_cooling = view.now_s - changed_s < column(self.scale_in_cooldown_s) - _TICK_S
        held = np.maximum(wanted, view.answer(view.replicas))
        wanted = np.where(is_cooling, held, wanted)
        changed_s = np.where(wanted != view.replicas, view.now_s, changed_s)
        return wanted, AwsPredictiveState(refreshed_s, load, changed_s)

    def _ahead(self, view: GridView, load: FloatArray) -> FloatArray:
        """(G or 1, W) largest forecast of the hours that this boundary serves."""
        first = int(np.floor((view.now_s + _TICK_S) / HOUR_S))
        until_s = view.now_s + view.step_s + np.atleast_1d(np.asarray(self.buffer_s, dtype=float))
        last = np.ceil((until_s - _TICK_S) / HOUR_S).astype(np.int64) - 1
        hours = np.arange(first, max(first, int(last.max())) + 1)
        peaks = np.fmax.accumulate(load[:, hours % HOURS_PER_WEEK], axis=1)
        served: FloatArray = peaks[:, np.maximum(last - first, 0)].T
        return served


def weekly_load(view: GridView, history_s: float) -> FloatArray:
    """Forecast of the hourly load by hour of the week: seasonal-naive over the last weeks.

    Uses complete hours with an observation. Hours of the week without one take the mean of their
    hour of the day, as all do where the known hours span less than a week.

    Args:
        view: The demand so far.
        history_s: How far back to look, in seconds.

    Returns:
        (W, 168), by hours since the epoch modulo 168; NaN throughout with less than 24 known
        hours, and where even the hour of the day was never observed.

    Raises:
        ValueError: If a step is longer than an hour.
    """
    if view.step_s > HOUR_S:
        raise ValueError(f"step_s={view.step_s} must be <= {HOUR_S:g}: the forecast is hourly")
    means, hours = _hourly_means(view, history_s)
    is_known = np.isfinite(means)
    by_week = _slot_means(means, hours % HOURS_PER_WEEK, HOURS_PER_WEEK)
    by_day = _slot_means(means, hours % HOURS_PER_DAY, HOURS_PER_DAY)
    by_day = by_day[:, np.arange(HOURS_PER_WEEK) % HOURS_PER_DAY]
    n_known = is_known.sum(axis=1)
    first = np.where(is_known, hours, np.inf).min(axis=1, initial=np.inf)
    last = np.where(is_known, hours, -np.inf).max(axis=1, initial=-np.inf)
    is_weekly = (last - first + 1.0 >= HOURS_PER_WEEK)[:, None] & np.isfinite(by_week)
    load = np.where(is_weekly, by_week, by_day)
    forecast: FloatArray = np.where((n_known >= HOURS_PER_DAY)[:, None], load, np.nan)
    return forecast


def _hourly_means(view: GridView, history_s: float) -> tuple[FloatArray, FloatArray]:
    """(W, n) means of the complete hours of the last `history_s`, and (n,) their numbers."""
    n_columns = view.demand.shape[1]
    n_used = min(n_columns, int(history_s // view.step_s))
    demand = view.demand[:, n_columns - n_used :]
    starts_s = view.now_s - view.step_s * np.arange(n_used, 0, -1)
    hour_of_step = np.floor((starts_s + _TICK_S) / HOUR_S)
    open_hour = np.floor((view.now_s + _TICK_S) / HOUR_S)
    first_full = np.inf
    if n_used:
        first_full = np.ceil((starts_s[0] - _TICK_S) / HOUR_S)
    is_used = (hour_of_step >= first_full) & (hour_of_step < open_hour)
    demand, hour_of_step = demand[:, is_used], hour_of_step[is_used]
    if hour_of_step.size == 0:
        return np.empty((demand.shape[0], 0)), np.empty(0)
    first = np.flatnonzero(np.diff(hour_of_step, prepend=-np.inf))
    is_known = np.isfinite(demand)
    total = np.add.reduceat(np.where(is_known, demand, 0.0), first, axis=1)
    n_known = np.add.reduceat(is_known.astype(float), first, axis=1)
    means = np.divide(total, n_known, out=np.full(total.shape, np.nan), where=n_known > 0)
    return means, hour_of_step[first]


def _slot_means(means: FloatArray, slots: FloatArray, n_slots: int) -> FloatArray:
    """(W, n_slots) means of the known values (W, n) in each slot; NaN in an empty one."""
    is_known = np.isfinite(means)
    member = (slots[:, None] == np.arange(n_slots)).astype(float)
    total = np.where(is_known, means, 0.0) @ member
    count = is_known.astype(float) @ member
    average: FloatArray = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return average
