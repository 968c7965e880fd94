"""Tunes the rivals on history: the cheapest setting that keeps the asked violation rate.

One setting for the whole fleet, chosen with the fast fluid model (lead times fixed at their
median), never with the replayed part.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from decider.policies import HpaConfig, TrailingPercentile
from decider.policies.trailing_percentile import ordered_percentile
from decider.policies.view import replicas_for
from services.lab.fleet import Fleet
from services.lab.simulator.fluid import (
    FluidInput,
    history_input,
    hpa_outcome,
    measured_demand,
    run_hpa,
    run_schedules,
)

FloatArray = npt.NDArray[np.float64]

HPA_TARGETS = (*range(5, 20), *range(20, 50, 2), *range(50, 100))
WINDOWS_S = (300.0, 900.0, 1800.0, 3600.0, 3 * 3600.0, 6 * 3600.0, 24 * 3600.0)
PERCENTILES = (50.0, 80.0, 90.0, 95.0, 99.0, 100.0)
MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.3, 1.7, 2.2, 3.0)
WARM_UP_S = 86_400.0


@dataclass(frozen=True, slots=True)
class TunedSetting:
    """A setting chosen on history.

    Attributes:
        label: The setting in words, for tables.
        violation_rate: What it got on history, mean over workloads.
        cost_usd: What it cost on history.
        is_met: Whether any setting of the grid met the asked rate; if not, this is the one with
            the lowest violation rate.
        n_tried: Size of the grid.
    """

    label: str
    violation_rate: float
    cost_usd: float
    is_met: bool
    n_tried: int


@dataclass(frozen=True, slots=True)
class TunedHpa:
    """The HPA to deploy."""

    config: HpaConfig
    setting: TunedSetting


@dataclass(frozen=True, slots=True)
class TunedTrailing:
    """The trailing percentile to deploy."""

    policy: TrailingPercentile
    setting: TunedSetting


def tune_hpa(fleet: Fleet, epsilon: float, config: HpaConfig | None = None) -> TunedHpa:
    """Choose the target utilisation; every other setting is `config`'s."""
    config = config or HpaConfig()
    given = history_input(fleet, _first_step(fleet))
    targets = np.array(HPA_TARGETS, dtype=float)
    outcome = hpa_outcome(given, run_hpa(given, targets, config))
    best, is_met = _cheapest(outcome.violation_rate, outcome.cost_usd, epsilon)
    target = HPA_TARGETS[best]
    setting = TunedSetting(
        label=f"target {target} %" + _missed(is_met),
        violation_rate=float(outcome.violation_rate[best]),
        cost_usd=float(outcome.cost_usd[best]),
        is_met=is_met,
        n_tried=targets.size,
    )
    return TunedHpa(replace(config, target_percent=target), setting)


def tune_trailing_percentile(fleet: Fleet, epsilon: float) -> TunedTrailing:
    """Choose window, percentile and margin together over the whole grid."""
    first = _first_step(fleet)
    given = history_input(fleet, first)
    seen = measured_demand(fleet)[:, : fleet.n_history]
    settings = list(product(WINDOWS_S, PERCENTILES, MARGINS))
    violation_rate = np.zeros(len(settings))
    cost_usd = np.zeros(len(settings))
    for w in range(fleet.n_workloads):
        known = max(int(np.isfinite(given.demand[w]).sum()), 1) * given.step_s
        asked = np.concatenate(list(_schedules(given, w, seen[w], first)))
        violation_s, held_s = run_schedules(given, w, asked)
        violation_rate += violation_s / known / fleet.n_workloads
        cost_usd += held_s * given.gpu_usd_per_s[w]
    best, is_met = _cheapest(violation_rate, cost_usd, epsilon)
    window_s, percentile, margin = settings[best]
    setting = TunedSetting(
        label=f"p{percentile:g} of {window_s / 60:g} min + {100 * margin:g} %" + _missed(is_met),
        violation_rate=float(violation_rate[best]),
        cost_usd=float(cost_usd[best]),
        is_met=is_met,
        n_tried=len(settings),
    )
    return TunedTrailing(TrailingPercentile(window_s, percentile, margin), setting)


def _first_step(fleet: Fleet) -> int:
    """Settings are compared after a day of warm-up, or a third of a short history."""
    return min(int(WARM_UP_S // fleet.step_s), fleet.n_history // 3)


def _cheapest(violation_rate: FloatArray, cost_usd: FloatArray, epsilon: float) -> tuple[int, bool]:
    """Index of the cheapest setting within `epsilon`, else of the least violation."""
    is_within = violation_rate <= epsilon
    if np.any(is_within):
        return int(np.argmin(np.where(is_within, cost_usd, np.inf))), True
    return int(np.lexsort((cost_usd, violation_rate))[0]), False


def _missed(is_met: bool) -> str:
    return "" if is_met else " (missed on history)"


def _schedules(
    given: FluidInput, workload: int, seen: FloatArray, first: int
) -> Iterator[FloatArray]:
    """(margins, T) schedules for each window and percentile, in the order of the grid."""
    for window_s in WINDOWS_S:
        n_window = TrailingPercentile(window_s).n_window_steps(given.step_s)
        levels = trailing_percentiles(seen, n_window, PERCENTILES)[:, first:]
        for level in levels:
            factors = 1.0 + np.array(MARGINS)[:, None]
            asked = replicas_for(factors * level, given.capacity[workload])
            asked = np.clip(asked, given.min_replicas[workload], given.max_replicas[workload])
            yield _held(asked, given.initial[workload])


def _held(asked: FloatArray, initial: float) -> FloatArray:
    """Replace unknown counts by the last known one."""
    if np.isfinite(asked).all():
        return asked
    columns = np.where(np.isfinite(asked[0]), np.arange(asked.shape[1]), -1)
    last = np.maximum.accumulate(columns)
    held = np.where(last >= 0, asked[:, np.maximum(last, 0)], initial)
    return np.asarray(held)


def trailing_percentiles(
    seen: FloatArray, n_window: int, percentiles: tuple[float, ...]
) -> FloatArray:
    """Percentiles of the window that ends before each step, gaps left out.

    Keeps the window sorted as it slides, so that the cost does not grow with the window.

    Args:
        seen: (T,) demand, NaN where unobserved.
        n_window: Steps in the window.
        percentiles: Percentiles with linear interpolation.

    Returns:
        (len(percentiles), T); NaN where the window holds no observation.
    """
    T = seen.size
    levels = np.full((T, len(percentiles)), np.nan)
    window: list[float] = []
    values = seen.tolist()
    is_known = np.isfinite(seen).tolist()
    for t in range(1, T):
        if is_known[t - 1]:
            insort(window, values[t - 1])
        gone = t - 1 - n_window
        if gone >= 0 and is_known[gone]:
            del window[bisect_left(window, values[gone])]
        if window:
            levels[t] = [ordered_percentile(window, p) for p in percentiles]
    return levels.T
