"""Quantile functions that forecasts stated, by the time of the decision that reads them.

Shapes: T decisions, W workloads, Q levels, H steps ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from decider.step_quantiles import StepQuantiles
from services.simulator.policies.grid import FloatArray


class LawsByTime(Protocol):
    """Quantile functions that a planner asks for at each of its decisions."""

    def at(self, now_s: float) -> tuple[StepQuantiles, ...]:
        """W quantile functions of the decision at `now_s`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class KnownLaws:
    """What the decider integrates, as the service does; sample paths are drawn from these.

    Attributes:
        levels: (Q,) levels.
        values: (T, W, Q, H) quantiles of the demand, NaN where a workload has no forecast.
        first_s: Epoch seconds of the first decision with a forecast.
        step_s: Seconds from one forecast to the next.
    """

    levels: FloatArray
    values: FloatArray
    first_s: float
    step_s: float

    def at(self, now_s: float) -> tuple[StepQuantiles, ...]:
        """W quantile functions of a decision at a step's boundary.

        Raises:
            ValueError: If there is no forecast at that time.
        """
        row = round((now_s - self.first_s) / self.step_s)
        if not 0 <= row < len(self.values):
            raise ValueError(f"now_s={now_s}: forecasts begin at {self.first_s}")
        return tuple(StepQuantiles(self.levels, one) for one in self.values[row])
