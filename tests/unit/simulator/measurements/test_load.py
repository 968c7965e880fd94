"""Measurements as they come: what is found out, and one clear line for what cannot be used."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.simulator.fleet import TraceError, TraceOptions
from services.simulator.fleet.arrays import FloatArray
from services.simulator.measurements import load_trace, read_file
from tests.unit.simulator.fleet.traces import SHORT, START, write
from tests.unit.simulator.measurements.texts import csv, lines, stamps

Series = dict[str, FloatArray]


@pytest.fixture
def wavy() -> Series:
    t = np.arange(300.0)
    return {"svc/a": 50 + 20 * np.sin(t / 9), "svc/b": 90 + 30 * np.cos(t / 7)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("when,rps\nnoon,1\n", "Say --time COLUMN, one of when, rps"),
        ("ts,a,b\n2026-01-05,x,y\n", "Say --id COLUMN, one of a, b"),
        ("ts,p,q\n2026-01-05,1,2\n", "Say --demand COLUMN, one of p, q"),
        ("ts,id\n2026-01-05,a\n", "no column of numbers"),
        ("ts,rps\nyesterday,1\n", "row 1: 'yesterday' is no time"),
        ("ts,rps\n,1\n2026-01-05,2\n", "1 rows without a time"),
        ("1,2\n3,4\n", "first line must name the columns"),
        ("ts,rps\n", "has no rows"),
        ("ts,rps\n2026-01-05,1\n2026-01-05,2\n", "several rows at 2026-01-05"),
        ("ts,rps\n2026-01-05,1\n", "one row per workload"),
        ("ts,rps\n0001-01-01,1\n2026-01-05,2\n", "row 1: 0001-01-01 lies outside the years"),
        ("ts,rps\n2026-01-05,1\n2255-01-05,2\n", "row 2: 2255-01-05 lies outside the years"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TraceError) as caught:
        read_file(csv(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_time_of_another_century_is_named(tmp_path: Path) -> None:
    """It would else make a grid of thirty million steps."""
    text = "ts,rps\n1970-01-01T00:00:00Z,1\n" + lines(stamps(300), [5.0] * 300)
    with pytest.raises(TraceError, match=r"from 1970-01-01T00:00:00Z to 2.* is one of"):
        read_file(csv(tmp_path, text))


@pytest.mark.parametrize("days", [1, 20])
def test_a_gap_that_a_study_can_bear_is_none_of_its_business(tmp_path: Path, days: int) -> None:
    later = [(START + timedelta(days=days, minutes=k)).isoformat() for k in range(300)]
    text = "ts,rps\n" + lines([*stamps(300), *later], [5.0] * 600)
    (series,) = read_file(csv(tmp_path, text)).trace.series
    assert series.time_s.size == 600


class TestBadFiles:
    def refuse(self, path: Path, match: str, options: TraceOptions = SHORT) -> None:
        with pytest.raises(TraceError, match=match) as caught:
            load_trace(path, options)
        assert "\n" not in str(caught.value)

    def test_missing(self, tmp_path: Path) -> None:
        self.refuse(tmp_path / "no.parquet", "no file at")

    def test_another_kind(self, tmp_path: Path) -> None:
        self.refuse(csv(tmp_path, "x", "mine.xlsx"), "must end in one of .csv")

    def test_not_parquet(self, tmp_path: Path) -> None:
        self.refuse(csv(tmp_path, "hello", "t.parquet"), "not a readable parquet")

    def test_truncated(self, tmp_path: Path, wavy: Series) -> None:
        path = write(tmp_path, wavy)
        path.write_bytes(path.read_bytes()[:-200])
        self.refuse(path, "not a readable parquet")

    def test_broken_metadata(self, tmp_path: Path, wavy: Series) -> None:
        path = write(tmp_path, wavy)
        path.with_suffix(".json").write_text("{")
        self.refuse(path, "not valid JSON")

    def test_no_metadata_and_no_usual_name(self, tmp_path: Path, wavy: Series) -> None:
        self.refuse(write(tmp_path, wavy, metadata=False), "--demand")

    def test_too_short(self, tmp_path: Path, wavy: Series) -> None:
        self.refuse(write(tmp_path, wavy), "too short", TraceOptions(replay_hours=4.9))

    def test_repeated_rows(self, tmp_path: Path, wavy: Series) -> None:
        path = write(tmp_path, wavy)
        table = pq.read_table(path)
        pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
        self.refuse(path, "several rows at")

    def test_empty(self, tmp_path: Path) -> None:
        self.refuse(write(tmp_path, {}), "no rows")

    def test_nothing_usable(self, tmp_path: Path) -> None:
        self.refuse(write(tmp_path, {"z": np.zeros(300)}), "no workload can be replayed")

    def test_wrong_options(self) -> None:
        with pytest.raises(TraceError, match="replay_hours"):
            TraceOptions(replay_hours=0)


def test_one_time_off_the_grid_does_not_stop_a_study(tmp_path: Path, wavy: Series) -> None:
    path = write(tmp_path, wavy)
    table = pq.read_table(path)
    times = table["timestamp"].to_pylist()
    times[3] += timedelta(seconds=11)
    column = pa.array(times, pa.timestamp("ms", tz="UTC"))
    pq.write_table(table.set_column(0, "timestamp", column), path)
    fleet = load_trace(path, SHORT).fleet
    np.testing.assert_allclose(fleet.demand[0], wavy["svc/a"].astype(np.float32), rtol=1e-6)


@pytest.mark.parametrize("column", ["rps", "queue"])
def test_a_number_that_no_forecast_can_hold_is_told_with_its_row(
    tmp_path: Path, column: str
) -> None:
    rows = [{"ts": at, "rps": 1.0 + k, "queue": 2.0} for k, at in enumerate(stamps(4))]
    rows[2][column] = -1e39
    path = csv(tmp_path, "\n".join(map(json.dumps, rows)), "mine.jsonl")
    with pytest.raises(TraceError, match=f"column '{column}', row 3: -1e\\+39 is larger than"):
        read_file(path)


@pytest.mark.parametrize(
    "names",
    [
        ("3.1", "3.10"),
        ("7", "007"),
        ("90071992547409931234", "90071992547409931235"),
        ("1e5", "10e4"),
    ],
)
def test_names_that_look_like_numbers_are_kept_as_written(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    rows = [f"{at},{name},{k}" for k, at in enumerate(stamps(4), 1) for name in names]
    found = read_file(csv(tmp_path, "ts,model,rps\n" + "\n".join(rows))).trace
    assert [one.workload for one in found.series] == list(names)
    assert [one.values[:, 0].tolist() for one in found.series] == [[1, 2, 3, 4]] * 2


def test_times_of_a_column_of_times_outside_the_years_are_named(tmp_path: Path) -> None:
    times = np.array(["2026-01-05T00:00", "9999-12-31T00:00"], dtype="datetime64[ms]")
    path = tmp_path / "far.parquet"
    pq.write_table(pa.table({"ts": times, "rps": [1.0, 2.0]}), path)
    with pytest.raises(TraceError, match=r"'ts', row 2: 9999-12-31 .* outside the years 1970"):
        read_file(path)
