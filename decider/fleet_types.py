"""What the rest of the fleet means for one part of it: verdicts of GPU budgets, and who else holds.

Shapes: N other parts of the fleet, Q prices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decider.errors import require

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FleetVerdict:
    """One workload's count after a GPU budget.

    Attributes:
        cap: Count allowed.
        shadow_price_usd_per_gpu_hour: Price of the budget.
        detail: In words.
    """

    cap: int
    shadow_price_usd_per_gpu_hour: float
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Elsewhere:
    """Workloads of a GPU type that are decided on elsewhere, in N parts (shards).

    Attributes:
        held_gpus: (N,) GPUs that each part holds or was granted.
        demand_gpus: (N, Q) GPUs that each part would take at `decider.budget.fleet.PRICES`; a part
            of which that is not known has what it holds at every price.
    """

    held_gpus: IntArray
    demand_gpus: IntArray

    def __post_init__(self) -> None:
        """Refuse contradictory shapes."""
        shape, n = self.demand_gpus.shape, self.held_gpus.shape
        require(len(shape) == 2 and shape[:1] == n, f"demand_gpus {shape}, held_gpus {n}: (N, Q)")
        known = bool((self.held_gpus >= 0).all() and (self.demand_gpus >= 0).all())
        require(known, "held_gpus and demand_gpus must be >= 0")
