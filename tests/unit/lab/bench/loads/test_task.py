"""How a trace becomes a benchmark of several loads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.types import Series
from services.kernel.errors import InvalidInput
from services.lab.bench.decide.task import MEAN_GPUS, DecideOptions
from services.lab.bench.loads.task import MOST_OFF, make_load_task
from tests.unit.lab.bench.loads.small import NAMES, bench_task, load_task

OPTIONS = DecideOptions(60, max_prelude_steps=30)


def test_loads_keep_their_composition_and_need_twenty_replicas() -> None:
    task = load_task()
    stop = task.decide.forecast.validation_ends[0]
    for w, one in enumerate(task.decide.forecast.series):
        raw = one.values[stop - 30 : stop + 60].T
        ratio = task.loads[w, :, task.n_before :] / raw
        assert ratio == pytest.approx(np.full(raw.shape, ratio[0, 0]), rel=1e-5)
    counted = task.truth.need()[:, task.decide.n_prelude :]
    assert counted.mean(axis=1) == pytest.approx(np.full(3, MEAN_GPUS))


def test_the_demand_is_the_first_load_in_the_same_unit() -> None:
    task = load_task()
    course = task.decide.course
    assert np.array_equal(course.demand, task.loads[:, 0, task.n_before :])
    assert np.array_equal(task.truth.loads, task.loads[:, :, task.n_before :])


def test_what_is_stated_is_off_by_a_quarter_at_most() -> None:
    task = load_task()
    ratio = task.stated / task.truth.response.capacity
    assert (np.abs(ratio - 1.0) <= MOST_OFF).all()
    assert ratio.std() > 0.05


def test_a_single_load_is_stated_at_the_usual_composition_and_off_by_the_same() -> None:
    task = load_task()
    usual = task.truth.loads.mean(axis=2)
    exact = usual / task.truth.response.use(usual, np.arange(3))[:, None]
    off = task.stated / task.truth.response.capacity
    assert task.stated_single / off == pytest.approx(exact, rel=0.25)
    assert (task.stated_single < task.stated).all()  # the other loads take their part


def changed(one: Series, **columns: np.ndarray) -> Series:
    values, seen = one.values.copy(), one.observed.copy()
    for name, column in columns.items():
        at = one.indicators.index(name)
        values[:, at], seen[:, at] = np.nan_to_num(column), np.isfinite(column)
    return replace(one, values=values, observed=seen)


def test_a_step_with_one_unknown_load_is_unknown_unless_nothing_was_asked_for() -> None:
    whole = bench_task()
    first = whole.series[0]
    requests, tokens = first.values[:, 0].copy(), first.values[:, 1].copy()
    tokens[500] = np.nan
    requests[510], tokens[510] = 0.0, np.nan
    holed = changed(first, requests=requests, input_tokens=tokens)
    series = (holed, *whole.series[1:])
    task = make_load_task(replace(whole, series=series), NAMES, OPTIONS)
    at = 30 - task.decide.forecast.validation_ends[0]
    assert np.isnan(task.loads[0, :, task.n_before + 500 + at]).all()
    assert not task.decide.is_known[0, 500 + at]
    assert (task.loads[0, :, task.n_before + 510 + at] == 0).all()
    assert np.isfinite(task.loads[1]).all()


def test_a_workload_without_any_load_in_the_counted_part_is_refused() -> None:
    whole = bench_task()
    idle = whole.series[1].values.copy()
    idle[480:] = 0.0
    series = (whole.series[0], replace(whole.series[1], values=idle), whole.series[2])
    with pytest.raises(InvalidInput, match="w1: no load in the counted part"):
        make_load_task(replace(whole, series=series), NAMES, OPTIONS)


def test_workloads_without_all_loads_are_named() -> None:
    whole = bench_task()
    lacking = bench_task(NAMES[:2]).series[0]
    task = make_load_task(replace(whole, series=(lacking, *whole.series[1:])), NAMES, OPTIONS)
    assert task.decide.names == ("w1", "w2")
    assert task.decide.forecast.skipped == {"w0": "without output_tokens"}
    first = make_load_task(whole, NAMES, OPTIONS, max_workloads=1)
    assert first.decide.names == ("w0",)


@pytest.mark.parametrize("names", [("requests",), ("requests", "requests"), (*NAMES, "b", "c")])
def test_a_wrong_number_of_loads_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="2 to 4 different indicators"):
        make_load_task(bench_task(), names, OPTIONS)


def test_loads_that_no_workload_has_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"no workload of small has all of them.*without x"):
        make_load_task(bench_task(), ("requests", "x"), OPTIONS)
