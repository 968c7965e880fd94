"""How far a decision looks: paths that go on beyond their forecast, where starts take longer.

A start answers for the time after it has landed. Where it lands behind the last step that was
forecast, that step would stand in for it, and what rises meanwhile would be met too late. So the
paths go on, by what the workload's own demand did after windows as long as the forecast:

    x[h + d] = level + trend_d * slope * d + level * error_d

with the level and slope of a line through a path: its last value and its rise per step.
`trend_d` is how much of a slope was still there d steps later: a regression over all past windows,
drawn to none by what is left unexplained.
`error_d` is what a past window's line missed the demand by, in shares of its level, over all d of
one window at a time: the spread grows with d as it did, and neighbours stay alike. Its median is
taken out: what a few hours rose by on the whole is no law. Its mean would be that of one outlier:
all paths would lie below what nearly every window did (docs/decisions/0109). No season is known,
since history that forecasts read is seldom longer than a day (docs/decisions/0069).

Shapes: W workloads, S paths, H steps of the forecast, D steps beyond, N past windows, C history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from decider.step_quantiles import StepQuantiles
from decider.types import FloatArray, History, IntArray, ShardRequest

MOST_STEPS = 288
"""No decision looks further, as no forecast does."""
CLASS_STEPS = 6
"""Steps that a reach is a multiple of, so that workloads that start alike are decided together."""
MIN_OBSERVED_RATIO = 0.8
"""Share of the history that must have been observed; gaps are filled in a straight line."""
_LEAST_LEVEL_RATIO = 0.25
"""A past window's level counts for at least this share of the mean: errors are shares of it."""
_GOLDEN = 0.6180339887498949
_TINY = 1e-300


def wanted_steps(lead_time_draws_s: FloatArray, step_s: float) -> int:
    """Steps until one after the slowest of the draws (P,) of a lead time has landed."""
    return int(np.ceil(float(lead_time_draws_s.max()) / step_s)) + 2


