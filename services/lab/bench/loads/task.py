"""A benchmark of deciders in which several loads bind a replica.

Split, prelude and starts are those of `bench decide`. A workload takes part where all of its loads
were observed. Its loads come as they are but for one factor per workload, which brings the mean use
over the counted part to 20 replicas. What policies are told of a load's capacity is off by a factor
uniform between 0.75 and 1.25, one per workload and load.

Shapes: W workloads, G loads, C steps before the prelude, T steps of prelude and test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecaster.types import Series
from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.bench.decide.task import (
    MAX_UTILISATION,
    MEAN_GPUS,
    DecideOptions,
    DecideTask,
    make_decide_task,
    steps_of,
)
from services.lab.bench.decide.truth import (
    CONCENTRATION,
    CONCENTRATION_SPREAD,
    GOOD_SHARE,
    MIN_REQUESTS,
    REQUESTS_PER_UNIT,
)
from services.lab.bench.forecast.task import BenchTask
from services.lab.bench.loads.response import LoadResponse, drawn
from services.lab.bench.loads.truth import LoadTruth
from services.simulator.fleet.arrays import BoolArray, FloatArray
from services.simulator.served import ServedTruth

MOST_OFF = 0.25
MOST_LOADS = 4
MakeResponse = Callable[[FloatArray, np.random.Generator], LoadResponse]
"""From (W, G) mean loads of the training part to a response."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadTask:
    """A benchmark's data.

    Attributes:
        decide: Split, starts and bounds; its demand is the first load.
        names: G loads.
        loads: (W, G, C + T) loads as everyone sees them; NaN where one of them is unknown.
        truth: What requests feel.
        stated: (W, G) capacity for each load alone that policies are told.
        stated_single: (W, G) the same of a load that is the only one named: at the mean loads.
    """

    decide: DecideTask
    names: tuple[str, ...]
    loads: FloatArray
    truth: LoadTruth
    stated: FloatArray
    stated_single: FloatArray

    @property
    def n_before(self) -> int:
        """C."""
        return int(self.decide.course.history.shape[1])


def make_load_task(
    loaded: BenchTask,
    names: Sequence[str],
    options: DecideOptions,
    make: MakeResponse = drawn,
    *,
    max_workloads: int | None = None,
) -> LoadTask:
    """Scale and align the workloads that have all loads.

    Args:
        loaded: Workloads whose demand is the first load.
        names: G loads.
        options: How a trace becomes a benchmark of deciders.
        make: Draws the true response.
        max_workloads: Most workloads, in the order of the file.

    Raises:
        InvalidInput: No workload has all loads, or their number is out of bounds.
    """
    if not 2 <= len(set(names)) == len(names) <= MOST_LOADS:
        raise InvalidInput(
            f"--loads={','.join(names)}: 2 to {MOST_LOADS} different indicators are right"
        )
    whole = _with_all_loads(loaded, names, max_workloads)
    decide = make_decide_task(whole, options)
    raw, usual = _loads(decide, names), _usual(decide, names)
    rng = make_rng(options.seed, "bench", "loads", "response")
    response = make(usual, rng)
    scale = _scale(decide, raw, response)
    loads = raw * scale[:, None, None]
    truth = _truth(decide, loads, usual * scale[:, None], response)
    off = make_rng(options.seed, "bench", "loads", "stated").uniform(
        1.0 - MOST_OFF, 1.0 + MOST_OFF, usual.shape
    )
    single = usual / response.use(usual, np.arange(len(usual)))[:, None]
    return LoadTask(
        _scaled(decide, loads, scale),
        tuple(names),
        loads,
        truth,
        off * response.capacity,
        off * single,
    )


def _with_all_loads(loaded: BenchTask, names: Sequence[str], most: int | None) -> BenchTask:
    """The first workloads that have all loads; the others are named with what they lack."""
    skipped = dict(loaded.skipped)
    kept = []
    for i, one in enumerate(loaded.series):
        lacking = [name for name in names if name not in one.indicators]
        if lacking:
            skipped[one.workload] = f"without {', '.join(lacking)}"
        else:
            kept.append(i)
    if not kept:
        first = next(iter(skipped.items()), ("no workload", "the file is empty"))
        raise InvalidInput(
            f"--loads={','.join(names)}: no workload of {loaded.data} has all of them "
            f"({first[0]}: {first[1]})"
        )
    kept = kept[:most]
    return replace(only(loaded, kept), skipped=skipped)


