"""Policies on a forecast's sample paths: point with margin, quantile (newsvendor), conformal.

A count ordered now must hold for the steps from now to the lead time: each policy sizes for the
largest of steps 0..lead_steps of the path. Where a workload has no usable path, it holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView, Knob, column, count_settings
from services.simulator.policies.knobs import knob_value, require_within
from services.simulator.policies.view import BoolArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class PointForecast:
    """`n = ceil((1 + margin) * max over steps 0..lead_steps of the median / capacity)`.

    Attributes:
        margin: Relative headroom (the knob).
        lead_steps: Steps from an order to its replicas.
        name: Name in tables.
    """

    margin: Knob = 0.2
    lead_steps: int = 1
    name: str = "point_forecast"

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_within("margin", self.margin, -1.0)
        _require_lead(self.lead_steps)

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(self.margin)

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        return f"median + {100 * knob_value(self.margin, setting):.4g} %"

    def initial_state(self) -> None:
        """It has no memory."""
        return

    def decide(self, view: GridView, state: None) -> tuple[FloatArray, None]:
        """Replicas for the largest median up to the lead time."""
        ahead = paths_ahead(view, self.lead_steps)
        if ahead is None:
            return view.answer(np.full(view.shape, np.nan)), None
        level = np.median(ahead, axis=1).max(axis=1)
        return view.answer(view.replicas_for(level * (1.0 + column(self.margin)))), None


@dataclass(frozen=True, slots=True, eq=False)
class ForecastQuantile:
    """`n = ceil((1 + margin) * Q_level(max over steps 0..lead_steps of a path) / capacity)`.

    The newsvendor policy, with an optional margin.

    With `c_o` per idle and `c_u` per short replica-hour, the level of least expected cost is
    `c_u / (c_u + c_o)`. Quantiles interpolate linearly between paths, so
    that no level reaches beyond the largest path: a margin does.

    Attributes:
        level: Quantile level in [0, 1] (the knob).
        margin: Relative headroom on top; 0 in the newsvendor policy.
        lead_steps: Steps from an order to its replicas.
        name: Name in tables.
    """

    level: Knob = 0.95
    margin: Knob = 0.0
    lead_steps: int = 1
    name: str = "forecast_quantile"

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_within("level", self.level, 0.0, 1.0, is_low_open=False)
        require_within("margin", self.margin, -1.0)
        _require_lead(self.lead_steps)
        _ = self.n_settings

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(self.level, self.margin)

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        return f"q{knob_value(self.level, setting):.4g} of the peak{_plus(self.margin, setting)}"

    def initial_state(self) -> None:
        """It has no memory."""
        return

    def decide(self, view: GridView, state: None) -> tuple[FloatArray, None]:
        """Replicas for the quantile of the peak up to the lead time."""
        bound = peak_quantiles(view, self.lead_steps, column(self.level))
        return view.answer(view.replicas_for(bound * (1.0 + column(self.margin)))), None


@dataclass(frozen=True, slots=True, eq=False)
class ConformalState:
    """Memory of `AdaptiveConformal`.

    Attributes:
        alpha: (G, W) nominal miss rates; None before the first decision.
        bounds: (n, G, W) bounds of the last decisions, oldest first, at most lead_steps + 1; NaN
            where a decision had no paths.
        decided_s: Time of the last decision.
        n_misses: (G, W) misses in the present period.
        n_elapsed: Steps of the present period that have passed.
    """

    alpha: FloatArray | None = None
    bounds: FloatArray | None = None
    decided_s: float = -np.inf
    n_misses: IntArray | None = None
    n_elapsed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class AdaptiveConformal:
    """The quantile of the peak at a level steered by its misses (ACI; with pacing, BACC).

    `alpha' = alpha + gamma * (target_rate - miss)` after each step, and the next bound is the
    quantile at `1 - alpha'`. A step is missed if its demand exceeded the bound given for it: the
    smallest of the last `lead_steps + 1` bounds, because what a decision adds arrives at the end
    of the lead time, and what it cuts is gone at once. A step whose demand is unknown, or which
    had no bound, teaches nothing. The theory answers alpha <= 0 with an infinite bound; here the
    largest path must do, and alpha stays within [-gamma, 1 + gamma], its range in the theory.

    Pacing (`pi_gain` > 0, our form of BACC's controller): in a period of `period_steps` the budget
    is `target_rate * period_steps` misses, and the pace is what is left of it per remaining step,
    at most 1. The pace replaces `target_rate` in the rule above, which is the integral part, and
    `pi_gain * (pace - target_rate)` is added to the alpha in use, which is the proportional part.
    Periods count from the first decision, unknown steps included.

    Attributes:
        target_rate: Miss rate aimed at, in (0, 1) (the knob).
        gamma: Step size.
        pi_gain: Proportional gain of the pacing; 0 for none.
        margin: Relative headroom that is part of every bound; 0 in the original.
        lead_steps: Steps from an order to its replicas.
        period_steps: Steps of a budget period.
        name: Name in tables; by default `adaptive_conformal`, with pacing `paced_conformal`.
    """

    target_rate: Knob = 0.05
    gamma: Knob = 0.01
    pi_gain: Knob = 0.0
    margin: Knob = 0.0
    lead_steps: int = 1
    period_steps: int = 1440
    name: str = ""

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_within("target_rate", self.target_rate, 0.0, 0.999)
        require_within("gamma", self.gamma, 0.0, is_low_open=False)
        require_within("pi_gain", self.pi_gain, 0.0, is_low_open=False)
        require_within("margin", self.margin, -1.0)
        _require_lead(self.lead_steps)
        if self.period_steps < 1:
            raise ValueError(f"period_steps={self.period_steps} must be >= 1")
        _ = self.n_settings
        if not self.name:
            is_paced = bool(np.any(np.asarray(self.pi_gain) > 0))
            object.__setattr__(
                self, "name", "paced_conformal" if is_paced else "adaptive_conformal"
            )

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(self.target_rate, self.gamma, self.pi_gain, self.margin)

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        gain = knob_value(self.pi_gain, setting)
        pacing = f", paced with gain {gain:.4g}" if gain > 0 else ""
        return (
            f"{100 * knob_value(self.target_rate, setting):.4g} % misses, "
            f"step {knob_value(self.gamma, setting):.4g}{pacing}{_plus(self.margin, setting)}"
        )

    def initial_state(self) -> ConformalState:
        """Alpha at the target, no bound given."""
        return ConformalState()

    def decide(self, view: GridView, state: ConformalState) -> tuple[FloatArray, ConformalState]:
        """Replicas for the bound at the level in use."""
        state = self._learn(view, state)
        assert state.alpha is not None
        assert state.n_misses is not None
        pacing = column(self.pi_gain) * (self._pace(state) - column(self.target_rate))
        quantile = peak_quantiles(view, self.lead_steps, 1.0 - (state.alpha + pacing))
        bound = quantile * (1.0 + column(self.margin))
        bounds = np.broadcast_to(bound, view.shape)[None]
        if state.bounds is not None:
            bounds = np.concatenate([state.bounds, bounds])[-(self.lead_steps + 1) :]
        after = ConformalState(state.alpha, bounds, view.now_s, state.n_misses, state.n_elapsed)
        return view.answer(view.replicas_for(bound)), after

    def _learn(self, view: GridView, state: ConformalState) -> ConformalState:
        """Feed back the last step; the result has alpha and misses."""
        if state.alpha is None or state.n_misses is None:
            alpha = np.broadcast_to(column(self.target_rate), view.shape)
            return ConformalState(alpha, None, view.now_s, np.zeros(view.shape, dtype=np.int64))
        n_passed = round((view.now_s - state.decided_s) / view.step_s)
        if n_passed < 1 or state.bounds is None:
            return state
        # after missed boundaries the bounds belong to other steps
        given = state.bounds if n_passed == 1 else np.full((1, *view.shape), np.nan)
        bound = np.fmin.reduce(given, axis=0)
        demand = view.last_demand()
        is_known = np.isfinite(bound) & np.isfinite(demand)
        is_miss = is_known & (demand > bound)
        gamma = column(self.gamma)
        moved = state.alpha + gamma * (self._pace(state) - is_miss)
        alpha = np.where(is_known, np.clip(moved, -gamma, 1.0 + gamma), state.alpha)
        n_elapsed, n_misses = state.n_elapsed + n_passed, state.n_misses + is_miss
        if n_elapsed >= self.period_steps:
            n_elapsed, n_misses = n_elapsed % self.period_steps, np.zeros_like(n_misses)
        return ConformalState(
            alpha, state.bounds if n_passed == 1 else None, view.now_s, n_misses, n_elapsed
        )

    def _pace(self, state: ConformalState) -> FloatArray:
        """(G, W) or (G, 1) miss rate aimed at for the rest of the period."""
        target = column(self.target_rate)
        assert state.n_misses is not None
        left = target * self.period_steps - state.n_misses
        pace = np.clip(left / (self.period_steps - state.n_elapsed), 0.0, 1.0)
        aim: FloatArray = np.where(column(self.pi_gain) > 0, pace, target)
        return aim


def paths_ahead(view: GridView, lead_steps: int) -> FloatArray | None:
    """(W, S, 1 + lead_steps) paths up to the lead time; NaN for a workload with a bad value.

    Returns:
        None where there is no forecast at all.

    Raises:
        ValueError: If the horizon ends before the lead time.
    """
    if view.paths is None or view.paths.shape[1] == 0:
        return None
    if view.paths.shape[2] <= lead_steps:
        raise ValueError(
            f"paths reach {view.paths.shape[2]} steps ahead, lead_steps={lead_steps} needs "
            f"{lead_steps + 1}"
        )
    ahead = view.paths[:, :, : 1 + lead_steps]
    is_usable: BoolArray = np.asarray(np.isfinite(ahead).all(axis=(1, 2)))
    if is_usable.all():
        return ahead
    return np.where(is_usable[:, None, None], ahead, np.nan)


def peak_quantiles(view: GridView, lead_steps: int, level: FloatArray) -> FloatArray:
    """Quantiles of the peak over steps 0..lead_steps, linear between paths.

    Args:
        view: The forecast.
        lead_steps: Steps from an order to its replicas.
        level: (G, 1) or (G, W) levels; clipped to [0, 1].

    Returns:
        (G, W); NaN where there is no usable path.
    """
    ahead = paths_ahead(view, lead_steps)
    if ahead is None:
        return np.full(view.shape, np.nan)
    ordered = np.sort(ahead.max(axis=2), axis=1)
    position = np.clip(level, 0.0, 1.0) * (ordered.shape[1] - 1)
    low = position.astype(np.int64)
    high = np.minimum(low + 1, ordered.shape[1] - 1)
    rows = np.arange(ordered.shape[0])
    below, above = ordered[rows, low], ordered[rows, high]
    quantiles: FloatArray = below + (position - low) * (above - below)
    return quantiles


def _plus(margin: Knob, setting: int) -> str:
    """A margin in words; nothing where there is none."""
    value = knob_value(margin, setting)
    return f" + {100 * value:.4g} %" if value else ""


def _require_lead(lead_steps: int) -> None:
    if lead_steps < 0:
        raise ValueError(f"lead_steps={lead_steps} must be >= 0")
