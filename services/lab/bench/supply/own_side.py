"""Harmony on nodes that come and go: forecast, lead times, decision, patch, headroom.

Each part is the function that the services call: the forecasting service's stream of forecasts, the
decision service's lead times and advice on headroom, the decider, and the operator's room, ceiling,
back-off and buffers. What they read as rows they are given as values.

At the notice of an interruption the replicas on that node are replaced in the operator's next pass,
and count for decisions neither as asked for nor as there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from sqlalchemy import RowMapping

from decider import (
    DecideConfig,
    Decision,
    FloatArray,
    Hardware,
    IntArray,
    Limits,
    ReplicaState,
    Sla,
    StepQuantiles,
    WorkloadInput,
    reach_steps,
)
from services.backtest.memory import DecisionMemory
from services.decision.headroom.advice import Dependence, TypeNeeds, to_advice
from services.kernel.clock import make_rng
from services.lab.bench.supply.cluster import SupplyCluster
from services.lab.bench.supply.demand import GPU_TYPE, STEP_S, SupplyTask
from services.lab.bench.supply.known_spot import KnownSpot
from services.lab.bench.supply.known_supply import KnownSupply, supply_row
from services.lab.bench.supply.nodes import Reserve
from services.lab.bench.supply.run_figures import SettingFigures, coverage_of
from services.lab.bench.supply.starts import KnownStarts, RunClock, interval_of
from services.operator.plan.buffers import Advised, gpus_to_hold, noted
from services.operator.plan.supply import TypeSupply
from services.simulator.policies.rivals import HARMONY

CONFIG = DecideConfig(epsilons=())
"""What the service runs with; no count depends on the counterfactuals of explanations."""


@dataclass(frozen=True, slots=True, eq=False)
class StepInputs:
    """What is the same for all promises at one step.

    Attributes:
        step: Step of the replay that begins.
        now_s: Its start in seconds of the run.
        paths: (W, S, H) paths from it on.
        laws: W quantile functions.
        rungs: Who answered.
        peaks: W laws of the most replicas that are needed.
        demand: (W, C) newest demand.
        dependence: Of the services' demands.
    """

    step: int
    now_s: float
    paths: FloatArray
    laws: tuple[StepQuantiles, ...]
    rungs: tuple[str, ...]
    peaks: tuple[IntArray, ...]
    demand: FloatArray
    dependence: Dependence


@dataclass(frozen=True, slots=True, eq=False)
class AskedService:
    """One service's part of a request, and how far it has to look."""

    given: WorkloadInput
    lead_time_s: FloatArray
    reach: int


