"""Decisions of a replay know the past alone."""

from __future__ import annotations

from dataclasses import replace

from services.backtest.controller import ControllerOptions
from services.backtest.predictors import Trained
from services.backtest.run import run_harmony
from services.simulator import simulate_history
from services.simulator.fleet import Fleet


def test_the_future_is_not_read(fleet: Fleet, simple: Trained) -> None:
    """Demand after a step must not change what was decided up to it."""
    cut = fleet.n_history + 8
    demand, values = fleet.demand.copy(), fleet.values.copy()
    demand[:, cut:] *= 3.0
    values[:, cut:] *= 3.0
    other = replace(fleet, demand=demand, values=values)
    options = ControllerOptions(0.05, n_paths=50)
    history = simulate_history(fleet)
    # the cluster is sized from the whole series, so both must get the same
    runs = [run_harmony(one, history, simple, options) for one in (fleet, other)]
    # a decision at the boundary of step s knows the steps before s
    assert (runs[0].spec[:, :9] == runs[1].spec[:, :9]).all()
    assert (runs[0].spec[:, 9:] != runs[1].spec[:, 9:]).any()
