"""The frontier decides by what `HarmonyController` decides by: its counts are the controller's."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from decider import DecideConfig, Decision
from services.backtest.controller import ControllerOptions, HarmonyController
from services.backtest.frontier import planner, replay_course
from services.backtest.predictors import Trained
from services.backtest.replay_forecasts import ReplayForecasts
from services.backtest.run import run_harmony
from services.simulator import HistoryRun, simulate_history
from services.simulator.course import Course
from services.simulator.engine.specs import ReplicaCounts
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.policies.grid import GridView
from services.simulator.policies.predictive.planned import PlannedGrid

# the first action's own limit, which the frontier leaves out, is as far away as it can be
CONFIG = DecideConfig(epsilons=(), first_step_ratio=1e9)
PROMISE = 0.01


@pytest.fixture(scope="module")
def fleet(fleet: Fleet) -> Fleet:
    """A generated fleet taken as a trace."""
    return replace(fleet, has_closed_loop=False)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the controller was told at a step of the replay, and what it decided."""

    t: int
    counts: tuple[ReplicaCounts, ...]
    decisions: tuple[Decision, ...]


def as_deployed(
    fleet: Fleet, history: HistoryRun, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> list[Moment]:
    """Every decision of Harmony's own replay."""
    found: list[Moment] = []

    class Recorded(HarmonyController):
        def decide(self, step: int, counts: Sequence[ReplicaCounts]) -> tuple[Decision, ...]:
            decisions = super().decide(step, counts)
            found.append(Moment(step - fleet.n_history, tuple(counts), decisions))
            return decisions

    monkeypatch.setattr("services.backtest.run.HarmonyController", Recorded)
    run_harmony(fleet, history, trained, ControllerOptions(PROMISE, decide=CONFIG))
    return found


def view_of(course: Course, moment: Moment, paths: FloatArray) -> GridView:
    """The same moment as the frontier sees it, with as many settings as workloads."""
    t, counts = moment.t, moment.counts
    W, n_before = len(counts), course.history.shape[1]

    def rows(values: list[int]) -> FloatArray:
        return np.tile(np.array(values, dtype=float), (W, 1))

    ages = np.full((W, W, max(len(one.start_ages_s) for one in counts)), np.nan)
    for w, one in enumerate(counts):
        assert not one.pending_ages_s
        ages[:, w, : len(one.start_ages_s)] = one.start_ages_s
    return GridView(
        course.start_s + t * course.step_s,
        course.step_s,
        course.measured()[:, : n_before + t],
        rows([one.ready for one in counts]),
        rows([len(one.start_ages_s) for one in counts]),
        rows([one.spec for one in counts]),
        course.told_capacity()[:, t],
        course.min_replicas,
        course.max_replicas,
        paths,
        start_age_s=ages,
    )


def asked(own: PlannedGrid, view: GridView, moment: Moment) -> FloatArray:
    """(W,) what the frontier asks for at each workload's own price of risk."""
    logs = [one.log_multiplier for one in moment.decisions]
    unit = replace(own, risk_price=1.0).multiplier(view)[0]
    priced = replace(own, risk_price=np.exp(np.array(logs, dtype=float)) / unit, config=CONFIG)
    return np.diag(priced.decide(view, None)[0])  # setting w has the price of workload w


def test_at_the_price_of_the_deployed_promise_the_frontier_asks_for_the_controllers_counts(
    fleet: Fleet, simple: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By 200 sample paths it asked for others: the frontier was that of a planner nobody runs."""
    history = simulate_history(fleet)
    moments = as_deployed(fleet, history, simple, monkeypatch)
    course, said = replay_course(fleet, history), ReplayForecasts(fleet, history, simple)
    own = planner(fleet, simple.config.window.horizon, said)
    by_paths, differs = replace(own, laws=None), 0
    for moment in moments:
        view = view_of(course, moment, said.paths_at(moment.t))
        decided = [one.final for one in moment.decisions]
        np.testing.assert_array_equal(asked(own, view, moment), decided)
        differs += int((asked(by_paths, view, moment) != decided).sum())
    assert len(moments) == fleet.n_replay
    assert differs > 10  # the test tells what is integrated from what is sampled


def test_the_law_is_that_of_the_newest_decision_and_only_its_own_is_asked_for(
    fleet: Fleet, simple: Trained
) -> None:
    said = ReplayForecasts(fleet, simulate_history(fleet), simple)
    start_s = float(fleet.replay_start_s)
    with pytest.raises(ValueError, match="the newest forecast is none"):
        said.at(start_s)
    said.paths_at(0)
    first = said.at(start_s)
    assert len(first) == fleet.n_workloads
    assert first[0].values.shape[1] == simple.config.window.horizon
    said.paths_at(1)
    with pytest.raises(ValueError, match=f"now_s={start_s}: the newest forecast is that of"):
        said.at(start_s)


def test_laws_of_a_step_are_not_kept_for_the_next(fleet: Fleet, simple: Trained) -> None:
    said = ReplayForecasts(fleet, simulate_history(fleet), simple)
    said.paths_at(0)
    known = weakref.ref(said.at(float(fleet.replay_start_s))[0].values)
    said.paths_at(1)
    assert known() is None
