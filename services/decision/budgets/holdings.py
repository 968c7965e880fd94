"""Holding of one workload in a GPU budget, and what it would take at which price; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import RowMapping

from decider import PRICES, IntArray
from services.kernel.settings import Settings


@dataclass(frozen=True, slots=True)
class Holding:
    """One workload of a budgeted type.

    Attributes:
        held_replicas: What it runs, is being given or was granted, whichever is most.
        demand: (Q,) counts that it would take at `decider.budget.fleet.PRICES`; None: it stays as
            it is, because it is not scaled automatically or has not been decided on for a while.
    """

    shard: int
    gpu_type: str
    gpus_per_replica: int
    held_replicas: int
    demand: IntArray | None = None

    @property
    def demand_gpus(self) -> IntArray:
        """(Q,) GPUs that it would take at each price; what it holds where it stays as it is."""
        held = np.full(PRICES.size, self.held_replicas, dtype=np.int64)
        return self.gpus_per_replica * (held if self.demand is None else self.demand)


def is_granted(mode: str) -> bool:
    """True where a decision is carried out unasked, so that what it gives is held from then on.

    Advice may never be followed, and what waits for an approval may never be approved: such a
    workload holds what it has, and what is being made of a decision that was approved.
    """
    return mode == "Auto"


def presumed(held: int, least: int) -> IntArray:
    """Demand of a workload that has none on record: evenly from what it holds to its minimum.

    Were it taken to hold on whatever the price, the first shard to decide after a budget was set
    too low would have to make all the room alone.
    """
    return np.floor(np.linspace(held, least, PRICES.size)).astype(np.int64)


def to_holding(row: RowMapping, settings: Settings, now: datetime) -> Holding:
    """Holding of a workload: its measured target or, where more, what was granted to it last.

    A workload that was never measured holds what was decided last, or else its minimum.
    """
    desired, spec = row["desired_replicas"], row["spec_replicas"]
    is_in_force = desired is not None and row["valid_until"] > now and is_granted(row["mode"])
    if spec is None:
        held = int(row["min_replicas"] if desired is None else desired)
    else:
        held = max(int(spec), int(desired)) if is_in_force else int(spec)
    demand = None
    oldest = now - timedelta(seconds=int(row["step_s"])) * settings.stale_after_steps
    if row["mode"] == "Auto" and row["claimed_at"] is None:
        demand = presumed(held, min(held, int(row["min_replicas"])))
    elif row["mode"] == "Auto" and row["claimed_at"] >= oldest:
        demand = np.array(row["demand_replicas"], dtype=np.int64)
    if demand is not None and demand.size != PRICES.size:
        demand = None  # claimed by a version with other prices
    gpus = int(row["gpus_per_replica"])
    return Holding(int(row["shard"]), row["gpu_type"], gpus, held, demand)
