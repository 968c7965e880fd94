"""Holding of one workload in a GPU budget, and what it would take at which price; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider import PRICES, IntArray


@dataclass(frozen=True, slots=True)
class Holding:
    """One workload of a budgeted type.

    Attributes:
        held_replicas: What it runs or was granted, whichever is more.
        demand: (Q,) counts that it would take at `decider.budget.fleet.PRICES`; None: it stays as
            it is, because it is not scaled automatically or has not been decided on for a while.
    """

    shard: int
    gpu_type: str
    gpus_per_replica: int
    held_replicas: int
    demand: IntArray | None = None


def presumed(held: int, least: int) -> IntArray:
    """Demand of a workload that has none on record: evenly from what it holds to its minimum.

    Were it taken to hold on whatever the price, the first shard to decide after a budget was set
    too low would have to make all the room alone.
    """
    return np.floor(np.linspace(held, least, PRICES.size)).astype(np.int64)
