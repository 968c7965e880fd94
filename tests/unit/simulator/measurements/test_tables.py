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
