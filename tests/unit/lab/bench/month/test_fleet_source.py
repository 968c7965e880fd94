"""The generated month: Harmony as it is deployed, on the same demand and luck as the rivals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decider import Sla
from forecaster.choice.baselines import BestSimple
from forecaster.choice.ladder import Ladder
from forecaster.config import ForecasterConfig
from services.backtest.controller import ControllerOptions
from services.backtest.predictors import Trained
from services.backtest.run import run_harmony
from services.lab.bench.month import fleet_source as module
from services.lab.bench.month.fleet_source import (
    fleet_source,
    mean_demand_gpus,
    month_fleet,
    replay_harmony,
)
from services.lab.bench.month.source import RIVALS, MonthOptions, MonthSource
from services.simulator import PolicyRun, score, simulate_history
from services.simulator.fleet import Fleet

pytestmark = pytest.mark.slow

OPTIONS = MonthOptions(n_workloads=2, days=2, seed=3, step_s=600)
Seen = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def simple() -> Trained:
    """Predictors without a model: training is not what is tested."""
    config = ForecasterConfig()
    return Trained(Ladder(None, BestSimple({}, config.window)), config, "no model")


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return month_fleet(OPTIONS)


@pytest.fixture(scope="module")
def replayed(fleet: Fleet, simple: Trained) -> tuple[PolicyRun, Seen]:
    seen: Seen = []
    run = replay_harmony(
        fleet, simulate_history(fleet), simple, OPTIONS, lambda *at: seen.append(at)
    )
    return run, seen


@pytest.fixture(scope="module")
def source(simple: Trained) -> MonthSource:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "train", lambda *_, **__: simple)
        return fleet_source(OPTIONS, lambda *_: None)


def test_the_fleet_has_two_weeks_of_history_and_the_days(fleet: Fleet) -> None:
    assert (fleet.n_workloads, fleet.n_history, fleet.n_replay) == (2, 14 * 144, 2 * 144)
    assert (fleet.seed, fleet.has_closed_loop) == (3, True)


def test_every_step_is_reported_once(replayed: tuple[PolicyRun, Seen]) -> None:
    _, seen = replayed
    assert seen == [("replaying Harmony", done, 288) for done in range(288)]


def test_answers_at_other_risk_levels_change_no_count(
    fleet: Fleet, simple: Trained, replayed: tuple[PolicyRun, Seen]
) -> None:
    options = ControllerOptions(OPTIONS.epsilon, seed=OPTIONS.seed)
    assert options.decide.epsilons
    assert options.sla_window_s == Sla().window_s == 28 * 86_400.0
    expected = run_harmony(fleet, simulate_history(fleet), simple, options)
    assert (replayed[0].spec == expected.spec).all()
    assert (replayed[0].violation_s == expected.violation_s).all()
    assert (replayed[0].gpu_s == expected.gpu_s).all()


def test_harmony_s_figures_are_those_of_its_replay(
    fleet: Fleet, source: MonthSource, replayed: tuple[PolicyRun, Seen]
) -> None:
    own, expected = source.policies["harmony"], score(replayed[0], fleet)
    assert own.gpu_hours == expected.gpu_hours
    hours = replayed[0].gpu_s.sum(axis=1) / 3600.0
    assert own.cost_usd == pytest.approx(float(hours @ fleet.price_usd_per_gpu_hour))
    np.testing.assert_array_equal(own.violation_rate, expected.workload_violation_rate)
    assert (own.setting, own.kept_where_chosen) == ("not tuned", None)


def test_all_policies_are_there_and_the_tuned_say_whether_they_kept_the_promise(
    source: MonthSource,
) -> None:
    assert set(source.policies) == {"harmony", *RIVALS}
    assert (source.kind, source.n_workloads, source.days_measured) == ("generated", 2, 2.0)
    kept = {name: one.kept_where_chosen for name, one in source.policies.items()}
    assert isinstance(kept["hpa"], bool)
    assert isinstance(kept["trailing_percentile"], bool)
    assert kept["static_peak"] is kept["oracle"] is None
    oracle = source.policies["oracle"]
    assert oracle.gpu_hours < source.policies["static_peak"].gpu_hours
    assert source.assumptions["forecaster"] == "no model"
    assert source.assumptions["history_days"] == 14.0
    assert set(source.assumptions["settings_tried"]) == {"hpa", "trailing_percentile"}


def test_mean_demand_by_hand(fleet: Fleet) -> None:
    demand = fleet.demand.copy()
    n = fleet.n_history
    # half the replay needs 3 replicas, half 1; the second workload 2 while it is known
    demand[0, n:] = fleet.capacity[0] * np.repeat([3.0, 1.0], 144)
    demand[1, n:] = fleet.capacity[1] * 2.0
    demand[1, n : n + 100] = np.nan
    expected = 2.0 * fleet.gpus_per_replica.sum()
    assert mean_demand_gpus(replace(fleet, demand=demand)) == pytest.approx(expected)
