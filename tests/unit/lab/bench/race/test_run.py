"""A race of few policies on a small task made by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from services.lab.bench.decide.task import DecideOptions
from services.lab.bench.forecast.arm import LEVELS
from services.lab.bench.race import run
from services.lab.bench.race.arms import ForecastSource
from services.lab.bench.race.bridge import Bridge
from services.lab.bench.race.course import make_race_task, race_grid
from services.lab.bench.race.document import deployed_rows, own_rows, race_document, room_rows
from services.lab.bench.race.run import FAST, QUANTILE, RaceChoice, bench_race
from services.lab.bench.race.score import points
from tests.unit.lab.bench.decide.small_runs import noisy_forecasts
from tests.unit.lab.bench.decide.tasks import bench_task, wave

OPTIONS = DecideOptions(max_test_steps=60, max_prelude_steps=30, max_history_steps=30)
EPSILONS = (0.05, 0.2)


@cache
def race(per_step, *, lead_s=120.0, has_forecasts=True, arms=()):
    trace = bench_task([wave(1500), wave(1500, seed=1)], step_s=60)
    grid = race_grid(60.0, 60.0 * per_step, 60.0, Bridge.NONE)
    task = make_race_task(trace, grid, lead_s, OPTIONS, 7)
    said = {ForecastSource.ISSUED: noisy_forecasts(task.decide)} if has_forecasts else None
    choice = RaceChoice(("hpa", "trailing_percentile"), arms)
    return bench_race(task, EPSILONS, lambda _: None, said, choice)


def test_costs_are_over_those_of_an_oracle_that_never_violates():
    result = race(5, has_forecasts=False)
    assert set(result.rivals) == {"hpa", "trailing_percentile"}
    assert result.own == result.deployed == {}
    safest = points(result.rivals["trailing_percentile"], result.yard)
    assert safest.cost[safest.rate == 0.0].min() > 1.0


@pytest.mark.slow
def test_only_where_steps_have_sub_steps_is_there_a_fast_path():
    assert set(race(1).own) == {"harmony", QUANTILE}
    assert set(race(5).own) == {"harmony", QUANTILE, FAST}


def test_a_document_says_what_each_policy_cost_and_its_tables_say_so_too():
    result = race(5)
    found = race_document(result)
    promise = found["promises"]["0.05"]
    costs = [promise["policies"][name]["matched"] for name in result.rivals]
    assert promise["best_rival"]["cost"] == min(cost for cost in costs if cost is not None)
    own = points(result.own["harmony"], result.yard).at_rate(0.05)
    assert promise["policies"]["harmony"]["matched"] == pytest.approx(own, rel=1e-5)
    deployed = points(result.deployed["harmony"], result.yard)
    assert promise["deployed"]["harmony"]["rate"] == pytest.approx(deployed.rate[0], rel=1e-5)
    (room,) = room_rows([found], "0.05")
    assert (room["lead time"], room["step of sub-steps"]) == ("120 s", "5 min of 60 s")
    assert room["over the oracle"] == f"{promise['best_rival']['cost']:.3f}"
    arms = {row["arm"]: row for row in own_rows([found], "0.05")}
    assert set(arms) == set(result.own)
    assert arms["harmony"]["/ best rival"] == f"{promise['own']['harmony']['ratio']:.3f}"
    names = [row["policy"] for row in deployed_rows([found], "0.05")]
    assert names[0] == "harmony, not tuned"
    assert np.unique(names).size == len(names)


@pytest.mark.slow
def test_arms_say_where_the_cost_over_the_oracle_comes_from():
    result = race(1, arms=("perfect", "level_known", "no_spread", "by_paths"))
    cost = {name: points(ran, result.yard).at_rate(0.05) for name, ran in result.own.items()}
    assert cost["perfect"] < cost["level_known"] < cost["harmony"]
    assert set(result.deployed) == {"harmony", "no_spread", "by_paths"}


@pytest.mark.slow
def test_harmony_decides_by_the_law_and_not_by_the_paths_where_a_forecast_has_one(monkeypatch):
    monkeypatch.setattr(run, "PRICES", run.PRICES[[0, -1]])  # the dearest alone are compared
    task, said = _task_with_law()
    choice = RaceChoice(("hpa",), ("by_paths",))
    result = bench_race(task, EPSILONS, lambda _: None, said, choice)
    dearest = {name: points(ran, result.yard).cost.max() for name, ran in result.own.items()}
    assert dearest["harmony"] > 1.5 * dearest["by_paths"]
    wary = {name: points(ran, result.yard).cost[0] for name, ran in result.deployed.items()}
    assert wary["harmony"] > 1.2 * wary["by_paths"]


def _task_with_law():
    """Forecasts whose quantile functions say three times what their paths say."""
    trace = bench_task([wave(1500)], step_s=60)
    task = make_race_task(trace, race_grid(60.0, 60.0, 60.0, Bridge.NONE), 120.0, OPTIONS, 7)
    paths = noisy_forecasts(task.decide)
    law = 3.0 * np.quantile(paths.paths, LEVELS, axis=2).transpose(1, 2, 0, 3)
    return task, {ForecastSource.ISSUED: replace(paths, quantiles=law.astype(np.float32))}
