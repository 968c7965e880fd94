"""The one-step predictors of the Dynamo planner, for W workloads at once, with their memory.

Points are steps. Leading zeros are skipped and an unknown step is a zero, as the description says;
predictions are clamped at zero. Before a predictor has enough points it repeats the last one.
Memory is passed in and out: a step is learned once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView
from services.simulator.policies.history import NEVER_S, unseen_columns
from services.simulator.policies.view import BoolArray, IntArray

Predictor = Literal["constant", "kalman", "arima"]

MIN_POINTS = 5
"""Points before Kalman or ARIMA answer."""

Q_LEVEL, Q_SLOPE, R_NOISE, P_START = 1.0, 0.1, 10.0, 1000.0
"""The Kalman filter's variances, in squared units of demand: they do not scale with it."""

N_FIT = 50
"""Points that an ARIMA fit looks at."""

MAX_LAG = 3
ORDERS = ((1, 0), (0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3))
"""(differencing, lags) tried; of equal AIC the first is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Kalman:
    """Local linear trend after the time update: the prior of the next point.

    Attributes:
        level: (W,) predicted level, which is the predicted point.
        slope: (W,) predicted slope.
        p_level: (W,) variance of the level.
        p_cross: (W,) covariance.
        p_slope: (W,) variance of the slope.
    """

    level: FloatArray
    slope: FloatArray
    p_level: FloatArray
    p_cross: FloatArray
    p_slope: FloatArray

    @classmethod
    def start(cls, n_workloads: int) -> Kalman:
        """Nothing known: variance 1000. The first point gives the mean of the level."""
        zero, wide = np.zeros(n_workloads), np.full(n_workloads, P_START)
        return cls(zero, zero, wide, zero, wide)

    def after(self, point: FloatArray, is_first: BoolArray, is_point: BoolArray) -> Kalman:
        """Measurement update with `point`, then the time update, where `is_point`.

        With `F = [[1, 1], [0, 1]]`, `H = [1, 0]`, `Q = diag(1, 0.1)`, `R = 10`.
        """
        level = np.where(is_first, point, self.level)
        gain_level = self.p_level / (self.p_level + R_NOISE)
        gain_slope = self.p_cross / (self.p_level + R_NOISE)
        innovation = point - level
        level = level + gain_level * innovation
        slope = self.slope + gain_slope * innovation
        p_slope = self.p_slope - gain_slope * self.p_cross
        p_cross = (1.0 - gain_level) * self.p_cross
        p_level = (1.0 - gain_level) * self.p_level
        moved = (
            level + slope,
            slope,
            p_level + 2.0 * p_cross + p_slope + Q_LEVEL,
            p_cross + p_slope,
            p_slope + Q_SLOPE,
        )
        kept = (self.level, self.slope, self.p_level, self.p_cross, self.p_slope)
        return Kalman(*(np.where(is_point, a, b) for a, b in zip(moved, kept, strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class ArFit:
    """Autoregressions in force, one per workload.

    Attributes:
        coefficient: (W, 1 + MAX_LAG) intercept and lag coefficients; 0 for those not in the order.
        is_differenced: (W,) whether the model is one of first differences.
        is_log: (W,) whether it is one of log(1 + y).
        is_fitted: (W,) False where there were too few points for any order.
        age_steps: Steps since the fit.
    """

    coefficient: FloatArray
    is_differenced: BoolArray
    is_log: BoolArray
    is_fitted: BoolArray
    age_steps: int


@dataclass(frozen=True, slots=True, eq=False)
class PredictorState:
    """Memory of a predictor.

    Attributes:
        seen_until_s: End of the last step learned from.
        n_points: (W,) points since the first that is not zero.
        is_observed: (W,) whether any step was ever observed.
        kalman: The filter, where it is used.
        fit: The autoregressions, where they are used.
    """

    seen_until_s: float
    n_points: IntArray
    is_observed: BoolArray
    kalman: Kalman | None = None
    fit: ArFit | None = None


def predict_next(
    view: GridView, predictor: Predictor, refit_steps: int, state: PredictorState | None
) -> tuple[FloatArray, PredictorState]:
    """Demand of the step that begins now, from the points so far.

    Args:
        view: The demand so far.
        predictor: Which one.
        refit_steps: Age at which autoregressions are fitted anew.
        state: Memory; None at the first call.

    Returns:
        (W,) predictions >= 0, NaN where nothing was ever observed; and the memory.
    """
    n_workloads = view.demand.shape[0]
    if state is None:
        nothing = np.zeros(n_workloads, dtype=np.int64)
        state = PredictorState(NEVER_S, nothing, nothing > 0)
    new = unseen_columns(view, state.seen_until_s)
    points = np.where(np.isfinite(new), new, 0.0)
    is_point = (np.logical_or.accumulate(points != 0.0, axis=1)) | (state.n_points > 0)[:, None]
    kalman = _filter(points, is_point, state) if predictor == "kalman" else None
    state = PredictorState(
        view.now_s,
        state.n_points + is_point.sum(axis=1),
        state.is_observed | np.isfinite(new).any(axis=1),
        kalman,
        state.fit,
    )
    last = np.nan_to_num(view.last_demand(), nan=0.0)
    prediction = last
    if kalman is not None:
        prediction = np.where(state.n_points >= MIN_POINTS, kalman.level, last)
    elif predictor == "arima":
        fit = _fit_in_force(view, state, refit_steps, new.shape[1])
        state = replace(state, fit=fit)
        is_ready = fit.is_fitted & (state.n_points >= MIN_POINTS)
        prediction = np.where(is_ready, _extrapolate(view, fit), last)
    clamped: FloatArray = np.where(state.is_observed, np.maximum(prediction, 0.0), np.nan)
    return clamped, state


def _filter(points: FloatArray, is_point: BoolArray, state: PredictorState) -> Kalman:
    kalman = state.kalman or Kalman.start(points.shape[0])
    n_points = state.n_points
    for column in range(points.shape[1]):
        is_now = is_point[:, column]
        kalman = kalman.after(points[:, column], is_now & (n_points == 0), is_now)
        n_points = n_points + is_now
    return kalman


def _fit_in_force(view: GridView, state: PredictorState, refit_steps: int, n_new: int) -> ArFit:
    fit = state.fit
    if fit is not None and fit.age_steps + n_new < refit_steps:
        return replace(fit, age_steps=fit.age_steps + n_new)
    return fit_autoregressions(_recent_points(view, N_FIT), state.n_points)


def _recent_points(view: GridView, n: int) -> FloatArray:
    """(W, n) last points, unknown ones and those before the history as zeros."""
    recent = view.demand[:, max(0, view.demand.shape[1] - n) :]
    known = np.where(np.isfinite(recent), recent, 0.0)
    return np.pad(known, ((0, 0), (n - known.shape[1], 0)))


def _extrapolate(view: GridView, fit: ArFit) -> FloatArray:
    """(W,) the next point by the autoregressions in force."""
    recent = np.maximum(_recent_points(view, MAX_LAG + 1), 0.0)
    series = np.where(fit.is_log[:, None], np.log1p(recent), recent)
    lags = np.where(fit.is_differenced[:, None], np.diff(series, axis=1), series[:, 1:])
    move = fit.coefficient[:, 0] + (fit.coefficient[:, 1:] * lags[:, ::-1]).sum(axis=1)
    following = np.where(fit.is_differenced, series[:, -1] + move, move)
    # a log forecast beyond 700 has no finite value; demand is far below
    grown = np.expm1(np.minimum(np.where(fit.is_log, following, 0.0), 700.0))
    predicted: FloatArray = np.where(fit.is_log, grown, following)
    return predicted


def fit_autoregressions(points: FloatArray, n_points: IntArray) -> ArFit:
    """Choose and fit an autoregression per workload by AIC over `ORDERS`.

    A stand-in for the automatic ARIMA order search of the original: no moving-average terms, least
    squares instead of maximum likelihood. All orders are compared on the same targets. Models of
    the level have an intercept, models of differences have none. Where an order without lags wins,
    the search is repeated on log(1 + y).

    Args:
        points: (W, N) last points, oldest first.
        n_points: (W,) how many of them, from the end, are points.
    """
    plain, differenced, lags, is_fitted = _search(points, n_points)
    logged, log_differenced, _, _ = _search(np.log1p(np.maximum(points, 0.0)), n_points)
    is_log = is_fitted & (lags == 0)
    return ArFit(
        np.where(is_log[:, None], logged, plain),
        np.where(is_log, log_differenced, differenced),
        is_log,
        is_fitted,
        0,
    )


def _search(
    series: FloatArray, n_points: IntArray
) -> tuple[FloatArray, BoolArray, IntArray, BoolArray]:
    """Coefficients (W, 1 + MAX_LAG), differencing, lags and fittedness of the best orders."""
    W, N = series.shape
    # least squares on a scale of one: ridge and floor below are relative
    scale = np.maximum(np.abs(series).mean(axis=1), np.finfo(float).tiny)
    series = series / scale[:, None]
    n_skipped = MAX_LAG + 1
    is_target = np.arange(n_skipped, N) >= (N - n_points)[:, None] + n_skipped
    n_targets = is_target.sum(axis=1)
    best_aic = np.full(W, np.inf)
    coefficient = np.zeros((W, 1 + MAX_LAG))
    is_differenced, n_lags = np.zeros(W, dtype=bool), np.zeros(W, dtype=np.int64)
    moments = [_moments(series, is_target, d) for d in (0, 1)]
    for d, p in ORDERS:
        used = np.arange(d, p + 1)
        found, squares = _least_squares(*moments[d], used)
        mean_square = np.maximum(squares / np.maximum(n_targets, 1), 1e-10)
        aic = n_targets * np.log(mean_square) + 2.0 * (used.size + 1)
        # a comparison needs a degree of freedom more than the order has parameters
        aic = np.where(n_targets >= used.size + 2, aic, np.inf)
        is_better = aic < best_aic
        best_aic = np.where(is_better, aic, best_aic)
        coefficient[is_better] = found[is_better]
        is_differenced[is_better], n_lags[is_better] = d == 1, p
    coefficient[:, 0] *= scale
    return coefficient, is_differenced, n_lags, np.isfinite(best_aic)


def _moments(
    series: FloatArray, is_target: BoolArray, d: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Normal equations of the full order: X'X (W, 4, 4), X'y (W, 4), y'y (W,)."""
    moved = np.diff(series, axis=1) if d else series
    n_targets = is_target.shape[1]
    shifted = [moved[:, moved.shape[1] - n_targets - lag :][:, :n_targets] for lag in range(4)]
    X = np.stack([np.ones_like(shifted[0]), *shifted[1:]], axis=-1) * is_target[..., None]
    y = shifted[0] * is_target
    return np.swapaxes(X, 1, 2) @ X, (y[:, None, :] @ X)[:, 0], (y * y).sum(axis=1)


def _least_squares(
    xx: FloatArray, xy: FloatArray, yy: FloatArray, used: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Coefficients (W, 1 + MAX_LAG) of the columns used, 0 elsewhere, and squared residuals."""
    full = np.zeros(xy.shape)
    if used.size == 0:
        return full, yy
    A, b = xx[:, used[:, None], used], xy[:, used]
    ridge = 1e-9 * np.maximum(np.trace(A, axis1=1, axis2=2), 1.0)
    found = np.linalg.solve(A + ridge[:, None, None] * np.eye(used.size), b[..., None])[..., 0]
    full[:, used] = found
    fitted = (found * b).sum(axis=1)
    quadratic = (found[:, None, :] @ A @ found[..., None])[:, 0, 0]
    return full, np.maximum(yy - 2.0 * fitted + quadratic, 0.0)
