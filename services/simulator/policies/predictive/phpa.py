"""Predictive horizontal pod autoscaler (PHPA): models on the HPA's proposals, on top of the HPA.

Written from the algorithm's description. Each sync runs the HPA's steps 1–5, adds its raw proposal
to a series, lets a model predict from the series, combines proposal and prediction, and passes the
result to the HPA's behaviour, whose policy periods are 60 s here.

The series is sorted by time and includes the proposal of this sync. This is the corrected order:
the shipped program appears to feed its models unsorted points (read, not run). Between points (one
every `steps_per_point` steps) the last prediction stands. A proposal that is an error is no point,
and the sync holds. A model without enough points is skipped, which leaves the plain HPA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

import numpy as np

from services.simulator.policies.grid import GridView, Knob, column, count_settings
from services.simulator.policies.knobs import knob_value, require_within
from services.simulator.policies.predictive.holt_winters import SeasonalSeries, Smoothing
from services.simulator.policies.predictive.linear_trend import RecentPoints, extrapolated
from services.simulator.policies.reactive.hpa import (
    HpaConfig,
    HpaState,
    behaved,
    observed,
    reactive_proposal,
    require_whole_percent,
)
from services.simulator.policies.reactive.hpa_limits import HpaScalingPolicy, HpaScalingRules
from services.simulator.policies.view import FloatArray

_GUARD = 1e-9

PHPA_CONFIG = HpaConfig(
    up=HpaScalingRules(
        (HpaScalingPolicy("Pods", 4, 60.0), HpaScalingPolicy("Percent", 100, 60.0)), 0.0
    ),
    down=HpaScalingRules((HpaScalingPolicy("Percent", 100, 60.0),), 300.0),
)

ModelT = TypeVar("ModelT")


@dataclass(frozen=True, slots=True)
class PhpaRules:
    """Settings that do not depend on the model.

    Attributes:
        decision: How the proposal and the prediction combine. With two numbers the median is the
            mean; a mean is rounded up.
        steps_per_point: Steps from one point of the series, and one prediction, to the next.
        config: The HPA's settings; its target is replaced by the policy's knob.
    """

    decision: Literal["maximum", "minimum", "mean", "median"] = "maximum"
    steps_per_point: int = 1
    config: HpaConfig = PHPA_CONFIG

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.decision not in ("maximum", "minimum", "mean", "median"):
            raise ValueError(f"decision={self.decision!r} must be maximum, minimum, mean or median")
        if self.steps_per_point < 1:
            raise ValueError(f"steps_per_point={self.steps_per_point} must be >= 1")

    def combined(self, reactive: FloatArray, predicted: FloatArray) -> FloatArray:
        """The number passed to the behaviour; the proposal alone where nothing is predicted."""
        model = np.where(np.isfinite(predicted), predicted, reactive)
        if self.decision == "maximum":
            return np.maximum(reactive, model)
        if self.decision == "minimum":
            return np.minimum(reactive, model)
        mean: FloatArray = np.ceil((reactive + model) / 2.0 - _GUARD)
        return mean

    def name(self, model: str) -> str:
        """Name in tables of a PHPA with `model`."""
        return f"phpa_{model}_clipped" if self.config.is_clipped else f"phpa_{model}"


@dataclass(frozen=True, slots=True)
class PhpaState(Generic[ModelT]):
    """Memory of a PHPA.

    Attributes:
        model: The model's series or state; None before the first point.
        predicted: (G, W) the standing prediction, NaN where there is none.
        n_steps: Syncs so far.
        behaviour: Memory of the HPA's behaviour.
    """

    model: ModelT | None = None
    predicted: FloatArray | None = None
    n_steps: int = 0
    behaviour: HpaState = field(default_factory=HpaState)


@dataclass(frozen=True, slots=True, eq=False)
class PhpaPrediction(Generic[ModelT]):
    """What a model says at a new point.

    Attributes:
        raw: (G, W) the proposal that it foresees, not rounded; NaN where it has too few points.
        model: The model with the point.
    """

    raw: FloatArray
    model: ModelT


@dataclass(frozen=True, slots=True, eq=False)
class PhpaLinear:
    """A line through the last proposals, read `look_ahead_s` ahead.

    Attributes:
        target_percent: Target utilisation, whole per cent: the knob.
        history_size: Points in the regression.
        look_ahead_s: How far ahead the line is read.
        rules: Settings that do not depend on the model.
    """

    target_percent: Knob
    history_size: Knob = 6
    look_ahead_s: Knob = 60.0
    rules: PhpaRules = field(default_factory=PhpaRules)

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_whole_percent(self.target_percent)
        require_within("history_size", self.history_size, 1, is_low_open=False)
        require_within("look_ahead_s", self.look_ahead_s, 0.0, is_low_open=False)

    @property
    def name(self) -> str:
        """Short name used in tables."""
        return self.rules.name("linear")

    @property
    def n_settings(self) -> int:
        """G."""
        return count_settings(self.target_percent, self.history_size, self.look_ahead_s)

    def label(self, setting: int) -> str:
        """Target and model of one setting."""
        return (
            f"target {knob_value(self.target_percent, setting):g} %, "
            f"line of {knob_value(self.history_size, setting):g} points "
            f"{knob_value(self.look_ahead_s, setting):g} s ahead"
        )

    def initial_state(self) -> PhpaState[RecentPoints]:
        """No point yet."""
        return PhpaState()

    def decide(
        self, view: GridView, state: PhpaState[RecentPoints]
    ) -> tuple[FloatArray, PhpaState[RecentPoints]]:
        """One sync on the last completed step's demand."""

        def predict(reactive: FloatArray) -> PhpaPrediction[RecentPoints]:
            n_points = int(np.max(self.history_size))
            points = state.model or RecentPoints.empty(n_points, *view.shape)
            points = points.with_point(view.now_s, reactive)
            at_s = view.now_s + column(self.look_ahead_s)
            return PhpaPrediction(extrapolated(points, column(self.history_size), at_s), points)

        return _sync(view, self.target_percent, self.rules, state, predict)


