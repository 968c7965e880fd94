"""The generated fleet: two weeks of history to train and tune on, then the month itself.

Everything runs on the simulated cluster's engine with its finite GPUs. Latency, queue and GPU
indicators follow from the replicas that each policy holds, so Harmony's forecasts are made step by
step: none of them can be made ahead of the decisions before it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from decider import DecideConfig, Sla
from forecaster.training.fit import FitProgress
from services.backtest.controller import PRIOR_STARTS, ControllerOptions
from services.backtest.predictors import Trained, train
from services.backtest.run import run_harmony
from services.lab.bench.month.source import (
    HISTORY_DAYS,
    MonthFigures,
    MonthOptions,
    MonthSource,
    Watch,
)
from services.simulator import (
    HistoryRun,
    PolicyRun,
    PolicyScore,
    RivalScores,
    run_rivals,
    score,
    simulate_history,
)
from services.simulator.fleet import Fleet, FleetOptions, generate_fleet

DAY_S = 86_400


def fleet_source(options: MonthOptions, watch: Watch) -> MonthSource:
    """Generate the fleet, train and tune on its history, replay the rest under every policy."""
    fleet = month_fleet(options)
    watch("simulating the history", 0, 0)
    history = simulate_history(fleet)
    watch("training the forecaster on the history", 0, 0)

    def on_progress(made: FitProgress) -> bool:
        watch(f"training: {made.stage}", made.epoch, made.n_epochs)
        return True

    trained = train(fleet, history, seed=options.seed, on_progress=on_progress)
    watch("tuning the rivals on the history, then replaying them", 0, 0)
    rivals = run_rivals(fleet, epsilon=options.epsilon, seed=fleet.seed)
    run = replay_harmony(fleet, history, trained, options, watch)
    own = replace(score(run, fleet, promised=options.epsilon), setting="not tuned")
    kept = {name: setting.is_met for name, setting in rivals.tuned.items()}
    policies = {one.name: _figures(one, kept.get(one.name)) for one in (own, *rivals.scores)}
    return MonthSource(
        data=fleet.label,
        kind="generated",
        n_workloads=fleet.n_workloads,
        step_s=float(fleet.step_s),
        days_measured=fleet.replay_hours / 24.0,
        mean_demand_gpus=mean_demand_gpus(fleet),
        policies=policies,
        assumptions=_assumptions(fleet, trained, rivals),
    )


def month_fleet(options: MonthOptions) -> Fleet:
    """The demo's fleet with a replay of `days`."""
    per_day = DAY_S // options.step_s
    return generate_fleet(
        FleetOptions(
            seed=options.seed,
            n_workloads=options.n_workloads,
            step_s=options.step_s,
            n_history=HISTORY_DAYS * per_day,
            n_replay=options.days * per_day,
            epsilon=options.epsilon,
        )
    )


def mean_demand_gpus(fleet: Fleet) -> float:
    """GPUs that the replay's mean demand would fill at the stated capacity."""
    load = np.nanmean(fleet.demand[:, fleet.n_history :], axis=1) / fleet.capacity
    return float(load @ fleet.gpus_per_replica)


def replay_harmony(
    fleet: Fleet, history: HistoryRun, trained: Trained, options: MonthOptions, watch: Watch
) -> PolicyRun:
    """Replay the fleet under Harmony, step by step, with the service's defaults."""
    # Answers at other risk levels are for explanations: without them the counts are the same.
    decide = replace(DecideConfig(), epsilons=())
    settings = ControllerOptions(options.epsilon, seed=options.seed, decide=decide)
    return run_harmony(
        fleet, history, trained, settings, lambda done, n: watch("replaying Harmony", done, n)
    )


def _figures(one: PolicyScore, kept: bool | None) -> MonthFigures:
    return MonthFigures(one.gpu_hours, one.cost_usd, one.workload_violation_rate, one.setting, kept)


def _assumptions(fleet: Fleet, trained: Trained, rivals: RivalScores) -> dict[str, Any]:
    starts = [w.startup for w in fleet.workloads]
    medians_s = [s.median_s for s in starts]
    return {
        "usd_per_gpu_hour": {w.gpu_type: w.price_usd_per_gpu_hour for w in fleet.workloads},
        "gpus": {p.gpu_type: p.n_nodes * p.gpus_per_node for p in fleet.node_pools()},
        "history_days": fleet.n_history * fleet.step_s / DAY_S,
        "start_median_s": [min(medians_s), max(medians_s)],
        "start_sigma": [min(s.sigma for s in starts), max(s.sigma for s in starts)],
        "start_fail_probability": max(s.fail_probability for s in starts),
        "lead_time_belief_starts": PRIOR_STARTS,
        "sla_window_days": Sla().window_s / DAY_S,
        "settings_tried": {name: one.n_tried for name, one in rivals.tuned.items()},
        "forecaster": trained.reason,
        "in_words": [
            "GPU-hours are held by starting and ready replicas, priced by GPU type.",
            "Every policy is told the true capacity of a replica, and the same bounds on replicas.",
            "Harmony believes in the true law of starts, as if it had seen "
            f"{PRIOR_STARTS:g} of them.",
            "All start from the replicas of an untuned HPA that ran the history; static peak holds "
            "the history's peak.",
            "Forecaster and rivals are trained and tuned once, on the history, not again within "
            "the month; a running service would refit its forecaster daily.",
            *fleet.notes,
        ],
    }
