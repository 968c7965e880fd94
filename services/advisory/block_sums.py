"""Sums of what ran and of what Harmony would have run, over blocks of a window; pure.

Shapes: T steps, B blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.advisory.counterfactual import HOUR_S, CarriedOut, StoredSteps
from services.backtest.frontier import MIN_BLOCKS
from services.simulator.fleet.arrays import BoolArray, FloatArray

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class BlockSums:
    """Sums over blocks of a window; arrays (B,).

    Attributes:
        hours: Hours that can be compared.
        today_usd: What they cost.
        harmony_usd: What Harmony's counts would have cost.
        known_hours: Those of them whose demand is known.
        today_out_h: Hours of these out of SLA.
        harmony_out_h: The same under Harmony's counts.
    """

    hours: FloatArray
    today_usd: FloatArray
    harmony_usd: FloatArray
    known_hours: FloatArray
    today_out_h: FloatArray
    harmony_out_h: FloatArray

    def columns(self) -> tuple[FloatArray, ...]:
        """The sums in their order."""
        return (
            *(self.hours, self.today_usd, self.harmony_usd),
            *(self.known_hours, self.today_out_h, self.harmony_out_h),
        )

    def plus(self, other: BlockSums) -> BlockSums:
        """Sums of two workloads, block by block."""
        pairs = zip(self.columns(), other.columns(), strict=True)
        return BlockSums(*(mine + theirs for mine, theirs in pairs))


def block_length_s(length_s: float) -> float:
    """Length of what is resampled: a day, or less so that there are at least `MIN_BLOCKS`."""
    return min(DAY_S, length_s / MIN_BLOCKS)


def block_sums(
    steps: StoredSteps, carried: CarriedOut, from_s: float, block_s: float, n_blocks: int
) -> BlockSums:
    """Sums of a workload's steps over blocks of time.

    Args:
        steps: What ran.
        carried: What Harmony's counts would have made of it.
        from_s: Start of the first block, epoch seconds.
        block_s: Length of one.
        n_blocks: B.
    """
    starts_s = steps.start_s + steps.step_s * np.arange(steps.n_steps)
    block = np.clip((starts_s - from_s) // block_s, 0, n_blocks - 1).astype(np.int64)
    is_known = np.isfinite(carried.believed) & np.isfinite(steps.believed)
    step_h = steps.step_s / HOUR_S

    def total(values: FloatArray, where: BoolArray) -> FloatArray:
        return np.bincount(block, np.where(where, values, 0.0), n_blocks).astype(float)

    one = np.full(steps.n_steps, step_h)
    compared = steps.is_compared
    return BlockSums(
        total(one, compared),
        total(steps.cost_usd, compared),
        total(carried.cost_usd, compared),
        total(one, is_known),
        total(steps.believed * step_h, is_known),
        total(carried.believed * step_h, is_known),
    )
