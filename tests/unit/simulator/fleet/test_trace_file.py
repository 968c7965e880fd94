"""Trace files: one clear line for every bad one."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.simulator.fleet import TraceError, TraceOptions, load_trace
from tests.unit.simulator.fleet.traces import SHORT, write


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
