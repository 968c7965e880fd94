"""One decision benchmark: which demand, which split, in which unit.

The protocol is that of the design: lead time one step, utilisation at most 0.85, whole GPUs, the
mean demand of the first 70 % scaled to 20 GPUs, the first 70 % for training. The last eighth of
the training part is the forecaster's validation. Time runs on from before the test part: policies
warm up and are tuned in the prelude, only the test part is counted.

Shapes: W workloads, T steps of prelude and test, C steps before them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from forecaster.types import Series
from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.bench.decide.truth import CapacityTruth, with_truth
from services.lab.bench.forecast.task import BenchTask, Protocol, load_task
from services.simulator.course import Course
from services.simulator.fleet.arrays import BoolArray, FloatArray

MAX_STEPS_AHEAD = 12
SLOW_LEAD_Z = 2.6
TRAIN_RATIO = 0.7
VALIDATION_SHARE = 0.125
MAX_UTILISATION = 0.85
MEAN_GPUS = 20.0
MAX_BOUND_RATIO = 20.0
"""Every policy may use up to this many times the mean demand: no policy is told the peak."""
HISTORY_S, LEAST_HISTORY_STEPS = 14 * 86_400.0, 2016
"""The longest memory that a rival has by its description is two weeks."""


@dataclass(frozen=True, slots=True)
class DecideOptions:
    """How a trace becomes a benchmark.

    Attributes:
        max_test_steps: Most steps counted per workload, from the test part's start on.
        max_prelude_steps: Most steps before them in which policies warm up and are tuned.
        max_history_steps: Most steps before those that policies can look back to; None: two weeks
            of them, 2,016 at least.
        lead_median_steps: Median lead time in steps.
        lead_sigma: Standard deviation of its logarithm; 0: fixed.
        capacity_cv: Coefficient of variation of the true capacity from step to step, which no
            policy is told.
        seed: Seed of everything random.
        truth: The true capacity over the stated one, which no policy is told either.
    """

    max_test_steps: int = 2016
    max_prelude_steps: int = 1008
    max_history_steps: int | None = None
    lead_median_steps: float = 1.0
    lead_sigma: float = 0.0
    capacity_cv: float = 0.0
    seed: int = 7
    truth: CapacityTruth = field(default_factory=CapacityTruth)

    def __post_init__(self) -> None:
        """Refuse two laws of the true capacity at once."""
        if self.capacity_cv > 0 and not self.truth.is_stated:
            raise InvalidInput(
                f"--capacity-cv={self.capacity_cv:g}, --truth={self.truth.kind}: give one of them"
            )

    def history_steps(self, step_s: float) -> int:
        """Most steps before the prelude, of a trace with such steps."""
        if self.max_history_steps is not None:
            return self.max_history_steps
        return max(LEAST_HISTORY_STEPS, math.ceil(HISTORY_S / step_s))

    @property
    def slow_lead_steps(self) -> float:
        """Lead time that 99.5 % of the starts keep, in steps."""
        return self.lead_median_steps * math.exp(SLOW_LEAD_Z * self.lead_sigma)

    @property
    def n_steps_ahead(self) -> int:
        """Steps of each forecast that decisions read.

        Three beyond the lead time: later steps only tell what a start is worth afterwards, and
        the count decided hardly depends on them.
        """
        return min(MAX_STEPS_AHEAD, 3 + math.ceil(self.slow_lead_steps))


@dataclass(frozen=True, slots=True)
class DecideTask:
    """A benchmark's data.

    Attributes:
        forecast: The same series and split as a forecasting benchmark.
        course: Prelude and test part in GPUs of demand.
        n_prelude: Steps of the prelude.
        gpus_per_unit: (W,) GPUs of work that a unit of the trace's demand stands for.
        options: How it was made.
    """

    forecast: BenchTask
    course: Course
    n_prelude: int
    gpus_per_unit: FloatArray
    options: DecideOptions

    @property
    def names(self) -> tuple[str, ...]:
        """W workloads."""
        return tuple(s.workload for s in self.forecast.series)

    @property
    def is_known(self) -> BoolArray:
        """(W, T) steps whose demand is known."""
        return np.asarray(self.course.is_live & np.isfinite(self.course.demand))


def load_decide_task(
    path: Path, *, demand: str | None = None, options: DecideOptions | None = None
) -> DecideTask:
    """Read a file of the shared format as a benchmark.

    Raises:
        TraceError: Unreadable file, or no workload long enough.
    """
    loaded = load_task(path, Protocol.PANEL, demand=demand, max_origins=10**9)
    return make_decide_task(loaded, options or DecideOptions())


def make_decide_task(loaded: BenchTask, options: DecideOptions) -> DecideTask:
    """Split, scale and align the workloads of a forecasting benchmark.

    Workloads are aligned at the start of their test parts; one that is shorter does not exist
    (costs nothing, counts nothing) beyond its end.
    """
    stops = [round(TRAIN_RATIO * s.n_steps) for s in loaded.series]
    ends = [round(stop * (1.0 - VALIDATION_SHARE)) for stop in stops]
    task = replace(loaded, train_ends=tuple(ends), validation_ends=tuple(stops))
    n_test = max(s.n_steps - stop for s, stop in zip(task.series, stops, strict=True))
    n_test = min(n_test, options.max_test_steps)
    n_prelude = min(options.max_prelude_steps, max(stops) // 2)
    most_before = options.history_steps(float(task.series[0].step_s))
    before = min(most_before, max(stops) - n_prelude)
    rows = [
        _demand(s, stop - n_prelude - before, before + n_prelude + n_test)
        for s, stop in zip(task.series, stops, strict=True)
    ]
    trained = [_demand(s, 0, stop) for s, stop in zip(task.series, stops, strict=True)]
    gpus_per_unit = np.array([MEAN_GPUS / float(np.nanmean(d)) for d in trained])
    demand = np.stack(rows) * gpus_per_unit[:, None]
    first = task.series[0]
    start_s = first.start_s + (stops[0] - n_prelude) * first.step_s
    course = _course(demand, before, float(start_s), float(first.step_s), options)
    exists = [s.n_steps - stop for s, stop in zip(task.series, stops, strict=True)]
    step = np.arange(n_prelude + n_test) - n_prelude
    is_live = (step < np.array(exists)[:, None]) & (step >= -np.array(stops)[:, None])
    course = with_truth(replace(course, is_live=is_live), options.truth, options.seed)
    return DecideTask(task, course, n_prelude, gpus_per_unit, options)


def _demand(series: Series, first: int, n_steps: int) -> FloatArray:
    """Steps [first, first + n_steps) of a workload's demand; NaN where unobserved or outside."""
    return steps_of(series, series.demand_index, first, n_steps)


