"""What is kept of an arm: sums over blocks of days per workload, as plain numbers.

Shapes: G settings, W workloads, B blocks, R origins, Q levels, H steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from forecaster.metrics import crps_of_quantiles, pinball
from forecaster.quantiles import interpolation_matrix
from services.lab.bench.ablate.forecast_arms import Parts
from services.lab.bench.decide.frontier import block_sums, blocks_of
from services.lab.bench.decide.run import task_block
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.forecast.arm import LEVELS
from services.simulator.fleet.arrays import F32Array
from services.simulator.grid_run import GridRun

TAIL_LEVEL = 0.99
INTERVALS = (0.8, 0.95, 0.99)


def decision_sums(task: DecideTask, run: GridRun) -> list[dict[str, Any]]:
    """Per setting (W, B) sums: steps out of SLA, replica-steps asked for, known steps, changes."""
    size = task_block(task)
    blocks = blocks_of(run, task.is_known, task.n_prelude, size)
    known = block_sums(task.is_known[:, task.n_prelude :].astype(float), size)
    moved = np.abs(np.diff(run.asked, axis=-1, prepend=run.asked[..., :1]))
    churn = block_sums(moved[..., task.n_prelude :].astype(float), size)
    return [
        {
            "out": _plain(blocks.out[g]),
            "held": _plain(blocks.held[g]),
            "known": _plain(known),
            "churn": _plain(churn[g]),
        }
        for g in range(blocks.out.shape[0])
    ]


def forecast_sums(task: DecideTask, parts: Parts, quantiles: F32Array) -> dict[str, Any]:
    """(W, B) sums over observed steps of the counted part, errors in the task's units.

    Args:
        task: The benchmark.
        parts: Which origins the quantiles are of: those that are replayed.
        quantiles: (R, Q, H).
    """
    bench = task.forecast
    origins = parts.replayed
    step = origins.position + 1 - np.array(bench.validation_ends)[origins.which]
    rows = np.flatnonzero(step >= 0)
    own, found = origins.take(rows), quantiles[rows]
    truth = bench.truth(own)
    actual, seen = truth.actual[:, 0], truth.observed[:, 0]
    unit = bench.units[own.which].astype(np.float32)
    ends = [(1 - width) / 2 for width in INTERVALS]
    at = interpolation_matrix(LEVELS, np.array([*ends, *(1 - e for e in ends), TAIL_LEVEL]))
    points = np.einsum("eq,bqh->ebh", at, found)
    n = len(INTERVALS)
    tail = pinball(points[-1][:, None], np.array([TAIL_LEVEL]), actual)[:, 0]
    values = {
        "crps": crps_of_quantiles(found, LEVELS, actual) / unit,
        "tail": tail / unit,
        "below_99": actual <= points[-1],
    }
    for k, width in enumerate(INTERVALS):
        values[f"inside_{width:g}"] = (actual >= points[k]) & (actual <= points[n + k])
    block = step[rows] // task_block(task)
    shape = (len(bench.series), int(block.max()) + 1)
    cell = own.which * shape[1] + block

    def total(by_step: npt.NDArray[Any]) -> list[list[float]]:
        by_row = np.where(seen, by_step, 0).sum(axis=1, dtype=np.float64)
        sums = np.bincount(cell, by_row, minlength=shape[0] * shape[1]).astype(float)
        return _plain(sums.reshape(shape))

    return {"n": total(seen), **{name: total(value) for name, value in values.items()}}


def _plain(sums: npt.NDArray[np.floating[Any]]) -> list[list[float]]:
    return [[float(f"{value:.7g}") for value in row] for row in sums]
