"""Frontiers on a replay: the engine's own figures, no look-ahead, and the whole study."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest

from services.backtest.frontier import (
    check_policies,
    frontiers,
    planner,
    replay_course,
    score_grid,
)
from services.backtest.predictors import Trained
from services.backtest.replay_forecasts import ReplayForecasts
from services.kernel.errors import InvalidInput
from services.simulator import HistoryRun, SimulationSetup, score, simulate, simulate_history
from services.simulator.engine.specs import NodeSpec
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.grid_run import simulate_grid
from services.simulator.policies import Hpa, HpaConfig
from services.simulator.policies.reactive.hpa import HpaGrid


@pytest.fixture(scope="module")
def fleet(fleet: Fleet) -> Fleet:
    """A generated fleet taken as a trace: indicators do not follow from the allocation."""
    return replace(fleet, has_closed_loop=False)


def all_paths(fleet: Fleet, history: HistoryRun, trained: Trained) -> FloatArray:
    """(R, W, S, H) paths of every decision of the replay."""
    said = ReplayForecasts(fleet, history, trained)
    return np.stack([said.paths_at(t) for t in range(fleet.n_replay)])


def test_a_grid_on_the_replay_scores_as_the_engine_does(fleet: Fleet) -> None:
    """Where GPUs are never short: a pending pod costs the engine nothing."""
    history = simulate_history(fleet)
    course, targets = replay_course(fleet, history), (20, 40, 60, 80)
    found = score_grid(fleet, simulate_grid(HpaGrid(np.array(targets, dtype=float)), course))
    types = sorted({w.gpu_type for w in fleet.workloads})
    nodes = tuple(NodeSpec(f"big-{one.lower()}", one, 100_000) for one in types)
    setup = SimulationSetup(fleet, history.last_spec, fleet.seed, nodes)
    for g, target in enumerate(targets):
        policies = [Hpa(HpaConfig(target_percent=target))] * fleet.n_workloads
        run = simulate("hpa", policies, setup)
        expected = score(run, fleet)
        assert found.rate[g] == pytest.approx(expected.violation_rate, abs=1e-6)
        assert found.cost_usd[g] == pytest.approx(expected.cost_usd, rel=1e-6)
        assert found.unserved[g] == pytest.approx(expected.unserved_ratio, rel=1e-4)
        assert found.hours_out[g] == pytest.approx(run.violation_s.sum() / 3600.0, rel=1e-5)
    assert len(set(np.round(found.rate, 6))) > 1


def test_a_gap_longer_than_a_context_ends_no_replay(fleet: Fleet, simple: Trained) -> None:
    """Neither where the replay begins in it, nor where its forecasts go on after it."""
    n_context, ends = simple.config.window.context, fleet.n_history + 6
    demand, values, observed = fleet.demand.copy(), fleet.values.copy(), fleet.observed.copy()
    gap = slice(ends - n_context - 9, ends)
    demand[0, gap], values[0, gap], observed[0, gap] = np.nan, np.nan, False
    other = replace(fleet, demand=demand, values=values, observed=observed)
    history = simulate_history(other)
    found = all_paths(other, history, simple)
    assert found.shape[:2] == (24, 3)
    assert np.isfinite(found).all()
    assert found[:, 0].max() > 0


def test_forecasts_of_the_replay_never_read_ahead(fleet: Fleet, simple: Trained) -> None:
    cut = fleet.n_history + 8
    demand, values = fleet.demand.copy(), fleet.values.copy()
    demand[:, cut:] *= 3.0
    values[:, cut:] *= 3.0
    other = replace(fleet, demand=demand, values=values)
    history = simulate_history(fleet)
    before, after = (all_paths(one, history, simple) for one in (fleet, other))
    assert before.shape[:2] == (24, 3)
    np.testing.assert_array_equal(before[:9], after[:9])
    # the decision at the next boundary knows the first changed step
    assert (before[9] != after[9]).any()


def test_paths_of_a_step_are_not_kept_for_the_next(fleet: Fleet, simple: Trained) -> None:
    """Those of a week of fifty workloads would take ten gigabytes of the worker's memory."""
    said = ReplayForecasts(fleet, simulate_history(fleet), simple)
    first = said.paths_at(0)
    known = weakref.ref(first)
    del first
    said.paths_at(1)
    assert known() is None


def test_the_plan_reaches_as_far_as_the_forecast(fleet: Fleet, simple: Trained) -> None:
    """The controller plans all of it: with three steps beyond the starts counts were others."""
    laws = ReplayForecasts(fleet, simulate_history(fleet), simple)
    found = planner(fleet, 12, laws)
    assert (found.horizon, found.laws) == (12, laws)
    assert found.lead_time_s.shape[0] == fleet.n_workloads


def test_a_fleet_whose_indicators_follow_the_allocation_is_refused(
    fleet: Fleet, simple: Trained
) -> None:
    closed = replace(fleet, has_closed_loop=True)
    with pytest.raises(ValueError, match="frontiers need a trace"):
        frontiers(closed, simulate_history(fleet), simple)


def test_an_unknown_policy_is_named() -> None:
    check_policies(["kpa", "hpa"])
    with pytest.raises(InvalidInput, match="'vpa' is unknown; known: static_peak, "):
        check_policies(["hpa", "vpa"])
