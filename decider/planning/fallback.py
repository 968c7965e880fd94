"""The fallback ladder: what answers when the forecast cannot. An error is never a zero.

fresh forecast -> last good forecast, shifted -> trailing percentile of what was measured ->
reactive rule -> hold if higher than the static count -> static count -> hold.

A forecast whose model is not trusted (`decider.trust.gate`) is planned with, so that it can earn
its place again, but a rung below answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decider.belief.capacity import needed
from decider.config import FallbackConfig, TrailingRule
from decider.types import FloatArray, WorkloadInput

FORECAST, LAST_FORECAST = "forecast", "last_forecast"
TRAILING, REACTIVE = "trailing_percentile", "reactive"
HOLD_IF_HIGHER, STATIC, HOLD = "hold_if_higher", "static", "hold"
DISTRUSTED = "the model is not trusted"
LEAST_CHANGES = 8
"""Changes from step to step that tell how single steps scatter."""
MEDIAN_TO_SIGMA = 1.0484
"""Standard deviation of a value over the median size of the difference of two, of a normal law."""


@dataclass(frozen=True, slots=True)
class DecisionTime:
    """Time of a decision.

    Attributes:
        now_s: Epoch seconds.
        step_s: Step length in seconds.
    """

    now_s: float
    step_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Place of a workload on the ladder.

    Attributes:
        rung: Rung in use.
        detail: Why not a higher rung; empty on the first.
        age_steps: Whole steps that the forecast must be shifted by.
        elapsed_ratio: Share of the present step that has passed.
        replicas: Count of the rung; None on the forecast rungs, where the planner decides.
        is_shadowed: The forecast could be used, but its model is not trusted.
    """

    rung: str
    detail: str
    age_steps: int
    elapsed_ratio: float
    replicas: int | None
    is_shadowed: bool = False

    @property
    def is_planned(self) -> bool:
        """The planner runs on the forecast, be it for the record only."""
        return self.replicas is None or self.is_shadowed


def forecast_fault(
    workload: WorkloadInput, paths: FloatArray, further: FloatArray | None = None
) -> str:
    """Find what makes the paths (S, H) or (F, S, H) unusable; empty if nothing does.

    Without its further loads a demand would look lighter than it is.
    """
    if not workload.forecast_rung:
        return "there is no forecast"
    if workload.further_capacity and further is None:
        return "there is no forecast of the further loads"
    if not np.isfinite(paths).all():
        return "the forecast holds NaN or infinite values"
    if (paths < 0).any():
        return "the forecast holds negative demand"
    if further is not None and not np.isfinite(further).all():
        return "the forecast of the further loads holds NaN or infinite values"
    if further is not None and (further < 0).any():
        return "the forecast of the further loads holds negative ones"
    return ""


def last_known_demand(
    workload: WorkloadInput, time: DecisionTime, config: FallbackConfig
) -> float | None:
    """Newest observed demand, unless it is stale; of short steps the mean of the newest."""
    n_steps = config.averaged_steps(time.step_s)
    last = workload.history.last_demand(n_steps)
    if last is None:
        return None
    demand, age_steps = last
    demand = max(demand, risen_demand(workload.history.demand, n_steps, config) or 0.0)
    age_s = time.now_s - workload.history.demand_until_s + age_steps * time.step_s
    return demand if age_s <= max(config.stale_after_s, time.step_s) else None


def shown_demand(
    workload: WorkloadInput, time: DecisionTime, config: FallbackConfig
) -> float | None:
    """The last demand as far as chance does not explain it; None: it is not known, or stale.

    It is what the reactive floor holds. Of short steps the mean of the newest scatters, too: with
    nothing having changed it is now and then far above what is forecast, and a start that answers
    it comes a minute late. Where its scatter cannot be told it is the last demand.
    """
    last = last_known_demand(workload, time, config)
    if last is None:
        return None
    n_steps = config.averaged_steps(time.step_s)
    shown = risen_demand(workload.history.demand, n_steps, config)
    return last if shown is None else min(last, shown)


def risen_demand(demand: FloatArray, n_steps: int, config: FallbackConfig) -> float | None:
    """What the newest steps show to be there beyond chance; None where that cannot be told.

    The mean of the newest k steps, for every k up to `n_steps`, less `rise_deviations` of what such
    a mean scatters by: the largest of them. How single steps scatter is told by the changes from
    step to step before all of these; their median, so that an earlier burst is none of it. Where
    most steps are equal, as where requests are few, that median is 0, and what the changes amount
    to in all tells it (`scatter_of_changes`).

    Args:
        demand: (C,) demand of steps, the newest last; NaN where it was not observed.
        n_steps: Newest steps that are averaged otherwise.
        config: Settings.
    """
    known = np.flatnonzero(np.isfinite(demand) & (demand >= 0))
    if n_steps <= 1 or known.size == 0 or not np.isfinite(config.rise_deviations):
        return None
    seen = np.where(demand >= 0, demand, np.nan)[: known[-1] + 1]
    change = np.abs(np.diff(seen[:-n_steps][-config.n_scatter :]))
    change = change[np.isfinite(change)]
    if change.size < LEAST_CHANGES:
        return None
    scatter = float(scatter_of_changes(change[None])[0])
    newest = seen[: -n_steps - 1 : -1]
    count = np.arange(1.0, newest.size + 1.0)
    shown = np.cumsum(newest) / count - config.rise_deviations * scatter / np.sqrt(count)
    shown = shown[np.isfinite(shown)]
    return max(0.0, float(shown.max())) if shown.size else None


