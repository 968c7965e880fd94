"""Harmony in one process: fair against its rivals, repeatable, and honest in its verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.choice.baselines import BestSimple
from forecaster.choice.ladder import Ladder
from forecaster.config import ForecasterConfig
from services.backtest.controller import ControllerOptions
from services.backtest.run import Trained, run_harmony
from services.backtest.series import MeasuredFleet
from services.backtest.study import PromiseResult
from services.simulator import PolicyScore, score, simulate_history
from services.simulator.fleet import Fleet, FleetOptions, generate_fleet
from services.simulator.fleet.meters import ServiceMeters


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return generate_fleet(
        FleetOptions(seed=3, n_workloads=3, step_s=600, n_history=432, n_replay=24)
    )


@pytest.fixture(scope="module")
def simple() -> Trained:
    config = ForecasterConfig()
    return Trained(Ladder(None, BestSimple({}, config.window)), config, None, "no model")


def test_same_seed_same_run(fleet: Fleet, simple: Trained) -> None:
    history = simulate_history(fleet)
    options = ControllerOptions(0.05, n_paths=50)
    first = run_harmony(fleet, history, simple, options)
    again = run_harmony(fleet, history, simple, options)
    assert (first.spec == again.spec).all()
    assert (first.violation_s == again.violation_s).all()
    other = run_harmony(fleet, history, simple, replace(options, epsilon=0.5))
    assert score(other, fleet).gpu_hours < score(first, fleet).gpu_hours


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


def test_measurements_end_where_they_were_read(fleet: Fleet) -> None:
    history = simulate_history(fleet)
    measured = MeasuredFleet(fleet, ServiceMeters(fleet, history.ready_mean))
    n = fleet.n_history
    assert np.isnan(measured.demand(0, n + 4, 4)).all()
    measured.read(n, history.last_spec)
    column = [spec.name for spec in fleet.workloads[0].indicators].index(fleet.workloads[0].demand)
    if fleet.observed[0, n, column]:
        assert measured.demand(0, n + 1, 1)[0] == pytest.approx(fleet.values[0, n, column])
    assert [s.n_steps for s in measured.series(n + 1, 50)] == [50, 50, 50]


def scored(name: str, cost_usd: float, violation_rate: float) -> PolicyScore:
    empty = np.zeros(0)
    figures = (1.0, cost_usd, violation_rate, 0.01, 0, 0.0, 0.5, "", empty, empty, empty, empty)
    return PolicyScore(name, *figures)


@pytest.mark.parametrize(
    ("own", "rival", "words"),
    [
        ((90.0, 0.008), (100.0, 0.009), "Forecasting paid: 10.0% cheaper than hpa."),
        ((110.0, 0.008), (100.0, 0.009), "Forecasting did not pay here: 10.0% dearer than hpa."),
        (
            (90.0, 0.02),
            (100.0, 0.009),
            "No gain at this promise: Harmony broke its promise of 1.00%: 2.00%, 10.0% cheaper "
            "than hpa at 0.90%.",
        ),
        (
            (110.0, 0.02),
            (100.0, 0.009),
            "10.0% dearer than hpa. Harmony broke its promise of 1.00%: 2.00%.",
        ),
        ((90.0, 0.008), (10.0, 0.2), "No rival kept as low a violation rate"),
    ],
)
def test_the_verdict(own: tuple[float, float], rival: tuple[float, float], words: str) -> None:
    result = PromiseResult(0.01, (scored("harmony", *own), scored("hpa", *rival)))
    assert words in result.verdict()