class HarmonySide:
    """Harmony under one promise, on a cluster of its own.

    Args:
        task: The fleet.
        cluster: Its cluster.
        promise: Largest share of time out of SLA.
    """

    def __init__(self, task: SupplyTask, cluster: SupplyCluster, promise: float) -> None:
        self.cluster = cluster
        self.promise = promise
        self.n_held = 0
        self._task = task
        self._sla = Sla(promise)
        self._specs = [workload.to_spec() for workload in task.fleet.workloads]
        self._clock = RunClock(float(task.fleet.replay_start_s))
        self._memory = DecisionMemory.empty(len(self._specs))
        self._starts = KnownStarts(len(self._specs), self._clock)
        self._known = KnownSupply(cluster, self._clock)
        self._spot = KnownSpot(cluster, self._clock)
        self._desired: list[int] = []
        self._advised: Advised = ()
        self._supply: TypeSupply | None = None
        self._lead_time_s: list[FloatArray] = []
        cluster.on_notice = self._replace_leaving

    def ask(self, inputs: StepInputs) -> list[AskedService]:
        """Look at the cluster, and ask about each service."""
        if inputs.step > 0:
            share = self.cluster.ledger.violation(inputs.step - 1)
            self._memory = self._memory.learned(share, self._sla, float(STEP_S), CONFIG.risk)
        self._starts.look(self.cluster)
        self._supply = self._known.look(self._starts)
        self._spot.look()
        row = supply_row(self._supply)
        found = [self._ask(service, inputs, row) for service in range(len(self._specs))]
        self._lead_time_s = [each.lead_time_s for each in found]
        return found

    def _ask(self, service: int, inputs: StepInputs, supply: dict[str, Any]) -> AskedService:
        assert self._supply is not None
        cluster, spec = self.cluster, self._specs[service]
        state = self._known.state_row(service, self._supply)
        lead_time_s = self._starts.lead_time_s(service, spec, state, supply, inputs.now_s)
        now_s = self._clock.at(inputs.now_s).timestamp()
        on_way = [r for r in cluster.replicas[service] if not r.is_ready]
        leaving = self._spot.leaving(service)
        replicas = ReplicaState(
            max(0, int(cluster.spec[service]) - leaving),
            int(cluster.ready[service]) - leaving,
            tuple(cluster.now_s - r.asked_s for r in on_way if r.node is not None),
            tuple(cluster.now_s - r.asked_s for r in on_way if r.node is None),
            state["schedulable_gpus"],
            spot=self._spot.use(service),
        )
        history = self._memory.history(service, inputs.demand[service], now_s)
        given = WorkloadInput(
            str(service),
            replicas,
            Limits(spec.min_replicas, spec.max_replicas),
            self._sla,
            Hardware(GPU_TYPE, spec.gpus_per_replica, spec.price_usd_per_gpu_hour),
            history=history,
            risk=self._memory.risk[service],
            forecast_rung=inputs.rungs[service],
            forecast_origin_s=now_s - STEP_S,
        )
        horizon = inputs.paths.shape[2]
        return AskedService(given, lead_time_s, reach_steps(history, lead_time_s, STEP_S, horizon))

    def apply(self, decisions: Sequence[Decision], inputs: StepInputs) -> None:
        """Patch what was decided as far as the supply lets it, and hold the headroom."""
        supply = self._supply
        assert supply is not None
        row = supply_row(supply)
        self._desired = [d.final for d in decisions]
        asked = self._beside_leaving()
        granted = self._known.patch(asked, supply)
        for decision, count, wanted in zip(decisions, granted, asked, strict=True):
            is_held = _is_cut(decision) or count < wanted
            self.n_held += is_held and inputs.step >= self._task.n_warm_up
        self._hold(decisions, inputs, row)
        for replica in self.cluster.scale(granted):
            replica.expected_s = interval_of(self._lead_time_s[replica.service])
        kept = [min(d.final, n) for d, n in zip(decisions, granted, strict=True)]
        made = [replace(d, final=n) for d, n in zip(decisions, kept, strict=True)]
        now_s = self._clock.at(inputs.now_s).timestamp()
        self._memory = self._memory.decided(made, now_s, CONFIG.risk)

    def _beside_leaving(self) -> list[int]:
        """What was decided, and as many more as are about to go, within the services' bounds."""
        return [
            max(n, min(n + self._spot.leaving(service), spec.max_replicas))
            for service, (n, spec) in enumerate(zip(self._desired, self._specs, strict=True))
        ]

    def _replace_leaving(self) -> None:
        """The operator's pass after a notice: what is about to go is replaced.

        Nothing falls, and nothing is replaced where less was granted than decided.
        """
        if self._supply is None or not self._desired:
            return
        spec = [int(n) for n in self.cluster.spec]
        told = zip(spec, self._desired, self._beside_leaving(), strict=True)
        asked = [now if now < decided else max(now, beside) for now, decided, beside in told]
        self.cluster.scale(self._known.patch(asked, self._supply))

    def _hold(
        self, decisions: Sequence[Decision], inputs: StepInputs, supply: dict[str, Any]
    ) -> None:
        """Size the headroom as it is advised, and let it go as the operator does."""
        assert self._supply is not None
        needs = [
            {
                "workload_id": service,
                "gpus_per_replica": spec.gpus_per_replica,
                "usd_per_gpu_hour": spec.price_usd_per_gpu_hour,
                "current_replicas": decision.current,
                "held_replicas": max(decision.current, decision.final),
                "max_replicas": max(decision.current, decision.final, spec.max_replicas),
                "step_s": STEP_S,
                "peaks": inputs.peaks[service],
                "log_risk_price": decision.next_log_multiplier,
                "risk_at_use": None,  # a step here is out of SLA or not: there is no response
            }
            for service, (spec, decision) in enumerate(zip(self._specs, decisions, strict=True))
        ]
        known = TypeNeeds(
            cast(RowMapping, supply),
            cast(list[RowMapping], needs),
            len(needs),
            inputs.dependence,
        )
        now = self._clock.at(inputs.now_s)
        generator = make_rng(self._task.seed, "headroom", supply["cluster_id"], GPU_TYPE)
        advice = to_advice(known, generator, now)
        chunk, patience_s = int(advice["chunk_gpus"]), self._supply.startup.patience_s
        self._advised = noted(self._advised, int(advice["gpus"]), now, patience_s)
        reserve = self.cluster.pool.reserve
        current = reserve.n_chunks * reserve.chunk_gpus
        gpus = gpus_to_hold(current, self._advised, now, patience_s)
        self.cluster.hold(Reserve(math.ceil(gpus / chunk), chunk))

    def figures(self, first_s: float, last_s: float) -> SettingFigures:
        """What it came to; the interval's coverage is that of starts between two times."""
        n, n_inside = coverage_of(self.cluster, first_s, last_s)
        return SettingFigures(
            HARMONY,
            f"promise {self.promise:.1%}",
            self.cluster.ledger.figures(),
            self.cluster.pool.n_refused,
            self.promise,
            self.n_held,
            n,
            n_inside,
        )


def _is_cut(decision: Decision) -> bool:
    """Whether the guard that keeps counts to what can be scheduled has cut an increase."""
    return any(
        each.guard == "schedulable" and each.after < each.before for each in decision.guard_trace
    )
