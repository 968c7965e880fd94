"""What a report shows beside scores: other settings of rivals, calibration, start-up times."""

from __future__ import annotations

from dataclasses import dataclass

from services.simulator.fleet.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class RivalFrontier:
    """A rival at several settings over the same replay, judged as all are.

    Attributes:
        policy: The rival.
        settings: G settings in words.
        rate: (G,) share of time out of SLA, mean over workloads.
        cost_usd: (G,) cost of the replay.
    """

    policy: str
    settings: tuple[str, ...]
    rate: FloatArray
    cost_usd: FloatArray

    def __post_init__(self) -> None:
        """Check shapes."""
        G = len(self.settings)
        if self.rate.shape != (G,) or self.cost_usd.shape != (G,):
            raise ValueError(
                f"{self.policy}: rate {self.rate.shape} and cost_usd {self.cost_usd.shape} must be "
                f"({G},), one for each setting"
            )


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often demand came in at or below each quantile of its forecast.

    Attributes:
        levels: (Q,) what was said, ascending.
        observed: (Q,) what came.
        n_forecasts: Forecasts that were compared.
        lead_steps: How many steps ahead they were made.
    """

    levels: FloatArray
    observed: FloatArray
    n_forecasts: int
    lead_steps: int = 1

    def __post_init__(self) -> None:
        """Check shapes."""
        if self.levels.shape != self.observed.shape:
            raise ValueError(
                f"levels {self.levels.shape} and observed {self.observed.shape} must be alike"
            )


@dataclass(frozen=True, slots=True)
class StartTimes:
    """Start-up times of one service's replicas, from request to ready.

    Attributes:
        workload: `namespace/name`.
        stated_s: The median that its owner stated.
        measured_s: (N,) seconds that were measured.
    """

    workload: str
    stated_s: float
    measured_s: FloatArray
