"""Loading traces: the good path, and one clear line for every bad one."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.simulator.fleet import TraceError, TraceOptions, load_trace

START = datetime(2026, 1, 5, tzinfo=UTC)
SHORT = TraceOptions(replay_hours=1.0, min_history_steps=20)


def write(folder, series, *, interval_s=60, start=START, metadata=True, extra=None):
    """A file with `l1_requests` (a flow) and `l3_busy` (a level, the demand) per workload."""
    columns = {"timestamp": [], "workload": [], "l1_requests": [], "l3_busy": []}
    for name, values in series.items():
        for k, value in enumerate(values):
            columns["timestamp"].append(start + timedelta(seconds=k * interval_s))
            columns["workload"].append(name)
            columns["l1_requests"].append(value)
            columns["l3_busy"].append(value)
    table = pa.table(
        columns
        | {
            "timestamp": pa.array(columns["timestamp"], pa.timestamp("ms", tz="UTC")),
            "l1_requests": pa.array(columns["l1_requests"], pa.float32()),
            "l3_busy": pa.array(columns["l3_busy"], pa.float32()),
        }
        | (extra or {})
    )
    path = folder / "t.parquet"
    pq.write_table(table, path)
    if metadata:
        description = {
            "title": "a test",
            "interval_seconds": interval_s,
            "indicators": [
                {"name": "l1_requests", "level": 1, "unit": "requests/bin", "main_demand": False},
                {"name": "l3_busy", "level": 3, "unit": "GPUs", "main_demand": True},
            ],
        }
        path.with_suffix(".json").write_text(json.dumps(description))
    return path


@pytest.fixture
def wavy():
    rng = np.random.default_rng(5)
    return {f"svc/{k}": rng.uniform(2, 8, 300) for k in "ab"}


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
    options = TraceOptions(demand="l1_requests", replay_hours=1, min_history_steps=20)
    assert load_trace(path, options).fleet.workloads[0].demand == "l1_requests"


class TestResampling:
    def test_flows_add_up_and_levels_average(self, tmp_path):
        path = write(tmp_path, {"a": np.arange(300.0)})
        options = TraceOptions(step_s=300, replay_hours=1, min_history_steps=20)
        fleet = load_trace(path, options).fleet
        np.testing.assert_allclose(fleet.values[0, 0], [0 + 1 + 2 + 3 + 4, 2.0])
        assert fleet.n_steps == 60

    def test_steps_begin_on_the_epoch_grid(self, tmp_path):
        path = write(tmp_path, {"a": np.arange(300.0)}, start=START + timedelta(seconds=120))
        options = TraceOptions(step_s=300, replay_hours=1, min_history_steps=20)
        fleet = load_trace(path, options).fleet
        assert fleet.step_at(0) == START + timedelta(seconds=300)
        # minutes 0-2 of the file are before the grid: the first step holds values 3..7
        assert fleet.values[0, 0, 1] == 5.0

    def test_a_partly_known_step_is_known_from_half_on(self, tmp_path):
        values = np.full(300, 4.0)
        values[::7] = 5.0
        values[0:2] = np.nan  # 3 of 5 known
        values[5:8] = np.nan  # 2 of 5 known
        options = TraceOptions(step_s=300, replay_hours=1, min_history_steps=20)
        fleet = load_trace(write(tmp_path, {"a": values}), options).fleet
        assert fleet.observed[0, 0].all()
        assert fleet.values[0, 0, 0] == pytest.approx(5 * np.mean(values[2:5]))
        assert not fleet.observed[0, 1].any()
        assert np.isnan(fleet.demand[0, 1])

    def test_a_finer_step_is_refused(self, tmp_path, wavy):
        with pytest.raises(TraceError, match="multiple"):
            load_trace(write(tmp_path, wavy), TraceOptions(step_s=90))


def test_a_grid_off_the_epoch_is_shifted_with_a_note(tmp_path, wavy):
    path = write(tmp_path, wavy, interval_s=57, start=START + timedelta(seconds=5))
    fleet = load_trace(path, SHORT).fleet
    assert fleet.start_s % 57 == 0
    assert any("shifted" in note for note in fleet.notes)


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


def test_names_that_collide_stay_apart(tmp_path, wavy):
    series = {"A_b": wavy["svc/a"], "a.b": wavy["svc/b"]}
    fleet = load_trace(write(tmp_path, series), SHORT).fleet
    assert [w.name for w in fleet.workloads] == ["a-b", "a-b-2"]


class TestBadFiles:
    def refuse(self, path, match, options=SHORT):
        with pytest.raises(TraceError, match=match) as caught:
            load_trace(path, options)
        assert "\n" not in str(caught.value)

    def test_missing(self, tmp_path):
        self.refuse(tmp_path / "no.parquet", "no trace file")

    def test_not_parquet(self, tmp_path):
        path = tmp_path / "t.parquet"
        path.write_text("hello")
        self.refuse(path, "not a readable parquet")

    def test_truncated(self, tmp_path, wavy):
        path = write(tmp_path, wavy)
        path.write_bytes(path.read_bytes()[:-200])
        self.refuse(path, "not a readable parquet")

    def test_wrong_column_lists_the_available_ones(self, tmp_path, wavy):
        options = TraceOptions(demand="nope")
        self.refuse(write(tmp_path, wavy), "available: l1_requests, l3_busy", options)

    def test_no_metadata_and_no_demand(self, tmp_path, wavy):
        self.refuse(write(tmp_path, wavy, metadata=False), "--demand")

    def test_broken_metadata(self, tmp_path, wavy):
        path = write(tmp_path, wavy)
        path.with_suffix(".json").write_text("{")
        self.refuse(path, "not valid JSON")

    def test_no_workload_column(self, tmp_path):
        path = tmp_path / "t.parquet"
        pq.write_table(pa.table({"timestamp": [1], "x": [1.0]}), path)
        self.refuse(path, "no column 'workload'")

    def test_timestamps_that_are_none(self, tmp_path):
        path = tmp_path / "t.parquet"
        pq.write_table(pa.table({"timestamp": [1], "workload": ["a"], "x": [1.0]}), path)
        self.refuse(path, "must be a UTC timestamp", TraceOptions(demand="x"))

    def test_too_short(self, tmp_path, wavy):
        self.refuse(write(tmp_path, wavy), "too short", TraceOptions(replay_hours=4.9))

    def test_irregular(self, tmp_path, wavy):
        path = write(tmp_path, wavy)
        table = pq.read_table(path)
        stamps = table["timestamp"].to_pylist()
        stamps[3] += timedelta(seconds=11)
        column = pa.array(stamps, pa.timestamp("ms", tz="UTC"))
        pq.write_table(table.set_column(0, "timestamp", column), path)
        self.refuse(path, "irregular grid")

    def test_repeated_rows(self, tmp_path, wavy):
        path = write(tmp_path, wavy)
        table = pq.read_table(path)
        pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
        self.refuse(path, "repeats a timestamp")

    def test_empty(self, tmp_path):
        self.refuse(write(tmp_path, {}), "no rows")

    def test_nothing_usable(self, tmp_path):
        self.refuse(write(tmp_path, {"z": np.zeros(300)}), "no workload can be replayed")

    def test_wrong_options(self):
        with pytest.raises(TraceError, match="replay_hours"):
            TraceOptions(replay_hours=0)


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


@pytest.mark.skipif(not DATA.is_dir(), reason=f"public traces not found at {DATA}")
def test_constants_are_those_that_the_command_prints():
    from services.simulator.fleet import calibration
    from services.simulator.fleet.calibrate import fit_constants

    for name, value in fit_constants(DATA).items():
        np.testing.assert_allclose(getattr(calibration, name), value, rtol=0.02, err_msg=name)
