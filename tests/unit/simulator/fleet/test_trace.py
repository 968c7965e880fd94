"""Loading traces: the good path, and one clear line for every bad one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from services.simulator.fleet import TraceError, TraceOptions, fleet_of
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.trace_file import TraceFile, TraceSeries
from services.simulator.fleet.trace_metadata import TraceColumn
from services.simulator.measurements import ColumnChoice, load_trace
from tests.unit.simulator.fleet.traces import SHORT, START, write


def test_a_good_file(tmp_path, wavy):
    loaded = load_trace(write(tmp_path, wavy), SHORT)
    fleet = loaded.fleet
    assert loaded.dropped == ()
    assert (fleet.n_workloads, fleet.n_history, fleet.n_replay) == (2, 240, 60)
    assert [w.key for w in fleet.workloads] == ["trace/svc-a", "trace/svc-b"]
    assert fleet.step_at(0) == START
    assert not fleet.has_closed_loop
    assert [(i.name, i.level) for i in fleet.workloads[0].indicators] == [
        ("l1_requests", 1),
        ("l3_busy", 3),
    ]
    mean = fleet.demand[:, :240].mean(axis=1) / fleet.capacity
    np.testing.assert_allclose(mean, 10.0)
    np.testing.assert_allclose(fleet.demand[0], wavy["svc/a"].astype(np.float32))


def test_demand_can_be_named_without_metadata(tmp_path, wavy):
    path = write(tmp_path, wavy, metadata=False)
    choice = ColumnChoice(demand="l1_requests")
    assert load_trace(path, SHORT, choice).fleet.workloads[0].demand == "l1_requests"


def test_unusable_workloads_are_dropped_with_a_reason(tmp_path, wavy):
    series = wavy | {
        "zero": np.zeros(300),
        "flat": np.full(300, 3.0),
        "short": np.ones(100),
        "holes": np.where(np.arange(300) % 3 == 0, 2.0, np.nan),
        "negative": np.r_[-1.0, np.arange(299.0)],
    }
    loaded = load_trace(write(tmp_path, series), SHORT)
    reasons = {d.workload: d.reason for d in loaded.dropped}
    assert loaded.fleet.n_workloads == 2
    assert "zero" in reasons["zero"]
    assert "constant" in reasons["flat"]
    assert "history steps" in reasons["short"]
    assert "history steps" in reasons["holes"]
    assert "negative" in reasons["negative"]


def test_a_replay_in_which_nobody_asks_for_anything_is_refused(tmp_path, wavy):
    asleep = {name: np.r_[values[:-90], np.zeros(90)] for name, values in wavy.items()}
    path = write(tmp_path, asleep)
    with pytest.raises(TraceError, match=r"no demand in the 1 h .* lies 1\.517 h before their end"):
        load_trace(path, SHORT)
    one_awake = asleep | {"svc/a": wavy["svc/a"]}
    assert load_trace(write(tmp_path, one_awake), SHORT).fleet.n_workloads == 2


def test_names_that_collide_stay_apart(tmp_path, wavy):
    series = {"A_b": wavy["svc/a"], "a.b": wavy["svc/b"]}
    fleet = load_trace(write(tmp_path, series), SHORT).fleet
    assert [w.name for w in fleet.workloads] == ["a-b", "a-b-2"]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (("延迟", "请求"), ("x___", "x____2")),
        (("p50 [ms]", "p50 (ms)"), ("p50__ms_", "p50__ms__2")),
        (("a" * 70, "a" * 63), ("a" * 63, "a" * 61 + "_2")),
        (("9" * 70, "9" * 62), ("x_" + "9" * 61, "x_" + "9" * 59 + "_2")),
    ],
)
def test_columns_that_read_alike_once_made_ascii_stay_apart(
    wavy: dict[str, FloatArray], columns: tuple[str, str], names: tuple[str, str]
) -> None:
    """The first of them was forecast in place of the demand, and the verdict said nothing of it."""
    demand = wavy["svc/a"]
    times = 60 * np.arange(demand.size, dtype=np.int64)
    series = TraceSeries("a", times, np.stack([demand[::-1] + 500.0, demand], axis=1))
    indicators = tuple(TraceColumn(name, 2, "") for name in columns)
    loaded = fleet_of(TraceFile("t", 60, columns[1], indicators, (series,)), "t", SHORT)
    (workload,) = loaded.fleet.workloads
    assert tuple(one.name for one in workload.indicators) == names
    assert workload.demand == names[1]
    assert workload.to_spec().demand == names[1]


DATA = Path(
    os.environ.get("HARMONY_DATA_DIR", Path(__file__).resolve().parents[5] / "shared" / "data")
)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"public traces not found at {DATA}")
@pytest.mark.parametrize(
    ("name", "n_workloads"),
    [("servegen", 22), ("gentd26_requests_1min", 1), ("helios_earth_vc", 11), ("fisher", 7)],
)
def test_public_traces_load(name, n_workloads):
    loaded = load_trace(DATA / f"{name}.parquet", TraceOptions(max_history_steps=4032))
    assert loaded.fleet.n_workloads == n_workloads
    assert loaded.fleet.replay_hours == 24


def test_a_replay_has_an_end() -> None:
    for hours in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(TraceError, match=r"^replay_hours="):
            TraceOptions(replay_hours=hours)
