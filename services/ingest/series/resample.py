"""From raw samples to the step grid. Pure numpy.

Rules, each held by a test:

* A gauge is the mean of the samples in `[step, step + step_s)`.
* A counter is a rate per second over `(step, step + step_s]`: a reading at the very end of a step
  closes it. It is the mean of the rates between neighbouring readings, each weighted by the part of
  its interval that lies in the step. The reading before the step counts as the first neighbour if
  it is not older than one step; an older one says nothing of this step.
* A reading below the one before it is a reset. What happened in between is unknown, so the interval
  is left out: the rate is never negative, and a reset adds no spike.
* Of samples with the same time the last to arrive counts; otherwise the order does not matter.
* A step without usable samples is unobserved: never 0, never the value before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.ingest.series.samples import SECOND_US, Mask, Samples, sort_unique


@dataclass(frozen=True, slots=True)
class StepGrid:
    """T steps of `step_us` microseconds from `start_us`."""

    start_us: int
    step_us: int
    n_steps: int

    @property
    def end_us(self) -> int:
        """End of the last step."""
        return self.start_us + self.n_steps * self.step_us


@dataclass(frozen=True, slots=True)
class Resampled:
    """Indicators on the grid.

    Attributes:
        value: (n_series, T); NaN where unobserved.
        observed: (n_series, T).
    """

    value: NDArray[np.float32]
    observed: Mask


def resample(samples: Samples, is_counter: Mask, grid: StepGrid) -> Resampled:
    """Put samples on the step grid.

    Args:
        samples: Finite values, in order of arrival; series in `0..n_series-1`. For counters also
            the last reading before the grid, where there is one.
        is_counter: Kind of each series, (n_series,).
        grid: Steps wanted.
    """
    shape = (len(is_counter), grid.n_steps)
    ordered = sort_unique(samples)
    counter_sample = is_counter[ordered.series]
    total = np.zeros(shape[0] * shape[1])
    weight = np.zeros(shape[0] * shape[1])
    for part, add in (
        (ordered.where(~counter_sample), _add_gauges),
        (ordered.where(counter_sample), _add_counters),
    ):
        if len(part):
            position, weights, values = add(part, grid)
            total += np.bincount(position, weights * values, minlength=len(total))
            weight += np.bincount(position, weights, minlength=len(weight))
    observed = weight > 0
    value = np.full(len(total), np.nan, dtype=np.float32)
    value[observed] = total[observed] / weight[observed]
    return Resampled(value.reshape(shape), observed.reshape(shape))


_Contribution = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def _add_gauges(samples: Samples, grid: StepGrid) -> _Contribution:
    step = (samples.at_us - grid.start_us) // grid.step_us
    inside = (step >= 0) & (step < grid.n_steps)
    position = (samples.series * grid.n_steps + step)[inside]
    return position, np.ones(len(position)), samples.value[inside]


def _add_counters(samples: Samples, grid: StepGrid) -> _Contribution:
    begin_us, end_us = samples.at_us[:-1], samples.at_us[1:]
    rise = np.diff(samples.value)
    step = (end_us - grid.start_us - 1) // grid.step_us
    step_start_us = grid.start_us + step * grid.step_us
    usable = (
        (samples.series[1:] == samples.series[:-1])
        & (rise >= 0)
        & (begin_us >= step_start_us - grid.step_us)
        & (step >= 0)
        & (step < grid.n_steps)
    )
    begin_us, end_us, rise = begin_us[usable], end_us[usable], rise[usable]
    weights = (end_us - np.maximum(begin_us, step_start_us[usable])) / SECOND_US
    rate = rise / ((end_us - begin_us) / SECOND_US)
    position = samples.series[1:][usable] * grid.n_steps + step[usable]
    return position, weights, rate
