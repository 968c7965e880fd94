"""Settings of NVIDIA's Dynamo Planner as a policy of the loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals
from services.lab.arena.loop import SERVE, LoopSetup
from services.lab.arena.requests import RequestList

PREDICTORS = ("constant", "arima", "kalman", "prophet")


@dataclass(frozen=True, slots=True)
class PlannerSetup:
    """How the Planner scales.

    Attributes:
        goals: What requests are promised.
        slo_scale: What it is told of them: times this. Lower is safer.
        by_load: It scales by the load of the workers now, every few seconds.
        by_throughput: It scales by the load that it predicts, every few minutes.
        predictor: How it predicts, one of `PREDICTORS`.
        starting_told: Whether it knows which workers are still starting, as on Kubernetes.
        history: Requests before the replay, for its predictor; None: it starts without.
        further: Settings of its own configuration, by its names; they win over the others.
    """

    goals: RequestGoals
    slo_scale: float = 1.0
    by_load: bool = True
    by_throughput: bool = True
    predictor: str = "arima"
    starting_told: bool = False
    history: RequestList | None = None
    further: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no Planner."""
        if not 0 < self.slo_scale < float("inf"):
            raise InvalidInput(f"slo_scale={self.slo_scale:g} must be finite and > 0")
        if self.predictor not in PREDICTORS:
            raise InvalidInput(
                f"predictor={self.predictor}: must be one of {', '.join(PREDICTORS)}"
            )
        if not (self.by_load or self.by_throughput):
            raise InvalidInput("by_load=False, by_throughput=False: one must be True")

    def config(self, setup: LoopSetup, gpus: int) -> dict[str, Any]:
        """The Planner's own configuration.

        Args:
            setup: Limits of the pools.
            gpus: GPUs of one worker.
        """
        return {
            "mode": "agg" if SERVE in setup.initial else "disagg",
            "optimization_target": "sla",
            "ttft_ms": self.slo_scale * self.goals.ttft_ms,
            "itl_ms": self.slo_scale * self.goals.tpot_ms,
            "enable_load_scaling": self.by_load,
            "enable_throughput_scaling": self.by_throughput,
            "load_predictor": self.predictor,
            "max_gpu_budget": setup.max_workers * len(setup.initial) * gpus,
            "prefill_engine_num_gpu": gpus,
            "decode_engine_num_gpu": gpus,
            "report_interval_hours": None,
            "live_dashboard_port": 0,
            **self.further,
        }
