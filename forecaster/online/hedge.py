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
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from forecaster.choice.ensemble import pool_quantiles
from forecaster.config import WindowConfig
from forecaster.errors import ConfigError, ShapeError
from forecaster.quantiles import crps_weights, shift_paths
from forecaster.types import F32, F64, I64, Bool, Forecast, Windows

EXPERTS = ("forecast", "last_value")
"""The experts, in the order of the weights."""
LAST_VALUE = 1
GROUPS = ("body", "tail")
TAIL_FROM = 0.95
"""Levels from here on have the weights of the tail."""
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class HedgeConfig:
    """How fast weights move.

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


@dataclass(frozen=True, slots=True)
class HedgeState:
    """State of W workloads, per group of levels and expert (`GROUPS`, `EXPERTS`).

    Args:
        workloads: W names.
        regret: `(W, 2, 2)` discounted sum of what the mixture lost against the expert, each term
            corrected for its own square.
        square: `(W, 2, 2)` discounted sum of squares of those terms.
        largest: `(W, 2, 2)` largest of them.
        learned_step: `(W,)` the newest origin learned from, in steps of some clock; -1: none.
    """

    workloads: tuple[str, ...]
    regret: F64
    square: F64
    largest: F64
    learned_step: I64

    def __post_init__(self) -> None:
        """Check shapes."""
        shape = (len(self.workloads), len(GROUPS), len(EXPERTS))
        for name in ("regret", "square", "largest"):
            if getattr(self, name).shape != shape:
                raise ShapeError(f"{name} has shape {getattr(self, name).shape}; {shape} is right")

    def rows(self, at: I64) -> HedgeState:
        """A copy of the workloads `at`."""
        names = tuple(self.workloads[i] for i in at)
        return HedgeState(names, **{name: getattr(self, name)[at] for name in PER_WORKLOAD})


PER_WORKLOAD = tuple(f.name for f in fields(HedgeState))[1:]


def no_hedge_yet(workloads: Sequence[str]) -> HedgeState:
    """The state before any outcome: weights are the prior's."""
    zeros = np.zeros((len(workloads), len(GROUPS), len(EXPERTS)))
    first = np.full(len(workloads), -1, dtype=np.int64)
    return HedgeState(tuple(workloads), zeros, zeros.copy(), zeros.copy(), first)


def last_value_weight(state: HedgeState, config: HedgeConfig | None = None) -> F64:
    """Weight of the last value in body and tail, `(W, 2)`, in (0, 1)."""
    prior = np.array([1 - (config or HedgeConfig()).prior, (config or HedgeConfig()).prior])
    score = np.log(prior) + _rates(state.square, state.largest) * state.regret
    weight = np.exp(score - score.max(axis=2, keepdims=True))
    return np.asarray(weight[..., LAST_VALUE] / weight.sum(axis=2))


def _rates(square: F64, largest: F64) -> F64:
    """Learning rates: as large as the terms' own size allows; scale free."""
    steady = np.sqrt(np.log(len(EXPERTS)) / np.maximum(square, TINY))
    return np.asarray(np.minimum(0.5 / np.maximum(largest, TINY), steady))


def mixed(
    quantiles: F32, last_value: F32, state: HedgeState, levels: F64, config: HedgeConfig | None
) -> F32:
    """Quantiles `(W, Q, H)` of the state's workloads, ordered.

    Args:
        quantiles: `(W, Q, H)` of the forecasts.
        last_value: `(W, Q, H)` of the last value with its past changes.
        state: State before.
        levels: `(Q,)`.
        config: How fast weights move.
    """
    return np.maximum.accumulate(_average(quantiles, last_value, state, levels, config), axis=1)


def _average(
    quantiles: F32, last_value: F32, state: HedgeState, levels: F64, config: HedgeConfig | None
) -> F32:
    """As `mixed`, but where the tail's weights differ from the body's it may lie below it."""
    group = (levels >= TAIL_FROM).astype(np.int64)
    share = last_value_weight(state, config)[:, group, None].astype(np.float32)
    return np.asarray(quantiles + share * (last_value - quantiles), dtype=np.float32)


