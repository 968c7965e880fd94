"""Harmony in one process: the two cores, and the simulated cluster's engine in place of pods.

The same functions that the services call, with rows replaced by arrays: forecast, calibrate,
decide, learn from the outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from decider import (
    DecideConfig,
    Decision,
    Hardware,
    LeadTimeBelief,
    Limits,
    ReplicaState,
    ShardRequest,
    Sla,
    WorkloadInput,
    capacity_draws,
    decide_shard,
    predictive_draws,
)
from forecaster import Forecast, Ladder, WindowConfig
from services.backtest.forecasts import ForecastStream, quantile_functions
from services.backtest.memory import DecisionMemory
from services.backtest.series import MeasuredFleet
from services.kernel.clock import make_rng
from services.simulator.engine.specs import ReplicaCounts
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray

N_DRAWS = 64
PRIOR_STARTS = 20.0
HISTORY_STEPS = 144


@dataclass(frozen=True, slots=True)
class ControllerOptions:
    """Settings of a run of Harmony.

    Attributes:
        epsilon: The promise.
        sla_window_s: Window of the promise; default: the service's.
        n_paths: Sample paths per forecast.
        seed: Seed of the forecasts.
        decide: Settings of the decision stage.
        is_calibrated: Whether forecasts are corrected by what came of earlier ones.
        is_joint: Whether paths keep their dependence between steps; else each step is shuffled.
    """

    epsilon: float
    sla_window_s: float = Sla().window_s
    n_paths: int = 200
    seed: int = 7
    decide: DecideConfig = field(default_factory=DecideConfig)
    is_calibrated: bool = True
    is_joint: bool = True


class HarmonyController:
    """Decides for a whole fleet, step after step.

    Args:
        fleet: Workloads.
        measured: What has been measured; read, never written.
        ladder: Predictors.
        window: The predictors' window.
        options: How to run.
    """

    def __init__(
        self,
        fleet: Fleet,
        measured: MeasuredFleet,
        ladder: Ladder,
        window: WindowConfig,
        options: ControllerOptions,
    ) -> None:
        self._fleet = fleet
        self._measured = measured
        self._forecasts = ForecastStream(
            measured,
            ladder,
            window,
            n_paths=options.n_paths,
            seed=options.seed,
            is_calibrated=options.is_calibrated,
        )
        self._options = options
        self._sla = Sla(options.epsilon, window_s=options.sla_window_s)
        self._memory = DecisionMemory.empty(fleet.n_workloads)
        beliefs = [
            LeadTimeBelief.from_median(w.startup.median_s, w.startup.sigma, PRIOR_STARTS)
            for w in fleet.workloads
        ]
        self._lead_time_s = np.stack([predictive_draws(belief, N_DRAWS) for belief in beliefs])
        self._capacity = np.stack(
            [capacity_draws(w.capacity_per_replica, 0.0, N_DRAWS) for w in fleet.workloads]
        )

    def decide(self, step: int, counts: Sequence[ReplicaCounts]) -> tuple[Decision, ...]:
        """Counts for the boundary before step `step`, knowing the steps before it."""
        now_s = float(self._fleet.start_s + step * self._fleet.step_s)
        forecast = self._forecasts.at(step)
        request = ShardRequest(
            tuple(
                self._input(i, step, now_s, state, forecast.rung[i])
                for i, state in enumerate(counts)
            ),
            self._paths(step, forecast),
            self._capacity,
            self._lead_time_s,
            float(self._fleet.step_s),
            quantiles=quantile_functions(forecast),
        )
        decisions = decide_shard(request, self._options.decide, now_s)
        self._memory = self._memory.decided(decisions, now_s, self._options.decide.risk)
        return decisions

    def learn(self, violation_ratio: FloatArray) -> None:
        """Feed back the (W,) shares of the last step out of SLA; NaN where unknown."""
        self._memory = self._memory.learned(
            violation_ratio, self._sla, float(self._fleet.step_s), self._options.decide.risk
        )

    def _paths(self, step: int, forecast: Forecast) -> FloatArray:
        paths = forecast.paths.astype(np.float64)
        if self._options.is_joint:
            return paths
        rng = make_rng(self._options.seed, "shuffle", step)
        return rng.permuted(paths, axis=1)

    def _input(
        self, i: int, step: int, now_s: float, counts: ReplicaCounts, rung: str
    ) -> WorkloadInput:
        workload = self._fleet.workloads[i]
        return WorkloadInput(
            workload.key,
            ReplicaState(counts.spec, counts.ready, counts.start_ages_s, counts.pending_ages_s),
            Limits(workload.min_replicas, workload.max_replicas),
            self._sla,
            Hardware(workload.gpu_type, workload.gpus_per_replica, workload.price_usd_per_gpu_hour),
            history=self._memory.history(i, self._measured.demand(i, step, HISTORY_STEPS), now_s),
            risk=self._memory.risk[i],
            forecast_rung=rung,
            forecast_origin_s=now_s - self._fleet.step_s,
        )
