"""Harmony replayed in one process."""

from __future__ import annotations

from dataclasses import replace

from services.backtest.controller import ControllerOptions
from services.backtest.predictors import Trained
from services.backtest.run import run_harmony
from services.simulator import score, simulate_history
from services.simulator.fleet import Fleet


def test_same_seed_same_run(fleet: Fleet, simple: Trained) -> None:
    history = simulate_history(fleet)
    options = ControllerOptions(0.05, n_paths=50)
    first = run_harmony(fleet, history, simple, options)
    again = run_harmony(fleet, history, simple, options)
    assert (first.spec == again.spec).all()
    assert (first.violation_s == again.violation_s).all()
    other = run_harmony(fleet, history, simple, replace(options, epsilon=0.5))
    assert score(other, fleet).gpu_hours < score(first, fleet).gpu_hours
