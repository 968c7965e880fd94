"""A race of few policies on a small task made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.decide.task import DecideOptions
from services.lab.bench.race.bridge import Bridge
from services.lab.bench.race.course import make_race_task, race_grid
from services.lab.bench.race.document import deployed_rows, own_rows, race_document, room_rows
from services.lab.bench.race.run import FAST, QUANTILE, RivalChoice, bench_race
from services.lab.bench.race.score import points
from tests.unit.lab.bench.decide.small_runs import noisy_forecasts
from tests.unit.lab.bench.decide.tasks import bench_task, wave

OPTIONS = DecideOptions(max_test_steps=60, max_prelude_steps=30, max_history_steps=30)
EPSILONS = (0.05, 0.2)


def race(per_step=5, *, lead_s=120.0, has_forecasts=True):
    trace = bench_task([wave(1500), wave(1500, seed=1)], step_s=60)
    grid = race_grid(60.0, 60.0 * per_step, 60.0, Bridge.NONE)
    task = make_race_task(trace, grid, lead_s, OPTIONS, 7)
    forecasts = noisy_forecasts(task.decide) if has_forecasts else None
    choice = RivalChoice(("hpa", "trailing_percentile"))
    return bench_race(task, EPSILONS, lambda _: None, forecasts, choice)


def test_costs_are_over_those_of_an_oracle_that_never_violates():
    result = race(has_forecasts=False)
    assert set(result.rivals) == {"hpa", "trailing_percentile"}
    assert result.own == result.deployed == {}
    safest = points(result.rivals["trailing_percentile"], result.yard)
    assert safest.cost[safest.rate == 0.0].min() > 1.0


def test_only_where_steps_have_sub_steps_is_there_a_fast_path():
    assert set(race(1).own) == {"harmony", QUANTILE}
    assert set(race(5).own) == {"harmony", QUANTILE, FAST}


def test_a_document_says_what_each_policy_cost_and_its_tables_say_so_too():
    result = race()
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