def only(loaded: BenchTask, kept: Sequence[int]) -> BenchTask:
    """Some of a benchmark's workloads."""
    return replace(
        loaded,
        series=tuple(loaded.series[i] for i in kept),
        train_ends=tuple(loaded.train_ends[i] for i in kept),
        validation_ends=tuple(loaded.validation_ends[i] for i in kept),
        targets=loaded.targets[list(kept)],
        units=loaded.units[list(kept)],
    )


def _loads(decide: DecideTask, names: Sequence[str]) -> FloatArray:
    """(W, G, C + T) loads in units of the trace."""
    course, rows = decide.course, []
    n_before = course.history.shape[1]
    for one, stop in zip(decide.forecast.series, decide.forecast.validation_ends, strict=True):
        first = stop - decide.n_prelude - n_before
        rows.append(loads_of(one, names, first, n_before + course.n_steps))
    return np.stack(rows)


def loads_of(one: Series, names: Sequence[str], first: int, n_steps: int) -> FloatArray:
    """(G, n_steps) loads of one workload in units of the trace; NaN where one is unknown.

    Where nothing is asked for, none of the loads is there, whether it was written down or not.
    """
    found = np.stack([steps_of(one, one.indicators.index(n), first, n_steps) for n in names])
    found[:, found[0] == 0] = 0.0
    found[:, ~np.isfinite(found).all(axis=0)] = np.nan
    return np.maximum(found, 0.0)


def _usual(decide: DecideTask, names: Sequence[str]) -> FloatArray:
    """(W, G) mean loads of the training part."""
    found = []
    for one, stop in zip(decide.forecast.series, decide.forecast.validation_ends, strict=True):
        loads = loads_of(one, names, 0, stop)
        found.append(loads[:, np.isfinite(loads[0])].mean(axis=1))
    return np.stack(found)


def _scale(decide: DecideTask, loads: FloatArray, response: LoadResponse) -> FloatArray:
    """(W,) factors that bring the mean use over the counted part of loads to 20 replicas."""
    first = decide.course.history.shape[1] + decide.n_prelude
    means = []
    for w, own in enumerate(loads[:, :, first:]):
        known = own[:, np.isfinite(own[0])]
        means.append(response.use(known.T, np.full(known.shape[1], w)).mean())
    mean = np.array(means)
    idle = [name for name, m in zip(decide.names, mean, strict=True) if not m > 0]
    if idle:
        raise InvalidInput(f"{', '.join(idle)}: no load in the counted part; leave it out")
    return np.asarray(MEAN_GPUS / mean)


def _truth(
    decide: DecideTask, loads: FloatArray, usual: FloatArray, response: LoadResponse
) -> LoadTruth:
    """The response with the luck of every step drawn."""
    course = decide.course
    n, rng = course.n_workloads, make_rng(decide.options.seed, "bench", "loads", "luck")
    concentration = CONCENTRATION * np.exp(CONCENTRATION_SPREAD * rng.standard_normal(n))
    luck = rng.uniform(1e-6, 1.0 - 1e-6, (course.n_steps, n)).T
    counted = np.nan_to_num(loads[:, :, course.history.shape[1] :])
    per_load = REQUESTS_PER_UNIT * MEAN_GPUS / usual[:, :1]
    requests = np.maximum(counted[:, 0] * per_load, MIN_REQUESTS)
    unused = np.zeros(n)
    served = ServedTruth(unused, unused, concentration, requests, GOOD_SHARE, luck)
    return LoadTruth(response, served, counted)


def _scaled(decide: DecideTask, loads: FloatArray, scale: FloatArray) -> DecideTask:
    """The task with the first load as demand in the scaled unit, known where all loads are."""
    course, n_before = decide.course, decide.course.history.shape[1]
    is_known: BoolArray = np.isfinite(loads[:, 0])
    demand = np.where(is_known, loads[:, 0], np.nan)
    return replace(
        decide,
        course=replace(
            course,
            history=demand[:, :n_before],
            demand=demand[:, n_before:],
            initial=np.full(course.n_workloads, np.ceil(MEAN_GPUS / MAX_UTILISATION)),
        ),
        gpus_per_unit=scale,
    )
