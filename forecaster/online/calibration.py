"""Online calibration per workload: adaptive conformal feedback on every quantile level.

Each level carries an offset that moves up a little after every value above the quantile and down a
little after every value below it (quantile tracking: Gibbs and Candes, Adaptive Conformal
Inference, 2021; Angelopoulos et al., Conformal PID Control, 2023). The long-run share of values
below the level then tends to the level whatever the data do; it is no guarantee for any single
stretch.

Offsets are counted in the workload's own running error, not in the spread of the forecast at hand:
the spread of a burst forecast overstates, and that of a flat one hides, how far the tail is off.
Half of every step is the workload's own, half the mean of its batch, and likewise half is its
horizon group's own and half the mean over the horizon: at the 99 % level one workload alone sees
too few exceedances. Steps are large while few outcomes are known, and small then: each large one
leaves the tail wrong for long. State is passed in and out. docs/decisions/0007 and 0134 hold the
measurements.

A forecast that is read off its window has what it once missed among its paths from then on. Its
quantiles are not raised beyond the largest value of the window, or one burst would count twice
(docs/decisions/0058). So are not those of the shipped prior of a service of its first day: nothing
but that window is known of it, and the prior widens by what it sees there (docs/decisions/0089).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forecaster.choice.ladder import PRIOR_RUNG, TRAINED_RUNGS
from forecaster.errors import ConfigError, ShapeError
from forecaster.metrics import below_shares
from forecaster.online.coverage import running_coverage, with_below_ratio
from forecaster.online.learner import Outcome
from forecaster.online.offsets import (
    SPREAD_LEVELS,
    CalibrationState,
    horizon_groups,
    level_index,
    moved_by,
    spread_of,
)
from forecaster.quantiles import with_quantiles
from forecaster.types import F32, F64, I64, Bool, Forecast

ERROR_TO_SPREAD = 4.0
"""Distance between the spread levels over the mean absolute error, for a normal error: 3.29 to
0.80, rounded."""
PRIOR_OUTCOMES = 12.0
"""Outcomes that the first forecast's own spread is worth in the running error."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The learner of quantile offsets.

    Rates are steps of an offset per forecast, in running errors.

    Args:
        levels: `(Q,)` levels of the forecasts.
        centre_rate: Rate of the median.
        tail_rate: What is added at the outermost levels; between, it grows with the fourth power
            of the distance from the median.
        extreme_rate: The same with the 32nd power: levels beyond 95 % alone.
        young_ratio: How many times larger the first steps are: of a workload without outcomes.
        young_outcomes: Outcomes after which half of what they are larger by is gone.
        limit: Largest offset, in running errors.
        pool_ratio: Share of a step that is the mean over the workloads of the batch.
        horizon_ratio: Share of a step that is the mean over the horizon groups.
        memory: Outcomes that the running error looks back on.
        outlier_limit: Largest error that counts in it, in running errors.
        regime_error: Mean error of a forecast, in running errors, above which offsets keep their
            absolute size while the running error grows: in a new regime, offsets relative to the
            old one say nothing.
        n_groups: Horizon groups with offsets of their own (near, middle, far).
    """

    levels: F64
    centre_rate: float = 0.002
    tail_rate: float = 0.01
    extreme_rate: float = 0.05
    young_ratio: float = 3.0
    young_outcomes: float = 1200.0
    limit: float = 20.0
    pool_ratio: float = 0.5
    horizon_ratio: float = 0.5
    memory: float = 7200.0
    outlier_limit: float = 100.0
    regime_error: float = 60.0
    n_groups: int = 3

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("centre_rate", "tail_rate", "extreme_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be in [0, 1)")
        for name in ("pool_ratio", "horizon_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be in [0, 1]")
        for name, least in (
            ("limit", 0.0),
            ("memory", 1.0),
            ("outlier_limit", 1.0),
            ("regime_error", 1.0),
            ("young_ratio", 1.0),
            ("young_outcomes", 1.0),
            ("n_groups", 1.0),
        ):
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name}={getattr(self, name)} must be >= {least:g}")

    def rates(self, levels: F64) -> F64:
        """Step per level, `(Q,)`, of a workload with many outcomes."""
        distance = np.abs(2 * levels - 1)
        rates = self.centre_rate + self.tail_rate * distance**4 + self.extreme_rate * distance**32
        return np.asarray(rates)

    def empty_state(self, workloads: Sequence[str]) -> CalibrationState:
        """A state that changes nothing yet."""
        n_rows, n_levels = len(workloads), self.levels.size
        return CalibrationState(
            tuple(workloads),
            self.levels,
            np.zeros((n_rows, n_levels, self.n_groups)),
            np.zeros((n_rows, self.n_groups)),
            np.zeros((n_rows, self.n_groups)),
            np.zeros(n_rows, dtype=np.int64),
            np.zeros((n_rows, n_levels)),
        )

    def apply(self, state: CalibrationState, given: Forecast, most: F32 | None = None) -> Forecast:
        """The forecast with quantiles corrected by the state; its paths keep their ranks.

        Args:
            state: What was learned.
            given: B forecasts of the state's workloads.
            most: `(B,)` values beyond which no quantile is raised, see `largest_seen`; None: none.
        """
        _check_match(state, given)
        quantiles = moved_by(state, given.quantiles)
        if most is not None:
            top = np.maximum(given.quantiles, most[:, None, None])
            quantiles = np.minimum(quantiles, top)
        return with_quantiles(given, quantiles)

    def observe(
        self, state: CalibrationState, given: Forecast, outcome: Outcome
    ) -> CalibrationState:
        """The state after the outcome of `given`, the forecast as it was issued: calibrated."""
        _check_match(state, given)
        observed = outcome.observed[:, None]
        horizon = _Horizon.of(outcome, state)
        scales = self._running_scales(state, given.quantiles, outcome, horizon)
        below = below_shares(given.quantiles, state.levels, outcome.actual)
        miss = np.where(observed, state.levels[:, None] - below, 0) @ horizon.member
        step = self.rates(state.levels)[:, None] * self._shared(miss, horizon.n_seen)
        step *= self._quickness(state.n_seen)[:, None, None]
        offsets = state.offsets * scales.kept[:, None] + step
        return replace(
            state,
            offsets=np.clip(offsets, -self.limit, self.limit),
            error_scale=scales.error,
            demand_scale=scales.demand,
            n_seen=state.n_seen + outcome.observed.sum(axis=1),
            below_ratio=running_coverage(
                state.below_ratio, state.n_seen, np.where(observed, below, np.nan), given.step_s
            ),
        )

    def from_dicts(
        self, workloads: Sequence[str], stored: Mapping[str, Mapping[str, Any]]
    ) -> CalibrationState:
        """State of `workloads`; one not stored, or with other levels or groups, starts empty.

        Objects without a running error (of earlier versions) count offsets in the forecast's
        spread; those that count all outcomes alike (`n_below`) go on from the share of these.
        """
        own = self.levels.tolist()
        usable = {
            k: with_below_ratio(raw)
            for k, raw in stored.items()
            # mostly the very same numbers, which are quickly compared
            if isinstance(raw, Mapping)
            and ((levels := raw.get("levels", ())) == own or _is_same(levels, self.levels))
        }
        return self.empty_state(workloads).with_stored(usable)

    def _quickness(self, n_seen: I64) -> F64:
        """Steps of workloads with so many outcomes over those of one with many, `(W,)`."""
        share = self.young_outcomes / (self.young_outcomes + n_seen)
        return np.asarray(1 + (self.young_ratio - 1) * share)

    def _shared(self, miss: F64, n_seen: F64) -> F64:
        """Mean miss `(W, Q, K)`, in part that of the whole horizon and of the whole batch.

        Args:
            miss: `(W, Q, K)` sums of level minus share below.
            n_seen: `(W, K)` outcomes behind them.
        """
        has = (n_seen > 0)[:, None]
        near = miss / np.maximum(n_seen, 1)[:, None]
        whole = miss.sum(axis=2) / np.maximum(n_seen.sum(axis=1), 1)[:, None]
        own = (1 - self.horizon_ratio) * near + self.horizon_ratio * whole[..., None]
        own = np.where(has, own, 0)
        pool = own.sum(axis=0) / np.maximum(has.sum(axis=0), 1)
        shared = (1 - self.pool_ratio) * own + self.pool_ratio * pool
        return np.where(has, shared, 0)

    def _running_scales(
        self, state: CalibrationState, quantiles: F32, outcome: Outcome, horizon: _Horizon
    ) -> _Scales:
        """The scales after these outcomes."""
        actual, observed, n_seen = outcome.actual, outcome.observed, horizon.n_seen
        levels = state.levels

        def mean(values: npt.NDArray[np.floating[Any]]) -> F64:
            seen = np.where(observed, values, 0).astype(np.float64)
            return np.asarray((seen @ horizon.member) / np.maximum(n_seen, 1))

        is_known = state.error_scale > 0
        error = ERROR_TO_SPREAD * np.abs(
            actual - quantiles[:, level_index(levels, 0.5)], dtype=np.float64
        )
        spread = mean(spread_of(quantiles, levels))
        before = np.where(is_known, state.error_scale, np.where(spread > 0, spread, mean(error)))
        error = np.minimum(error, self.outlier_limit * before[:, horizon.groups])
        upper = mean(quantiles[:, level_index(levels, SPREAD_LEVELS[1])])
        usual = np.where(is_known, state.demand_scale, upper)
        total = n_seen.sum(axis=1)[:, None]
        rate = total / (state.n_seen[:, None] + total + PRIOR_OUTCOMES)
        rate = np.clip(rate, np.minimum(total / self.memory, 1), 1)
        has = n_seen > 0
        after = np.where(has, before + rate * (mean(error) - before), state.error_scale)
        is_new_regime = is_known & (mean(error) > self.regime_error * before)
        return _Scales(
            after,
            np.where(has, usual + rate * (upper - usual), state.demand_scale),
            np.where(is_new_regime, before / np.where(is_new_regime, after, 1), 1),
        )


def largest_seen(
    values: F32, observed: Bool, rungs: Sequence[str], is_young: Bool | None = None
) -> F32:
    """`(B,)` largest value of the window of each forecast that knows no other; else infinite.

    Args:
        values: `(B, C)` the window of what is forecast.
        observed: `(B, C)`.
        rungs: B rungs that answered; a trained one's is held by nothing, but for the prior's
            of a young service.
        is_young: `(B,)` nothing of an earlier day is known, see `Windows.is_young`; None: of all
            of them something is.
    """
    seen = np.where(observed, values, -np.inf).max(axis=1)
    is_held = np.array([rung not in TRAINED_RUNGS for rung in rungs])
    if is_young is not None:
        is_held |= np.array([rung == PRIOR_RUNG for rung in rungs]) & is_young
    return np.where(is_held & np.isfinite(seen), seen, np.inf).astype(np.float32)


class _Scales(NamedTuple):
    """Running error, the demand it goes with, and the share of the offsets kept; `(W, K)` each."""

    error: F64
    demand: F64
    kept: F64


class _Horizon(NamedTuple):
    """Horizon groups of the outcomes of a batch.

    Attributes:
        groups: `(H,)` group of each step.
        member: `(H, K)` 1 where the step is of the group.
        n_seen: `(W, K)` outcomes observed.
    """

    groups: I64
    member: F64
    n_seen: F64

    @classmethod
    def of(cls, outcome: Outcome, state: CalibrationState) -> _Horizon:
        """The groups of the state's offsets."""
        n_groups = state.offsets.shape[2]
        groups = horizon_groups(outcome.actual.shape[1], n_groups)
        member = (groups[:, None] == np.arange(n_groups)).astype(np.float64)
        return cls(groups, member, outcome.observed @ member)


def _is_same(levels: npt.ArrayLike, others: F64) -> bool:
    try:
        given = np.asarray(levels, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return given.shape == others.shape and np.allclose(given, others, atol=1e-6)


def _check_match(state: CalibrationState, forecast: Forecast) -> None:
    state.check_workloads(forecast)
    if not _is_same(forecast.quantile_levels, state.levels):
        raise ShapeError("calibration state and forecast must have the same levels")
