"""Files of several kinds hold the same."""

from __future__ import annotations

import json
from pathlib import Path

from services.simulator.measurements import read_file
from tests.unit.simulator.fleet.traces import START
from tests.unit.simulator.measurements.texts import csv, stamps


def test_json_lines_and_an_array_are_the_same(tmp_path: Path) -> None:
    rows = [{"ts": at, "id": "a", "rps": float(k)} for k, at in enumerate(stamps(4))]
    one = csv(tmp_path, "\n".join(map(json.dumps, rows)), "one.jsonl")
    other = csv(tmp_path, json.dumps(rows), "other.json")
    for path in (one, other):
        (series,) = read_file(path).trace.series
        assert series.values[:, 0].tolist() == [0, 1, 2, 3]
        assert series.time_s[0] == int(START.timestamp())


SPREADSHEET = "ts;service;rps\n{};chat;1,5\n{};chat;2\n{};chat;-0,25\n"


def test_commas_for_points_are_read_where_columns_are_parted_otherwise(tmp_path: Path) -> None:
    found = read_file(csv(tmp_path, SPREADSHEET.format(*stamps(3))))
    (series,) = found.trace.series
    assert series.values[:, 0].tolist() == [1.5, 2.0, -0.25]
    assert "numbers are read with a comma for the point" in found.said


def test_points_stay_points_whatever_parts_the_columns(tmp_path: Path) -> None:
    points = SPREADSHEET.format(*stamps(3)).replace(",", ".")
    found = read_file(csv(tmp_path, points))
    (series,) = found.trace.series
    assert series.values[:, 0].tolist() == [1.5, 2.0, -0.25]
    assert len(found.said) == 1


def test_text_with_commas_is_a_name(tmp_path: Path) -> None:
    text = "ts;service;rps\n{};a,b;1.5\n{};a,b;2.5\n{};a,b;3.5\n".format(*stamps(3))
    (series,) = read_file(csv(tmp_path, text)).trace.series
    assert series.workload == "a,b"
