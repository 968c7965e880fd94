"""Tunes the rivals on history: the cheapest setting that keeps the asked violation rate.

One setting for the whole fleet, chosen with the grid simulator (lead times fixed at their median),
never with the replayed part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from services.simulator.course import Course
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.fleet_course import history_course
from services.simulator.grid_run import GridRun, simulate_grid
from services.simulator.policies import HpaConfig, Solo, TrailingPercentileGrid
from services.simulator.policies.reactive.hpa import HpaGrid
from services.simulator.policies.view import RELATIVE_SLACK
from services.simulator.schedules import trailing_schedules
from services.simulator.served_fleet import ServedFleet

HPA_TARGETS = (*range(5, 20), *range(20, 50, 2), *range(50, 100))
WINDOWS_S = (300.0, 900.0, 1800.0, 3600.0, 3 * 3600.0, 6 * 3600.0, 24 * 3600.0)
PERCENTILES = (50.0, 80.0, 90.0, 95.0, 99.0, 100.0)
MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.3, 1.7, 2.2, 3.0)
WARM_UP_S = 86_400.0
BATCH = 16
"""Settings that are run at once while the best one is looked for."""


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

    policy: Solo[None]
    setting: TunedSetting


def tune_hpa(fleet: Fleet, epsilon: float, served: ServedFleet | None = None) -> TunedHpa:
    """Choose the target utilisation; every other setting is the default.

    Args:
        fleet: The fleet.
        epsilon: Rate to keep.
        served: How the history was served; None: it is judged by the stated capacity.
    """
    course = history_course(fleet, _first_step(fleet), served)
    run = simulate_grid(HpaGrid(np.array(HPA_TARGETS, dtype=float)), course)
    violation_rate = violation_rates(run, course)
    cost_usd = (run.asked.sum(axis=2, dtype=float) * _usd_per_step(fleet)).sum(axis=1)
    best, is_met = _cheapest(violation_rate, cost_usd, epsilon)
    target = HPA_TARGETS[best]
    setting = TunedSetting(
        label=f"target {target} %" + _missed(is_met),
        violation_rate=float(violation_rate[best]),
        cost_usd=float(cost_usd[best]),
        is_met=is_met,
        n_tried=len(HPA_TARGETS),
    )
    return TunedHpa(HpaConfig(target_percent=target), setting)


def tune_trailing_percentile(
    fleet: Fleet, epsilon: float, served: ServedFleet | None = None
) -> TunedTrailing:
    """Choose window, percentile and margin over the whole grid; arguments as `tune_hpa`."""
    course = history_course(fleet, _first_step(fleet), served)
    settings = np.array(list(product(WINDOWS_S, PERCENTILES, MARGINS)))
    cost_usd, least = _known_beforehand(course, _usd_per_step(fleet))

    def measure(batch: IntArray) -> FloatArray:
        window_s, percentile, margin = settings[batch].T
        policy = TrailingPercentileGrid(window_s, percentile, margin)
        return violation_rates(simulate_grid(policy, course), course)

    best, violation_rate = search_cheapest(cost_usd, least, measure, epsilon)
    is_met = violation_rate <= epsilon
    window_s, percentile, margin = (float(x) for x in settings[best])
    setting = TunedSetting(
        label=f"p{percentile:g} of {window_s / 60:g} min + {100 * margin:g} %" + _missed(is_met),
        violation_rate=violation_rate,
        cost_usd=float(cost_usd[best]),
        is_met=is_met,
        n_tried=len(settings),
    )
    return TunedTrailing(Solo(TrailingPercentileGrid(window_s, percentile, margin)), setting)


def violation_rates(run: GridRun, course: Course) -> FloatArray:
    """(G,) mean over workloads of the share of known time out of SLA."""
    known = np.maximum(np.isfinite(course.demand).sum(axis=1), 1)
    rates = run.violation_ratio.sum(axis=2, dtype=float) / known
    return np.asarray(rates.mean(axis=1))


def _known_beforehand(course: Course, usd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cost of every setting, and what it violates at least: whatever starts take.

    A step whose need is above what is asked for is out of SLA however early starts land.
    """
    known = np.maximum(np.isfinite(course.demand).sum(axis=1), 1)
    need = _least_need(course)
    n_settings = len(WINDOWS_S) * len(PERCENTILES) * len(MARGINS)
    cost_usd, least = np.zeros(n_settings), np.zeros(n_settings)
    for w in range(course.n_workloads):
        grid = trailing_schedules(course, w, WINDOWS_S, PERCENTILES, MARGINS)
        asked = np.concatenate(list(grid))
        cost_usd += usd[w] * asked.sum(axis=1)
        least += (need[w] > asked).sum(axis=1) / known[w] / course.n_workloads
    return cost_usd, least


def _least_need(course: Course) -> FloatArray:
    """(W, T) replicas without which a step is out of SLA, whatever starts take.

    Infinite where a step has such bad luck that more of its requests miss with any number.
    """
    if course.served is None:
        return course.need()
    load = course.served.largest_good_load(course.served.half(course.true_capacity()))
    demand = np.nan_to_num(course.demand)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(demand > 0, demand / load, 0.0)
    return np.ceil(needed * (1.0 - RELATIVE_SLACK))


def search_cheapest(
    cost_usd: FloatArray,
    least: FloatArray,
    measure: Callable[[IntArray], FloatArray],
    epsilon: float,
) -> tuple[int, float]:
    """The cheapest setting within `epsilon`, else the one of the least violation.

    The answer is that of measuring all N; bounds spare most of it.

    Args:
        cost_usd: (N,) cost of each setting.
        least: (N,) a lower bound of its violation rate.
        measure: Violation rates of some settings.
        epsilon: Rate to keep.

    Returns:
        The setting, and its violation rate.
    """
    found = np.full(cost_usd.size, np.inf)
    slack = 1e-9
    hopeful = np.flatnonzero(least <= epsilon + slack)
    for batch in _batches(hopeful[np.argsort(cost_usd[hopeful], kind="stable")]):
        found[batch] = measure(batch)
        is_within = found[batch] <= epsilon
        if is_within.any():
            best = int(batch[np.argmax(is_within)])
            return best, float(found[best])
    rest = np.lexsort((cost_usd, least))
    for batch in _batches(rest[np.isinf(found[rest])]):
        if least[batch[0]] > found.min() + slack:
            break
        found[batch] = measure(batch)
    best = int(np.lexsort((cost_usd, found))[0])
    return best, float(found[best])


def _batches(settings: IntArray) -> Iterator[IntArray]:
    for start in range(0, settings.size, BATCH):
        yield settings[start : start + BATCH]


def _usd_per_step(fleet: Fleet) -> FloatArray:
    """(W,) price of one replica for a step."""
    return fleet.gpus_per_replica * fleet.price_usd_per_gpu_hour / 3600.0 * float(fleet.step_s)


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
