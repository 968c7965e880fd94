"""An online hedge between a forecast and the last value: insurance against a change of level.

A trained model and the simple forecaster that validation picked are right about the world that they
have seen. After a change that they have not seen (a launch, a migration, an outage) the last value
with its past changes is often better, and for as long as it is, it should weigh more. Weights come
from Bernstein online aggregation on the gradient of the pinball loss (Wintenberger, Optimal
learning with Bernstein online aggregation, 2017; Berrisch and Ziel, CRPS learning, 2023): the
mixture then does about as well as the better of the two over a stretch of the memory's length,
whatever the data do. What was long ago is forgotten, so that the weights can return. Body and tail
have weights of their own: a last value knows where the demand is, not how far it may go.

State is passed in and out. docs/decisions/0023 holds the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecaster.choice.baselines import pool_quantiles
from forecaster.config import WindowConfig
from forecaster.errors import ConfigError, ShapeError
from forecaster.online.learner import LearnerState, Outcome
from forecaster.quantiles import crps_weights, with_quantiles
from forecaster.types import F32, F64, I64, Bool, Forecast, Windows

EXPERTS = ("forecast", "last_value")
"""The experts, in the order of the weights."""
LAST_VALUE = 1
HEDGE_GROUPS = ("body", "tail")
TAIL_FROM = 0.95
"""Levels from here on have the weights of the tail."""
TINY = 1e-300
LARGEST_RATIO = float(np.e)
"""Most that the largest term may be of the root of the sum of squares: one without its like for
twice the memory is forgotten as the rest is."""


@dataclass(frozen=True, slots=True, eq=False)
class HedgeState(LearnerState):
    """State of W workloads, per group of levels and expert (`HEDGE_GROUPS`, `EXPERTS`).

    Args:
        workloads: W names.
        regret: `(W, 2, 2)` discounted sum of what the mixture lost against the expert, each term
            corrected for its own square.
        square: `(W, 2, 2)` discounted sum of squares of those terms.
        largest: `(W, 2, 2)` largest of them that is not forgotten.
        learned_step: `(W,)` the newest origin learned from, in whole steps since 1970; -1: none.
    """

    regret: F64
    square: F64
    largest: F64
    learned_step: I64

    def __post_init__(self) -> None:
        """Check shapes."""
        shape = (len(self.workloads), len(HEDGE_GROUPS), len(EXPERTS))
        for name in ("regret", "square", "largest"):
            if getattr(self, name).shape != shape:
                raise ShapeError(f"{name} has shape {getattr(self, name).shape}; {shape} is right")


@dataclass(frozen=True, slots=True, eq=False)
class Experts:
    """Forecasts of the two experts.

    Args:
        forecast: B forecasts.
        last_value: `(B, Q, H)` quantiles of the last value with its past changes.

    Raises:
        ShapeError: If the shapes differ.
    """

    forecast: Forecast
    last_value: F32

    def __post_init__(self) -> None:
        """Check shapes."""
        if self.last_value.shape != self.forecast.quantiles.shape:
            raise ShapeError(
                f"experts must both be (B, Q, H): forecast {self.forecast.quantiles.shape}, "
                f"last value {self.last_value.shape}"
            )

    @classmethod
    def of(cls, forecast: Forecast, windows: Windows, config: WindowConfig) -> Experts:
        """A forecast with the last value of the windows that it was made from."""
        levels = tuple(float(v) for v in forecast.quantile_levels)
        name = EXPERTS[LAST_VALUE]
        return cls(forecast, pool_quantiles(name, windows, forecast.horizon, config, levels))

    def rows(self, at: I64) -> Experts:
        """The rows `at`, in that order."""
        return Experts(self.forecast.rows(at), self.last_value[at])


@dataclass(frozen=True, slots=True)
class Hedge:
    """The learner of the experts' weights.

    Args:
        prior: Weight of the last value before any outcome, in (0, 1).
        memory_steps: Steps after which what was learned counts a third (1 / e).
        stride: Steps between two origins that are learned from; outcomes of neighbouring origins
            are mostly the same.
    """

    prior: float = 0.05
    memory_steps: float = 576.0
    stride: int = 4

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 < self.prior < 1:
            raise ConfigError(f"prior={self.prior} must be in (0, 1)")
        if not self.memory_steps >= 1:
            raise ConfigError(f"memory_steps={self.memory_steps} must be >= 1")
        if self.stride < 1:
            raise ConfigError(f"stride={self.stride} must be >= 1")

    def empty_state(self, workloads: Sequence[str]) -> HedgeState:
        """The state before any outcome: weights are the prior's."""
        zeros = np.zeros((len(workloads), len(HEDGE_GROUPS), len(EXPERTS)))
        first = np.full(len(workloads), -1, dtype=np.int64)
        return HedgeState(tuple(workloads), zeros, zeros.copy(), zeros.copy(), first)

    def last_value_weight(self, state: HedgeState) -> F64:
        """Weight of the last value in body and tail, `(W, 2)`, in (0, 1)."""
        prior = np.array([1 - self.prior, self.prior])
        score = np.log(prior) + _rates(state.square, state.largest) * state.regret
        weight = np.exp(score - score.max(axis=2, keepdims=True))
        return np.asarray(weight[..., LAST_VALUE] / weight.sum(axis=2))

    def apply(self, state: HedgeState, given: Experts) -> Forecast:
        """The experts mixed by the weights of the state; paths keep their ranks."""
        state.check_workloads(given.forecast)
        quantiles = np.maximum.accumulate(self._average(state, given), axis=1)
        return with_quantiles(given.forecast, quantiles)

    def is_due(self, state: HedgeState, step: I64 | int) -> Bool:
        """Whether origins teach anything, `(W,)`; see `observe`.

        Args:
            state: State before.
            step: `(W,)` or one number of the origins, in steps since the epoch.
        """
        gap = step - state.learned_step
        is_unknown = (state.learned_step < 0) | (gap < -self.memory_steps)
        return np.asarray(is_unknown | (gap >= self.stride), dtype=np.bool_)

    def observe(self, state: HedgeState, given: Experts, outcome: Outcome) -> HedgeState:
        """The state after the outcome of one origin.

        Regrets are taken against the mixture of today's weights, not of those at the origin: the
        experts' forecasts are all that has to be known of the past. Origins less than a stride
        after the newest one learned from teach nothing, nor do unobserved steps. One that is
        further ahead than the memory reaches was counted in steps of another length.
        """
        state.check_workloads(given.forecast)
        step = given.forecast.origin_s // given.forecast.step_s
        gap = step - state.learned_step
        is_due = self.is_due(state, step) & outcome.observed.any(axis=1)
        # Not what was issued: a tail that the body holds up would be judged as too high.
        term = _regrets(given, self._average(state, given), outcome)
        kept = np.exp(-np.maximum(gap, 0) / self.memory_steps)[:, None, None]
        square = kept * state.square + term**2
        # for ever, one wrong sample would make every later term too small to learn from
        largest = np.maximum(state.largest, np.abs(term))
        largest = np.minimum(largest, LARGEST_RATIO * np.sqrt(square))
        regret = kept * state.regret + term - _rates(square, largest) * term**2
        due = is_due[:, None, None]
        return replace(
            state,
            regret=np.where(due, regret, state.regret),
            square=np.where(due, square, state.square),
            largest=np.where(due, largest, state.largest),
            learned_step=np.where(is_due, step, state.learned_step),
        )

    def from_dicts(
        self, workloads: Sequence[str], stored: Mapping[str, Mapping[str, Any]]
    ) -> HedgeState:
        """State of `workloads`; one that is not stored starts with the prior."""
        return self.empty_state(workloads).with_stored(stored)

    def _average(self, state: HedgeState, experts: Experts) -> F32:
        """Weighted quantiles `(W, Q, H)`; a tail may lie below the body, whose weights differ."""
        group = (experts.forecast.quantile_levels >= TAIL_FROM).astype(np.int64)
        share = self.last_value_weight(state)[:, group, None].astype(np.float32)
        quantiles = experts.forecast.quantiles
        return np.asarray(quantiles + share * (experts.last_value - quantiles), dtype=np.float32)


