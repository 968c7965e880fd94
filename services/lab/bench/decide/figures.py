"""Figures of one setting's run, per workload, and how they are written.

Shapes: G settings, W workloads, T steps of prelude and test.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.lab.bench.decide.frontier import DAY_S
from services.lab.bench.decide.task import DecideTask
from services.simulator.fleet.arrays import FloatArray
from services.simulator.grid_run import GridRun


@dataclass(frozen=True, slots=True, eq=False)
class WorkloadFigures:
    """The counted part of a run; arrays (W,), NaN where nothing can be said.

    Attributes:
        gpu_hours: GPU-hours asked for, with one GPU per replica.
        violation_rate: Share of known time out of SLA by the true capacity.
        believed_rate: The same by the stated capacity.
        measured_rate: The same as the product measures it.
        demand_weighted_rate: Share of the demand that came in time out of SLA.
        unserved: Demand beyond capacity over all demand.
        churn_per_day: Replicas started and stopped per day.
    """

    gpu_hours: FloatArray
    violation_rate: FloatArray
    believed_rate: FloatArray
    measured_rate: FloatArray
    demand_weighted_rate: FloatArray
    unserved: FloatArray
    churn_per_day: FloatArray


def workload_figures(task: DecideTask, run: GridRun, setting: int) -> WorkloadFigures:
    """Account one setting over the test part."""
    course, part = task.course, slice(task.n_prelude, None)
    asked = run.asked[setting].astype(float)
    known, live = task.is_known[:, part], course.is_live
    load = np.where(known, course.demand[:, part], 0.0)
    out, believed, measured = (
        ratio[setting][:, part] * known
        for ratio in (run.violation_ratio, run.believed_ratio, run.measured_ratio)
    )
    short = run.unserved[setting][:, part] * known
    first = max(0, task.n_prelude - 1)
    moved = np.abs(np.diff(asked, axis=1)) * (live[:, 1:] & live[:, :-1])
    days = live[:, part].sum(axis=1) * course.step_s / DAY_S
    return WorkloadFigures(
        asked[:, part].sum(axis=1) * course.step_s / 3600.0,
        _over(out.sum(axis=1), known.sum(axis=1)),
        _over(believed.sum(axis=1), known.sum(axis=1)),
        _over(measured.sum(axis=1), known.sum(axis=1)),
        _over((out * load).sum(axis=1), load.sum(axis=1)),
        _over(short.sum(axis=1), load.sum(axis=1)),
        _over(moved[:, first:].sum(axis=1), days),
    )


def number(value: float) -> float | None:
    """A figure for a document: six significant digits, null where it does not exist."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def geometric_mean(values: Iterable[float]) -> float | None:
    """Geometric mean of positive figures; None of none."""
    found = np.array(list(values), dtype=float)
    return number(float(np.exp(np.log(found).mean()))) if found.size else None


def epsilon_key(epsilon: float) -> str:
    """A promise as a key of a document: `0.01`."""
    return f"{epsilon:g}"


def _over(
    part: npt.NDArray[np.floating], whole: npt.NDArray[np.floating] | npt.NDArray[np.integer]
) -> FloatArray:
    """`part / whole`; NaN where the whole is zero."""
    safe = np.where(whole > 0, whole, np.nan)
    return np.asarray(part / safe, dtype=float)
