"""Forecasters on one trace: trained on its first part, scored once on its last.

Time order throughout: the first 70 % train, the next 10 % validate and choose, the last 20 % test.
CRPS in units of the workload's mean absolute deviation, mean over workloads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forecaster.backtest import MODEL, ScoreTable, backtest
from forecaster.baselines import POOLS, Baseline, BestSimple
from forecaster.config import ForecasterConfig
from forecaster.fit import fit
from forecaster.types import Predictor
from services.kernel.clock import make_rng
from services.lab.backtest.series import MeasuredFleet
from services.lab.fleet import Fleet
from services.lab.fleet.meters import ServiceMeters
from services.lab.simulator import simulate_history

TEST_RATIO = 0.2
BEST_SIMPLE = "best_simple"


@dataclass(frozen=True, slots=True)
class ForecastBench:
    """Scores of every predictor.

    Attributes:
        data: The trace.
        seed: Seed of the training.
        n_workloads: Workloads scored.
        scores: Workload to predictor to score.
    """

    data: str
    seed: int
    n_workloads: int
    scores: ScoreTable

    def rows(self) -> list[dict[str, Any]]:
        """One row per predictor, best CRPS first."""
        names = sorted({name for row in self.scores.values() for name in row})
        found = []
        for name in names:
            own = [row[name] for row in self.scores.values()]
            row: dict[str, Any] = {
                "model": name,
                "crps": round(float(np.mean([s.crps for s in own])), 4),
            }
            for level in sorted(own[0].coverage):
                covered = float(np.mean([s.coverage[level] for s in own]))
                row[f"coverage_{level:g}"] = round(covered, 4)
            found.append(row)
        return sorted(found, key=lambda row: float(row["crps"]))


def bench_forecast(fleet: Fleet, *, seed: int) -> ForecastBench:
    """Train the model and score it beside the simple forecasters.

    Raises:
        ForecasterError: The trace is too short to train on.
    """
    config = ForecasterConfig()
    measured = MeasuredFleet(fleet, ServiceMeters(fleet, simulate_history(fleet).ready_mean))
    ready = simulate_history(fleet).last_spec
    for step in range(fleet.n_history, fleet.n_steps):
        measured.read(step, ready)
    series = measured.series(fleet.n_steps)
    n_test = round(TEST_RATIO * fleet.n_steps)
    result = fit([s.head(s.n_steps - n_test) for s in series], config, seed)
    predictors: dict[str, Predictor] = {MODEL: result.model}
    predictors |= {name: Baseline(name, config.window) for name in POOLS}
    predictors[BEST_SIMPLE] = BestSimple(result.report.picks, config.window)
    rng = make_rng(seed, "bench")
    gate = backtest(series, predictors, config, rng, n_last=n_test)
    return ForecastBench(fleet.label, seed, len(gate.scores), gate.scores)
