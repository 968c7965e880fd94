"""Trains on a fleet's history, then runs Harmony over its replay in one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from forecaster import (
    BestSimple,
    FitProgress,
    ForecasterConfig,
    ForecasterError,
    Ladder,
    compare,
    fit,
)
from services.backtest.controller import ControllerOptions, HarmonyController
from services.backtest.series import MeasuredFleet
from services.kernel.clock import make_rng
from services.simulator import HistoryRun, PolicyRun, RunLedger, deployment_spec, node_specs
from services.simulator.accounting import mean_ready
from services.simulator.engine.engine import ClusterEngine
from services.simulator.fleet import Fleet
from services.simulator.fleet.meters import ServiceMeters

HELD_OUT_RATIO = 0.12


@dataclass(frozen=True, slots=True)
class Trained:
    """Predictors ready to serve.

    Attributes:
        ladder: The predictors.
        config: Their configuration.
        reason: Which they are and why, in words.
    """

    ladder: Ladder
    config: ForecasterConfig
    reason: str


def train(
    fleet: Fleet,
    history: HistoryRun,
    *,
    seed: int,
    config: ForecasterConfig | None = None,
    on_progress: Callable[[FitProgress], bool] | None = None,
) -> Trained:
    """Train on the history but for its end, judge on its end.

    Args:
        fleet: Only its history is read.
        history: Allocation in the history (closed-loop indicators follow from it).
        seed: Seed of weights and batches.
        config: Configuration; default: the service's.
        on_progress: Called per epoch; false stops the training.
    """
    config = config or ForecasterConfig()
    measured = MeasuredFleet(fleet, ServiceMeters(fleet, history.ready_mean))
    series = measured.series(fleet.n_history)
    n_held = max(round(HELD_OUT_RATIO * fleet.n_history), 2 * config.window.horizon)
    rng = make_rng(seed, "judge")
    try:
        result = fit(
            [s.head(s.n_steps - n_held) for s in series], config, seed, on_progress=on_progress
        )
    except ForecasterError as error:
        ladder = Ladder(None, BestSimple({}, config.window))
        return Trained(ladder, config, f"no model: {error}")
    found = compare(series, result.model, config, rng, n_last=n_held)
    picks = {w: found.best_simple(w, pick) for w, pick in result.report.picks.items()}
    model = result.model if found.skill > 0 else None
    reason = f"back-test skill {found.skill:+.3f} against the best simple forecaster per workload"
    return Trained(Ladder(model, BestSimple(picks, config.window)), config, reason)


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


def without_model(trained: Trained) -> Trained:
    """The same with the best simple forecaster alone."""
    ladder = replace(trained.ladder, model=None)
    return replace(trained, ladder=ladder, reason="best simple forecaster")
