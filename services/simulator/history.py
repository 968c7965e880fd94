"""The history before the replay, in which the fleet had to be scaled too.

A plain HPA with a target that nobody tuned; its allocation drives the closed-loop indicators of the
history and gives every policy the same replicas to start from.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet_course import history_course
from services.simulator.grid_run import simulate_grid
from services.simulator.policies.reactive.hpa import HpaGrid

HISTORY_TARGET_PERCENT = 60


@dataclass(frozen=True, slots=True)
class HistoryRun:
    """Allocation in the history; arrays (W, n_history).

    Attributes:
        spec: Replicas asked for.
        ready_mean: Time-mean ready replicas.
    """

    spec: FloatArray
    ready_mean: FloatArray

    @property
    def last_spec(self) -> FloatArray:
        """(W,) replicas at the end of the history."""
        return self.spec[:, -1]


def simulate_history(fleet: Fleet) -> HistoryRun:
    """Run the untuned HPA over the history."""
    run = simulate_grid(HpaGrid(float(HISTORY_TARGET_PERCENT)), history_course(fleet))
    return HistoryRun(spec=run.asked[0].astype(float), ready_mean=run.ready_mean[0].astype(float))
