"""What is kept of an arm: sums by days and workloads, exact on data made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from forecaster.dataset import Origins
from forecaster.metrics import crps_of_quantiles
from services.lab.bench.ablate.forecast_arms import Parts
from services.lab.bench.ablate.record import INTERVALS, decision_sums, forecast_sums
from services.lab.bench.decide.forecasts import replayed_origins
from services.lab.bench.decide.run import task_block
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.forecast.arm import LEVELS
from services.simulator.fleet.arrays import F32Array
from tests.unit.lab.bench.decide.results import N_TEST, constant_run, small_task
from tests.unit.lab.bench.decide.tasks import decide_task

LEVEL = 10.0
SHARES = {f"inside_{width:g}" for width in INTERVALS} | {"below_99"}
EMPTY = np.zeros((0, 0, 0), dtype=np.float32)


@pytest.fixture(scope="module")
def task() -> DecideTask:
    """Two workloads of constant demand, 120 steps counted in ten blocks of twelve."""
    return decide_task([np.full(400, LEVEL), np.full(400, LEVEL / 2)])


def parts_of(task: DecideTask) -> Parts:
    return Parts(replayed_origins(task), {}, EMPTY, EMPTY)


def spread(task: DecideTask, origins: Origins, centre: float, width: float) -> F32Array:
    """(R, Q, H) quantiles, uniform over a width about a multiple of each workload's demand."""
    level = np.array([LEVEL, LEVEL / 2])[origins.which]
    at = level[:, None] * (centre + width * (LEVELS - 0.5))
    horizon = task.forecast.window.horizon
    return np.repeat(at[:, :, None], horizon, axis=2).astype(np.float32)


def test_decisions_are_summed_over_the_counted_part_alone() -> None:
    task = small_task()
    run = constant_run("p", task, [(0.01, 1.0), (0.2, 1.5)])
    cheap, dear = decision_sums(task, run)
    shape = (2, N_TEST)
    assert cheap["out"] == np.full(shape, 0.01).tolist()
    assert dear["out"] == np.full(shape, 0.2).tolist()
    assert cheap["held"] == np.full(shape, 24.0).tolist()
    assert dear["held"] == np.full(shape, 36.0).tolist()
    assert cheap["known"] == dear["known"] == np.ones(shape).tolist()
    assert cheap["churn"] == np.zeros(shape).tolist()


def test_the_change_from_the_prelude_to_the_counted_part_counts() -> None:
    task = small_task()
    run = constant_run("p", task, [(0.0, 1.0)], swing=3.0)
    (sums,) = decision_sums(task, run)
    # from 24 up by 3, then down and up by 6
    assert sums["churn"] == [[3.0, *[6.0] * (N_TEST - 1)]] * 2


def test_steps_of_unknown_demand_are_neither_known_nor_out() -> None:
    task = small_task(unknown=1)
    (sums,) = decision_sums(task, constant_run("p", task, [(0.5, 1.0)]))
    assert sums["known"] == [[1.0] * N_TEST, [0.0] * N_TEST]
    assert sums["out"] == [[0.5] * N_TEST, [0.0] * N_TEST]
    assert sums["held"] == [[24.0] * N_TEST] * 2


def test_forecasts_are_summed_over_all_counted_steps(task: DecideTask) -> None:
    parts = parts_of(task)
    sums = forecast_sums(task, parts, spread(task, parts.replayed, 1.0, 0.5))
    assert set(sums) == {"n", "crps", "tail", *SHARES}
    n_counted, horizon = 120, task.forecast.window.horizon
    stops = np.array(task.forecast.validation_ends)
    counted = parts.replayed.position + 1 >= stops[parts.replayed.which]
    assert 0 < counted.sum() < counted.size  # some origins are of validation
    shape = (2, int(np.ceil(counted.sum() / 2 / task_block(task))))
    assert n_counted // task_block(task) >= shape[1] > 1
    assert all(np.shape(values) == shape for values in sums.values())
    assert np.sum(sums["n"]) == counted.sum() * horizon
    assert np.all(np.array(sums["n"])[:, 0] == task_block(task) * horizon)


def test_a_demand_within_all_intervals_is_counted_there(task: DecideTask) -> None:
    parts = parts_of(task)
    inside = forecast_sums(task, parts, spread(task, parts.replayed, 1.0, 0.5))
    assert all(inside[name] == inside["n"] for name in SHARES)
    above = forecast_sums(task, parts, spread(task, parts.replayed, 0.5, 0.5))
    assert all(np.sum(above[name]) == 0 for name in SHARES)
    below = forecast_sums(task, parts, spread(task, parts.replayed, 2.0, 0.5))
    assert below["below_99"] == below["n"]
    assert all(np.sum(below[name]) == 0 for name in SHARES - {"below_99"})


def test_an_interval_ends_where_its_levels_do(task: DecideTask) -> None:
    parts = parts_of(task)
    # the demand lies at the 93 % level: within 95 and 99 %, beyond 80 %
    sums = forecast_sums(task, parts, spread(task, parts.replayed, 1.0 - 0.43, 1.0))
    assert np.sum(sums["inside_0.8"]) == 0
    assert sums["inside_0.95"] == sums["inside_0.99"] == sums["below_99"] == sums["n"]


def test_losses_are_in_the_units_of_the_task(task: DecideTask) -> None:
    parts = parts_of(task)
    quantiles = spread(task, parts.replayed, 0.5, 0.5)
    sums = forecast_sums(task, parts, quantiles)
    n = np.array(sums["n"])
    first = np.full((1, quantiles.shape[2]), LEVEL, dtype=np.float32)
    crps = crps_of_quantiles(quantiles[:1], LEVELS, first)[0, 0]
    unit = task.forecast.units[0, 0]
    assert np.array(sums["crps"])[0] / n[0] == pytest.approx(crps / unit, rel=1e-5)
    # 99 % of the loss above a quantile: the demand is ten, the quantile at 0.745 of it
    tail = 0.99 * (LEVEL - LEVEL * (0.5 + 0.5 * 0.49))
    assert np.array(sums["tail"])[0] / n[0] == pytest.approx(tail / unit, rel=1e-3)


def test_unobserved_steps_count_nowhere() -> None:
    demand = np.full(400, LEVEL / 2)
    demand[285:] = np.nan
    task = decide_task([np.full(400, LEVEL), demand])
    parts = parts_of(task)
    sums = forecast_sums(task, parts, spread(task, parts.replayed, 1.0, 0.5))
    known, gone = np.array(sums["n"])
    assert known.sum() > gone.sum() > 0
    assert np.array(sums["below_99"])[1].sum() == gone.sum()
