"""Runs Harmony over a fleet's replay in one process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.backtest.controller import ControllerOptions, HarmonyController
from services.backtest.predictors import Trained
from services.backtest.series import MeasuredFleet
from services.simulator import HistoryRun, PolicyRun, RunLedger, deployment_spec, node_specs
from services.simulator.accounting import mean_ready
from services.simulator.engine.engine import ClusterEngine
from services.simulator.fleet import Fleet
from services.simulator.fleet.meters import ServiceMeters


def run_harmony(
    fleet: Fleet,
    history: HistoryRun,
    trained: Trained,
    options: ControllerOptions,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> PolicyRun:
    """Replay the fleet under Harmony on the simulated cluster's engine.

    Args:
        fleet: What is replayed.
        history: Allocation before the replay.
        trained: Predictors.
        options: How Harmony is run.
        on_step: Called before each step with the steps done and all steps.
    """
    measured = MeasuredFleet(fleet, ServiceMeters(fleet, history.ready_mean))
    controller = HarmonyController(fleet, measured, trained.ladder, trained.config.window, options)
    engine = ClusterEngine(node_specs(fleet), seed=fleet.seed, now_s=float(fleet.replay_start_s))
    for workload, n in zip(fleet.workloads, history.last_spec, strict=True):
        engine.add_deployment(deployment_spec(workload, int(n)))
    ledger = RunLedger(fleet, "harmony", history.last_spec)
    for step in range(fleet.n_history, fleet.n_steps):
        on_step(step - fleet.n_history, fleet.n_replay)
        now_s = float(fleet.start_s + step * fleet.step_s)
        counts = [engine.counts(w.key) for w in fleet.workloads]
        decisions = controller.decide(step, counts)
        for decision in sorted(decisions, key=lambda d: d.final > d.current):  # free GPUs first
            if decision.final != decision.current:
                engine.scale(decision.workload, decision.final)
        engine.advance(now_s + fleet.step_s)
        pieces = [engine.timeline(w.key, now_s, now_s + fleet.step_s) for w in fleet.workloads]
        ready = np.array([mean_ready(intervals) for intervals in pieces])
        measured.read(step, ready)
        ratio = np.empty(fleet.n_workloads)
        for i, intervals in enumerate(pieces):
            account = ledger.record(i, step - fleet.n_history, decisions[i].final, intervals)
            ratio[i] = account.violation_s / account.known_s if account.known_s > 0 else np.nan
        controller.learn(ratio)
    return ledger.run()
