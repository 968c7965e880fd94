from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.lab.bench.forecast.task import Protocol, load_task
from services.simulator.fleet import TraceError

N_STEPS = 1000
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, write_trace: Write) -> Path:
    return write_trace(tmp_path_factory.mktemp("traces"))


def test_the_split_is_in_time_order_70_10_20(path: Path) -> None:
    task = load_task(path, Protocol.PANEL)
    assert task.train_ends == (700, 700)
    assert task.validation_ends == (800, 800)
    assert {s.n_steps for s in task.histories()} == {800}


def test_no_test_outcome_lies_before_the_test_part(path: Path) -> None:
    task = load_task(path, Protocol.PANEL)
    origins = task.test_origins()
    assert origins.position.min() + 1 >= 800
    assert origins.position.max() + task.window.horizon <= N_STEPS - 1
    validation = task.validation_origins()
    assert validation.position.min() + 1 >= 700
    assert validation.position.max() + task.window.horizon <= 799


def test_panel_forecasts_the_demand_and_keeps_derived_indicators(path: Path) -> None:
    task = load_task(path, Protocol.PANEL)
    assert task.target_names == ("demand",)
    assert task.series[0].indicators == ("l1_load", "l3_busy")


def test_the_paper_protocol_forecasts_original_indicators_constants_included(path: Path) -> None:
    task = load_task(path, Protocol.FISHER_H1)
    assert task.target_names == ("l1_load", "l2_limit")
    assert task.window.horizon == 1


def test_minmax_units_come_from_the_training_part_and_a_constant_counts_by_its_value(
    path: Path,
) -> None:
    task = load_task(path, Protocol.FISHER_H12)
    train = task.series[0].values[:700]
    assert task.units[0, 0] == pytest.approx(np.ptp(train[:, 0]))
    assert task.units[0, 1] == 4.0


def test_truth_is_what_followed_the_origin(path: Path) -> None:
    task = load_task(path, Protocol.PANEL)
    origins = task.test_origins()
    truth = task.truth(origins)
    at = origins.position[5]
    expected = task.series[origins.which[5]].values[at + 1 : at + 13, 0]
    np.testing.assert_array_equal(truth.actual[5, 0], expected)
    assert truth.observed.all()


def test_origins_are_thinned_per_workload(path: Path) -> None:
    task = load_task(path, Protocol.PANEL, max_origins=20)
    assert np.bincount(task.test_origins().which).tolist() == [20, 20]


def test_a_workload_too_short_is_named(tmp_path: Path, write_trace: Write) -> None:
    with pytest.raises(TraceError, match="300 steps, at least 600 are right"):
        load_task(write_trace(tmp_path, n_steps=300), Protocol.PANEL)


def test_a_workload_may_have_its_own_demand(tmp_path: Path, write_trace: Write) -> None:
    path = write_trace(tmp_path)
    sidecar = json.loads(path.with_suffix(".json").read_text())
    sidecar["workloads"] = {"w1": {"demand_column": "l3_busy"}}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    task = load_task(path, Protocol.PANEL)
    demands = [s.indicators[s.demand_index] for s in task.series]
    assert demands == ["l1_load", "l3_busy"]


def test_the_development_split_never_reads_the_test_part(path: Path) -> None:
    task = load_task(path, Protocol.PANEL)
    cut = task.development()
    assert {s.n_steps for s in cut.series} == {800}
    assert cut.train_ends == (560, 560)
    assert cut.validation_ends == (640, 640)
    assert cut.test_origins().position.max() + cut.window.horizon <= 799
    assert cut.units[0, 0] != task.units[0, 0]
    assert cut.data != task.data


def test_made_up_level_changes_touch_the_scored_part_alone_and_are_reproducible(
    path: Path,
) -> None:
    task = load_task(path, Protocol.PANEL)
    changed = [task.with_level_changes(seed) for seed in range(6)]
    assert any(
        not np.array_equal(one.values, other.values)
        for found in changed
        for one, other in zip(found.series, task.series, strict=True)
    )
    for found in changed:
        assert found.data != task.data
        for one, other, stop in zip(found.series, task.series, task.validation_ends, strict=True):
            np.testing.assert_array_equal(one.values[:stop], other.values[:stop])
            np.testing.assert_array_equal(one.observed, other.observed)
    again = task.with_level_changes(3)
    for one, other in zip(again.series, changed[3].series, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