def steps_of(series: Series, column: int, first: int, n_steps: int) -> FloatArray:
    """Steps [first, first + n_steps) of an indicator; NaN where unobserved or outside."""
    found = np.full(n_steps, np.nan)
    low, high = max(first, 0), min(first + n_steps, series.n_steps)
    seen = series.observed[low:high, column]
    found[low - first : high - first] = np.where(seen, series.values[low:high, column], np.nan)
    return found


def _course(
    demand: FloatArray, before: int, start_s: float, step_s: float, options: DecideOptions
) -> Course:
    """What happens, with the luck of starts and capacities drawn once for all policies."""
    W, T = demand.shape[0], demand.shape[1] - before
    rng = make_rng(options.seed, "bench", "decide")
    n_draws = 4096 if options.lead_sigma > 0 else 1
    z = rng.standard_normal((W, n_draws)) if options.lead_sigma > 0 else np.zeros((W, 1))
    lead_s = step_s * options.lead_median_steps * np.exp(options.lead_sigma * z)
    sigma = float(np.sqrt(np.log1p(options.capacity_cv**2)))
    factor = np.exp(sigma * rng.standard_normal((W, T)) - 0.5 * sigma**2)
    recent = np.nan_to_num(demand[:, max(0, before - 24) : before]).max(axis=1, initial=1.0)
    return Course(
        history=demand[:, :before],
        demand=demand[:, before:],
        is_live=np.ones((W, T), dtype=bool),
        capacity=np.full(W, MAX_UTILISATION),
        capacity_factor=factor if sigma > 0 else np.ones((W, T)),
        min_replicas=np.ones(W),
        max_replicas=np.full(W, round(MAX_BOUND_RATIO * MEAN_GPUS)),
        initial=np.maximum(1.0, np.ceil(recent / MAX_UTILISATION)),
        lead_s=lead_s,
        start_s=start_s,
        step_s=step_s,
    )