@dataclass(frozen=True, slots=True, eq=False)
class PhpaHoltWinters:
    """Additive Holt-Winters on the proposals, one point ahead.

    See `holt_winters` for the recursion and its initial values. The recursion goes on for ever,
    where a program that keeps a few seasons starts it anew from its oldest ones. A gap counts as
    forecast, so that the season keeps its place. Its series begins with what an HPA with all its
    pods ready would have proposed over the history that it is shown: a daily season needs two days
    of points, and nobody's HPA begins on the day on which it is looked at.

    Attributes:
        target_percent: Target utilisation, whole per cent: the knob.
        season_steps: Length of the season in steps, a multiple of `rules.steps_per_point`.
        alpha: Smoothing of the level, in [0, 1].
        beta: Smoothing of the trend, in [0, 1].
        gamma: Smoothing of the season, in [0, 1].
        rules: Settings that do not depend on the model.
    """

    target_percent: Knob
    season_steps: int
    alpha: Knob = 0.5
    beta: Knob = 0.05
    gamma: Knob = 0.3
    rules: PhpaRules = field(default_factory=PhpaRules)

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_whole_percent(self.target_percent)
        for name in ("alpha", "beta", "gamma"):
            require_within(name, getattr(self, name), 0.0, 1.0, is_low_open=False)
        n_points, rest = divmod(self.season_steps, self.rules.steps_per_point)
        if rest or n_points < 2:
            raise ValueError(
                f"season_steps={self.season_steps} must be at least two times, and a multiple of, "
                f"steps_per_point={self.rules.steps_per_point}"
            )

    @property
    def name(self) -> str:
        """Short name used in tables."""
        return self.rules.name("holt_winters")

    @property
    def n_settings(self) -> int:
        """G."""
        return count_settings(self.target_percent, self.alpha, self.beta, self.gamma)

    @property
    def n_season(self) -> int:
        """Points per season."""
        return self.season_steps // self.rules.steps_per_point

    def label(self, setting: int) -> str:
        """Target and model of one setting."""
        smoothing = "/".join(
            f"{knob_value(knob, setting):g}" for knob in (self.alpha, self.beta, self.gamma)
        )
        target = knob_value(self.target_percent, setting)
        return f"target {target:g} %, season {self.season_steps} steps, smoothing {smoothing}"

    def initial_state(self) -> PhpaState[SeasonalSeries]:
        """No point yet."""
        return PhpaState()

    def decide(
        self, view: GridView, state: PhpaState[SeasonalSeries]
    ) -> tuple[FloatArray, PhpaState[SeasonalSeries]]:
        """One sync on the last completed step's demand."""

        def predict(reactive: FloatArray) -> PhpaPrediction[SeasonalSeries]:
            by = Smoothing(column(self.alpha), column(self.beta), column(self.gamma))
            before = state.model or self._of_history(view, by)
            series = before.with_point(reactive, self.n_season, by)
            if series.smoothed is None:
                return PhpaPrediction(np.full(view.shape, np.nan), series)
            return PhpaPrediction(series.smoothed.forecast(), series)

        return _sync(view, self.target_percent, self.rules, state, predict)

    def _of_history(self, view: GridView, by: Smoothing) -> SeasonalSeries:
        """The points before the first sync's own, as far as demand is shown."""
        shown = view.demand[:, ::-1][:, :: self.rules.steps_per_point][:, 1:][:, ::-1]
        per_pod = column(self.target_percent) / 100.0
        series = SeasonalSeries()
        for load in shown.T:
            series = series.with_point(view.replicas_for(load / per_pod), self.n_season, by)
        return series


def _sync(
    view: GridView,
    target_percent: Knob,
    rules: PhpaRules,
    state: PhpaState[ModelT],
    predict: Callable[[FloatArray], PhpaPrediction[ModelT]],
) -> tuple[FloatArray, PhpaState[ModelT]]:
    """One sync: propose, predict where a point is due, combine, and apply the behaviour."""
    seen = observed(view, target_percent)
    reactive = reactive_proposal(seen, rules.config)
    model, predicted = state.model, state.predicted
    if state.n_steps % rules.steps_per_point == 0 or predicted is None:
        prediction = predict(reactive)
        model, predicted = prediction.model, np.ceil(prediction.raw - _GUARD)
    proposal = rules.combined(reactive, predicted)
    wanted, behaviour = behaved(proposal, seen, rules.config, state.behaviour)
    return wanted, PhpaState(model, predicted, state.n_steps + 1, behaviour)
