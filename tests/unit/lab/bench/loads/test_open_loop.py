"""Counts straight from the forecasts: what is held, what is out of SLA, what a law is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.loads.arms import FULL, load_arms
from services.lab.bench.loads.effects import Document, deployed, extras
from services.lab.bench.loads.forecasts import LoadForecasts
from services.lab.bench.loads.open_loop import AHEAD, OpenLoop, held_shares, judged
from services.lab.bench.loads.run import LoadBench, bench_loads
from services.lab.bench.loads.task import LoadTask
from tests.unit.lab.bench.loads.small import NAMES, fake_forecasts, load_task

TASK, ARMS = load_task(60), load_arms(NAMES)


def perfect_forecasts() -> LoadForecasts:
    """One path: the loads as they come."""
    ahead = TASK.decide.options.n_steps_ahead
    loads = np.concatenate([TASK.truth.loads, np.zeros((3, 3, ahead - 1))], axis=2)
    windows = np.lib.stride_tricks.sliding_window_view(loads, ahead, axis=2)
    return LoadForecasts(0, np.moveaxis(windows, 2, 0)[:, :, :, None].astype(np.float32))


def sums_of(
    task: LoadTask, epsilons: tuple[float, ...], age: int | None = None, arm: str = FULL
) -> list[Document]:
    forecasts = fake_forecasts(TASK)
    return OpenLoop(task, forecasts, epsilons, age).sums(ARMS[arm], forecasts)


def test_a_perfect_forecast_holds_what_is_needed() -> None:
    paths, first = perfect_forecasts().paths, TASK.decide.n_prelude
    held = held_shares(TASK, paths[first - AHEAD : -AHEAD], (0.01, 0.2))
    need = TASK.truth.need()[:, first:]
    np.testing.assert_allclose(held, np.stack([need, need]), rtol=1e-5)


def test_sums_are_of_the_counted_part_by_day_and_promise() -> None:
    strict, loose = sums_of(TASK, (0.01, 0.3))
    n = len(strict["known"][0])
    assert {len(row) for rows in strict.values() for row in rows} == {n}
    assert np.sum(strict["known"]) == 3 * 60
    assert np.sum(strict["out"]) < np.sum(loose["out"]) < 3 * 60
    assert np.sum(strict["held"]) > np.sum(loose["held"])


def test_steps_of_unknown_demand_do_not_count() -> None:
    demand = TASK.decide.course.demand.copy()
    demand[0, -10:] = np.nan
    course = replace(TASK.decide.course, demand=demand)
    task = replace(TASK, decide=replace(TASK.decide, course=course))
    (sums,) = sums_of(task, (0.1,))
    assert np.sum(sums["known"][0]) == 50
    assert np.sum(sums["out"][0]) <= 50


def test_only_arms_that_differ_by_their_forecasts_are_judged() -> None:
    of_forecasts = [FULL, "steps_permuted", "loads_permuted", "loads_ranked_alike", "no_levels"]
    every = list(ARMS.values())
    assert [arm.name for arm in judged(every, is_learned=False)] == of_forecasts
    learned = {arm.name for arm in judged(every, is_learned=True)}
    assert learned == {*of_forecasts, "posterior_mean"}
    with pytest.raises(InvalidInput, match="--arms=told: with --open-loop all loads are named"):
        judged([ARMS[FULL], ARMS["told"]], is_learned=True)


def test_who_has_learned_holds_nearer_to_who_knows() -> None:
    def held(age: int | None) -> Any:
        return np.sum(sums_of(TASK, (0.3,), age)[0]["held"], axis=1)

    off = [np.abs(np.log(held(age) / held(None))).mean() for age in (0, 25)]
    assert off[1] < 0.7 * off[0]


def test_who_throws_the_spread_away_holds_less_and_is_out_of_sla_more() -> None:
    fresh = sums_of(TASK, (0.05,), 0)[0]
    sure = sums_of(TASK, (0.05,), 0, "posterior_mean")[0]
    assert np.sum(sure["held"]) < np.sum(fresh["held"])
    assert np.sum(sure["out"]) > np.sum(fresh["out"])


def test_an_age_before_the_first_forecast_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--ages=40: at most 29 steps are right here"):
        sums_of(TASK, (0.05,), 40)


def test_too_few_steps_are_refused_before_anything_is_forecast() -> None:
    def forecasts_of(_: str) -> LoadForecasts:
        raise AssertionError("nothing is to be forecast")

    bench = LoadBench((load_task(20),), (0.01,), 7, "drawn", is_open_loop=True)
    with pytest.raises(InvalidInput, match="--max-test-steps=20: 24 or more are right"):
        bench_loads(bench, ["loads_permuted"], forecasts_of, lambda _: None, lambda _: None)


def mixed_task() -> Any:
    """Replicas of the first service bear all loads together, the others' one load each alone."""
    response = TASK.truth.response
    usual = TASK.truth.loads.mean(axis=2)
    share = np.array([[1 / 3, 1 / 3, 1 / 3], [1.0, 1e-3, 1e-3], [1e-3, 1.0, 1e-3]])
    mixed = replace(response, capacity=usual / 20 / share, sharing=np.ones(3))
    return replace(TASK, truth=replace(TASK.truth, response=mixed))


def test_a_law_that_is_wrong_for_some_services_only_costs_at_equal_violation() -> None:
    task = mixed_task()
    rng = np.random.default_rng(3)
    spread = rng.standard_normal((len(task.truth.loads[0, 0]), 3, 1, 400, 1))
    centre = np.moveaxis(task.truth.loads, 2, 0)[..., None, None]
    noise = np.exp(0.3 * rng.standard_normal((*centre.shape[:2], 1, 1, 1)))
    paths = np.roll(centre, -AHEAD, axis=0) * np.exp(0.3 * spread) * noise
    forecasts = LoadForecasts(0, np.repeat(paths, AHEAD + 1, axis=4).astype(np.float32))
    bench = LoadBench((task,), (0.003, 0.01, 0.03, 0.1, 0.2, 0.4), 7, "mixed", is_open_loop=True)
    names = ["loads_permuted", "loads_ranked_alike"]
    document = bench_loads(bench, names, lambda _: forecasts, lambda _: None, lambda _: None)
    assert document["is_open_loop"]
    assert set(document["arms"]) == {FULL, *names}
    found = extras(document, 0.1)
    assert found["loads_permuted"].value > 2.0
    assert abs(found["loads_ranked_alike"].value) < 0.5
    own = deployed(document, 0.1)
    assert own["loads_permuted"].true > own[FULL].true
    assert own[FULL].believed == pytest.approx(0.1)