def scatter_of_changes(change: FloatArray) -> FloatArray:
    """(T,) standard deviation of single steps by the changes (T, K) between them; NaN unknown.

    The median of independent normal steps' changes tells it, whatever a burst among them adds.
    Where it is 0, the mean square does: twice the variance of independent steps.
    """
    typical = MEDIAN_TO_SIGMA * np.nanmedian(change, axis=1)
    return np.asarray(np.where(typical > 0, typical, np.sqrt(np.nanmean(change**2, axis=1) / 2.0)))


def stand(
    workload: WorkloadInput,
    paths: FloatArray,
    time: DecisionTime,
    capacity: float,
    config: FallbackConfig,
    further: FloatArray | None = None,
) -> Standing:
    """Find the highest rung that holds.

    Args:
        workload: The workload.
        paths: (S, H) its forecast.
        time: Time of the decision.
        capacity: Load of one replica, for the rungs below the forecast.
        config: Settings.
        further: (F, S, H) the forecast of its further loads, if it has any.
    """
    since = (time.now_s - workload.forecast_origin_s) / time.step_s - 1.0
    age_steps = math.floor(since + 1e-9)
    elapsed = max(0.0, since - age_steps)
    fault = forecast_fault(workload, paths, further)
    if not fault and age_steps < 0:
        fault = f"the forecast is from the future: its origin is {-since:.1f} steps ahead"
    if not fault and age_steps > min(config.forecast_max_age_steps, paths.shape[1] - 1):
        fault = f"the forecast is stale: {age_steps} steps old"
    if not fault and workload.is_model_trusted:
        rung, detail = (FORECAST, "") if age_steps == 0 else (LAST_FORECAST, "no newer forecast")
        return Standing(rung, detail, age_steps, elapsed, None)
    rung, detail, replicas = _below(workload, time, capacity, config)
    if not fault:
        why = _joined(_joined(DISTRUSTED, workload.trust_reason, ": "), detail)
        return Standing(rung, why, age_steps, elapsed, replicas, is_shadowed=True)
    return Standing(rung, _joined(fault, detail), 0, 0.0, replicas)


def stand_together(
    workloads: Sequence[WorkloadInput],
    standings: Sequence[Standing],
    time: DecisionTime,
    capacity: Sequence[float],
    config: FallbackConfig,
) -> list[Standing]:
    """Standings of the pools of one service: where one cannot be planned, none is.

    Their forecast is one: without a part of it, what the others risk is not known.

    Args:
        workloads: Its pools.
        standings: Where each stands by itself.
        time: Time of the decision.
        capacity: Load of one replica of each.
        config: Settings.
    """
    faults = [s for s in zip(workloads, standings, strict=True) if not s[1].is_planned]
    together = list(standings)
    for i, w in enumerate(workloads):
        if faults and standings[i].is_planned:
            other, fault = faults[0]
            name = "" if other.pool is None else other.pool.name
            rung, detail, replicas = _below(w, time, capacity[i], config)
            why = _joined(f"pool {name}: {fault.detail}", detail)
            together[i] = Standing(rung, why, 0, 0.0, replicas)
    return together


def _joined(first: str, second: str, by: str = "; ") -> str:
    return f"{first}{by}{second}" if second else first


def _below(
    workload: WorkloadInput,
    time: DecisionTime,
    capacity: float,
    config: FallbackConfig,
) -> tuple[str, str, int]:
    """Rung, detail and count below the forecast rungs."""
    current, static = workload.replicas.spec, workload.limits.static_replicas
    last = last_known_demand(workload, time, config)
    rule = workload.trailing_rule
    if rule is None:
        rule = TrailingRule(
            max(1, workload.history.demand.size), config.percentile, config.margin_ratio
        )
    margin = 1.0 + rule.margin_ratio
    if last is not None:
        observed = workload.history.demand[-rule.window_steps :]
        observed = observed[np.isfinite(observed) & (observed >= 0)]
        reactive = needed(last * margin, capacity)
        if observed.size >= config.min_observed:
            level = float(np.quantile(observed, rule.percentile))
            return TRAILING, "", max(needed(level * margin, capacity), reactive)
        return REACTIVE, f"only {observed.size} observed steps", reactive
    detail = "demand is unknown or stale"
    if static is None:
        return HOLD, detail, current
    if current >= static:
        return HOLD_IF_HIGHER, detail, current
    return STATIC, detail, static