def _rates(square: F64, largest: F64) -> F64:
    """Learning rates: as large as the terms' own size allows; scale free."""
    steady = np.sqrt(np.log(len(EXPERTS)) / np.maximum(square, TINY))
    return np.asarray(np.minimum(0.5 / np.maximum(largest, TINY), steady))


def _regrets(experts: Experts, average: F32, outcome: Outcome) -> F64:
    """`(W, 2, 2)` what the mixture lost against each expert, linearised at the mixture.

    Means over the observed steps; the body's levels weigh as in the CRPS, the tail's equally.
    """
    levels, observed = experts.forecast.quantile_levels, outcome.observed
    is_tail = levels >= TAIL_FROM
    by_group = np.stack([np.where(is_tail, 0, crps_weights(levels)), is_tail.astype(np.float64)])
    slope = (outcome.actual[:, None] < average) - levels[:, None]
    count = np.maximum(observed.sum(axis=1), 1)[:, None, None]
    slope = np.where(observed[:, None], slope, 0) / count
    lead = [
        np.einsum("wqh,wqh->wq", slope, average - own, dtype=np.float64)
        for own in (experts.forecast.quantiles, experts.last_value)
    ]
    return np.asarray(np.einsum("gq,kwq->wgk", by_group, np.stack(lead)))