def hedge(
    forecast: Forecast,
    last_value: F32,
    state: HedgeState,
    config: HedgeConfig | None = None,
) -> Forecast:
    """Mix the last value in by the weights of the state; paths keep their ranks.

    Args:
        forecast: B forecasts.
        last_value: `(B, Q, H)`, see `last_value_quantiles`.
        state: State of the same workloads in the same order.
        config: How fast weights move.

    Raises:
        ShapeError: If the workloads differ.
    """
    if forecast.workloads != state.workloads:
        raise ShapeError("hedge state and forecast must have the same workloads in order")
    quantiles = mixed(forecast.quantiles, last_value, state, forecast.quantile_levels, config)
    paths = shift_paths(forecast.paths, forecast.quantiles, quantiles)
    return replace(forecast, quantiles=quantiles, paths=np.maximum(paths, np.float32(0)))


def last_value_quantiles(windows: Windows, forecast: Forecast, config: WindowConfig) -> F32:
    """What the last value with its past changes says, `(B, Q, H)`, for the rows of `forecast`."""
    levels = tuple(float(v) for v in forecast.quantile_levels)
    return pool_quantiles(EXPERTS[LAST_VALUE], windows, forecast.horizon, config, levels)


def learned(  # noqa: PLR0913 - what was said, what happened, when
    state: HedgeState,
    experts: tuple[F32, F32],
    actual: F32,
    observed: Bool,
    step: int,
    levels: F64,
    config: HedgeConfig | None = None,
) -> HedgeState:
    """The state after the outcomes of one origin.

    Regrets are taken against the mixture of today's weights, not of those at the origin: the
    experts' forecasts are all that has to be known of the past. Origins less than a stride after
    the newest one learned from teach nothing, nor do unobserved steps.

    Args:
        state: State before.
        experts: Quantiles `(W, Q, H)` of the forecast and of the last value.
        actual: `(W, H)`.
        observed: `(W, H)`.
        step: The origin, in steps on a clock that all origins share, >= 0.
        levels: `(Q,)`.
        config: How fast weights move.
    """
    setting = config or HedgeConfig()
    gap = step - state.learned_step
    is_due = (state.learned_step < 0) | (gap >= setting.stride)
    is_due &= observed.any(axis=1)
    # Not what was issued: a tail that the body holds up would be told that it is too high.
    average = _average(*experts, state, levels, setting)
    term = _regrets(experts, average, (actual, observed), levels)
    kept = np.exp(-np.maximum(gap, 0) / setting.memory_steps)[:, None, None]
    largest = np.maximum(state.largest, np.abs(term))
    square = kept * state.square + term**2
    regret = kept * state.regret + term - _rates(square, largest) * term**2
    due = is_due[:, None, None]
    return replace(
        state,
        regret=np.where(due, regret, state.regret),
        square=np.where(due, square, state.square),
        largest=np.where(due, largest, state.largest),
        learned_step=np.where(is_due, step, state.learned_step),
    )


def _regrets(
    experts: tuple[F32, F32], average: F32, happened: tuple[F32, Bool], levels: F64
) -> F64:
    """`(W, 2, 2)` what the mixture lost against each expert, linearised at the mixture.

    Means over the observed steps; the body's levels weigh as in the CRPS, the tail's equally.
    """
    actual, observed = happened
    is_tail = levels >= TAIL_FROM
    by_group = np.stack([np.where(is_tail, 0, crps_weights(levels)), is_tail.astype(np.float64)])
    slope = (actual[:, None] < average) - levels[:, None]
    count = np.maximum(observed.sum(axis=1), 1)[:, None, None]
    slope = np.where(observed[:, None], slope, 0) / count
    lead = [np.einsum("wqh,wqh->wq", slope, average - own, dtype=np.float64) for own in experts]
    return np.asarray(np.einsum("gq,kwq->wgk", by_group, np.stack(lead)))


def to_dicts(state: HedgeState) -> list[dict[str, Any]]:
    """One JSON-able object per workload."""
    return [
        {name: getattr(state, name)[i].tolist() for name in PER_WORKLOAD}
        for i in range(len(state.workloads))
    ]


def from_dicts(workloads: Sequence[str], stored: Mapping[str, Mapping[str, Any]]) -> HedgeState:
    """State of `workloads`; one that is not stored starts with the prior."""
    state = no_hedge_yet(workloads)
    for i, workload in enumerate(workloads):
        if workload in stored:
            for name in PER_WORKLOAD:
                getattr(state, name)[i] = stored[workload][name]
    return state