def reach_steps(
    history: History, lead_time_draws_s: FloatArray, step_s: float, horizon: int
) -> int:
    """Steps that a decision about a workload should look ahead, and can.

    At least as many as are forecast; where starts take longer, until they have landed, as far as
    history carries: it must show twice what is to be continued.

    Args:
        history: What is known of its demand.
        lead_time_draws_s: (P,) draws of its lead time.
        step_s: Step length in seconds.
        horizon: H.
    """
    wanted = wanted_steps(lead_time_draws_s, step_s)
    if wanted <= horizon:
        return horizon
    wanted = -(-wanted // CLASS_STEPS) * CLASS_STEPS
    carried = horizon + max(0, (_filled(history.demand).size - horizon) // 2)
    return max(horizon, min(wanted, carried, MOST_STEPS))


def reaching(request: ShardRequest, *, is_by_median: bool = True) -> ShardRequest:
    """The request with paths, further paths and quantiles over the steps of its `reach`.

    Args:
        request: The shard.
        is_by_median: Errors are those about their median; False: about their mean, as before
            docs/decisions/0109.
    """
    beyond = request.reach - request.horizon
    if beyond <= 0:
        return request
    paths = np.asarray(request.paths, dtype=float)
    laws = [
        _law(w.history, paths[i], beyond, is_by_median=is_by_median)
        for i, w in enumerate(request.workloads)
    ]
    more = np.stack([law.continued(paths[i]) for i, law in enumerate(laws)])
    whole = np.concatenate([paths, more], axis=2)
    rows = range(len(request.workloads))
    further = [_further(request.further(i), paths[i], more[i]) for i in rows]
    quantiles = [_quantiles(request.steps(i), more[i]) for i in rows]
    return replace(
        request,
        paths=whole,
        n_forecast=request.horizon,
        further_paths=tuple(further) if request.further_paths else (),
        quantiles=tuple(quantiles) if request.quantiles else (),
    )


def _filled(demand: FloatArray) -> FloatArray:
    """(C,) demand from its first to its last known step without gaps; empty: too few are known."""
    known = np.flatnonzero(np.isfinite(demand) & (demand >= 0))
    if known.size < 2:
        return np.zeros(0)
    first, last = int(known[0]), int(known[-1])
    if known.size < MIN_OBSERVED_RATIO * (last + 1 - first):
        return np.zeros(0)
    return np.asarray(np.interp(np.arange(first, last + 1), known, demand[known]))


@dataclass(frozen=True, slots=True, eq=False)
class _TrendLines:
    """Lines through windows.

    Attributes:
        level: (N,) value at the last step of each window.
        slope: (N,) rise per step.
        scale: (N,) mean of the window: what errors are shares of.
    """

    level: FloatArray
    slope: FloatArray
    scale: FloatArray

    @classmethod
    def through(cls, windows: FloatArray) -> _TrendLines:
        """Least squares through windows (N, H)."""
        horizon = windows.shape[1]
        at = np.arange(horizon) - (horizon - 1) / 2.0
        mean = np.ascontiguousarray(windows).mean(axis=1)
        slope = np.zeros(mean.size)
        if horizon > 1:
            slope = ((windows - mean[:, None]) * at).sum(axis=1) / (at**2).sum()
        return cls(mean + slope * at[-1], slope, mean)


@dataclass(frozen=True, slots=True, eq=False)
class _Law:
    """How a workload's paths go on.

    Attributes:
        trend: (D,) share of a slope that is left d steps later.
        errors: (N, D) what past windows missed by, in shares of their level; N = 0: nothing is
            known, and the last step stands in.
    """

    trend: FloatArray
    errors: FloatArray

    def continued(self, paths: FloatArray) -> FloatArray:
        """(S, D) paths (S, H) of the steps that follow; none is negative."""
        beyond = self.trend.size
        if self.errors.shape[0] == 0:
            return np.repeat(paths[:, -1:], beyond, axis=1)
        lines, ahead = _TrendLines.through(paths), np.arange(1, beyond + 1)
        errors = self.errors[_spread(paths.shape[0], self.errors.shape[0])]
        risen = lines.slope[:, None] * (self.trend * ahead)
        return np.maximum(lines.level[:, None] + risen + lines.scale[:, None] * errors, 0.0)


def _spread(n_paths: int, n_windows: int) -> IntArray:
    """(S,) past window that each path goes on as: evenly, and out of step with the paths' order."""
    at = np.modf(np.arange(1, n_paths + 1) * _GOLDEN)[0]
    return np.asarray(np.floor(at * n_windows), dtype=np.int64)


def _law(history: History, paths: FloatArray, beyond: int, *, is_by_median: bool) -> _Law:
    """The law of one workload by its history, for paths (S, H)."""
    demand, horizon = _filled(history.demand), paths.shape[1]
    n_windows = demand.size - horizon - beyond + 1
    nothing = _Law(np.zeros(beyond), np.zeros((0, beyond)))
    if n_windows < 1 or not np.isfinite(paths).all() or demand.mean() <= 0:
        return nothing
    seen = np.lib.stride_tricks.sliding_window_view(demand, horizon + beyond)
    lines = _TrendLines.through(seen[:, :horizon])
    scale = np.maximum(lines.scale, _LEAST_LEVEL_RATIO * demand.mean())
    past = _PastWindows(
        lines.slope / scale, (seen[:, horizon:] - lines.level[:, None]) / scale[:, None]
    )
    trend = past.trend(horizon)
    errors = past.missed(trend)
    middle = np.median(errors, axis=0) if is_by_median else errors.mean(axis=0)
    return _Law(trend, errors - middle)


@dataclass(frozen=True, slots=True, eq=False)
class _PastWindows:
    """Past windows and what came after, in shares of their levels.

    Attributes:
        slope: (N,) rise per step within each.
        risen: (N, D) what the demand rose by from its line's end on.
    """

    slope: FloatArray
    risen: FloatArray

    def missed(self, trend: FloatArray) -> FloatArray:
        """(N, D) what lines with that trend (D,) missed by."""
        ahead = np.arange(1, trend.size + 1)
        return self.risen - trend * ahead * self.slope[:, None]

    def trend(self, horizon: int) -> FloatArray:
        """(D,) share of a slope that is left d steps later, between none of it and all.

        Windows overlap: `horizon + d` of them are worth one, which is what the regression is drawn
        to no trend by.

        Args:
            horizon: H.
        """
        ahead = np.arange(1, self.risen.shape[1] + 1)
        kept = (self.slope[:, None] * self.risen).sum(axis=0) / ahead
        total = (self.slope**2).sum()
        plain = kept / max(total, _TINY)
        unexplained = (self.missed(plain) ** 2).mean(axis=0)
        weight = total + (horizon + ahead) * unexplained / ahead**2
        return np.asarray(np.clip(kept / np.maximum(weight, _TINY), 0.0, 1.0))


def _further(further: FloatArray | None, paths: FloatArray, more: FloatArray) -> FloatArray | None:
    """(F, S, H + D) further loads, which go on in proportion to the demand of their path."""
    if further is None:
        return None
    level = paths.mean(axis=1)
    ratio = np.divide(more, level[:, None], out=np.ones_like(more), where=level[:, None] > 0)
    return np.concatenate([further, further.mean(axis=2)[:, :, None] * ratio], axis=2)


def _quantiles(steps: StepQuantiles | None, more: FloatArray) -> StepQuantiles | None:
    """The quantile function over all steps: beyond the forecast that of the paths."""
    if steps is None:
        return None
    beyond = np.quantile(more, steps.levels, axis=0)
    return StepQuantiles(steps.levels, np.concatenate([steps.values, beyond], axis=1))
