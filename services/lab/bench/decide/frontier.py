"""Costs at a matched violation rate, with a paired block bootstrap.

Shapes: G settings, W workloads, T counted steps, B blocks of a day, R replicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.backtest.equal_violation import cost_at
from services.simulator.fleet.arrays import BoolArray, FloatArray, IntArray
from services.simulator.grid_run import GridRun

DAY_S = 86_400.0
MIN_BLOCKS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """A policy's counted part, summed over days.

    Attributes:
        out: (G, W, B) steps out of SLA.
        held: (G, W, B) replica-steps asked for.
    """

    out: FloatArray
    held: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Yardstick:
    """What every policy's sums are divided by.

    Attributes:
        known: (W, B) steps with known demand.
        oracle: (W, B) replica-steps of the oracle.
    """

    known: FloatArray
    oracle: FloatArray


def block_steps(n_counted: int, step_s: float) -> int:
    """Steps of a bootstrap block: a day, or a tenth of the counted part where that is shorter."""
    return max(1, min(round(DAY_S / step_s), n_counted // MIN_BLOCKS))


def block_sums(values: npt.NDArray[np.floating[Any]], n_per_block: int) -> FloatArray:
    """(..., T) to (..., B): sums over blocks; the last one may be shorter."""
    starts = np.arange(0, values.shape[-1], n_per_block)
    return np.asarray(np.add.reduceat(values, starts, axis=-1), dtype=float)


def blocks_of(run: GridRun, is_known: BoolArray, n_prelude: int, n_per_block: int) -> Blocks:
    """Sum a run's counted part over blocks."""
    part = slice(n_prelude, None)
    out = run.violation_ratio[..., part] * is_known[:, part]
    return Blocks(block_sums(out, n_per_block), block_sums(run.asked[..., part], n_per_block))


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A policy's settings as points; cost relative to the oracle.

    Attributes:
        rate: (G,) violation rate, mean over workloads.
        ratio: (G,) cost over the oracle's, mean over workloads.
    """

    rate: FloatArray
    ratio: FloatArray

    def at(self, epsilon: float) -> float:
        """Least cost ratio at a violation rate; NaN where no setting reaches it."""
        return cost_at(self.rate, self.ratio, epsilon)


def curve(
    blocks: Blocks,
    yard: Yardstick,
    days: FloatArray | None = None,
    workloads: IntArray | None = None,
) -> Curve:
    """Points of a policy, over all days and workloads or over a resample of them.

    Args:
        blocks: The policy.
        yard: What is divided by.
        days: (B,) how often each block counts; None: once.
        workloads: Rows to average over; None: all.
    """
    weight = np.ones(yard.known.shape[1]) if days is None else days
    known, oracle = yard.known @ weight, yard.oracle @ weight
    rows = np.arange(known.size) if workloads is None else workloads
    rows = rows[(known[rows] > 0) & (oracle[rows] > 0)]
    out, held = blocks.out @ weight, blocks.held @ weight
    rate = (out[:, rows] / known[rows]).mean(axis=1)
    ratio = (held[:, rows] / oracle[rows]).mean(axis=1)
    return Curve(rate, ratio)


def resamples(
    n_workloads: int, n_days: int, n: int, rng: np.random.Generator
) -> list[tuple[FloatArray, IntArray]]:
    """Paired resamples: how often each of the days counts, and which workloads."""
    found = []
    for _ in range(n):
        days = np.bincount(rng.integers(0, n_days, n_days), minlength=n_days).astype(float)
        found.append((days, rng.integers(0, n_workloads, n_workloads)))
    return found
