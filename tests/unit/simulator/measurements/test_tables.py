"""Files of several kinds hold the same."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from services.simulator.fleet import TraceError
from services.simulator.measurements import ColumnChoice, read_file
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


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("twice.csv", b"ts,rps,rps\n2026-01-05,1,2\n", "several columns named 'rps'"),
        (
            "cut.csv.gz",
            gzip.compress(b"ts,rps\n2026-01-05,1\n", mtime=0)[:-9],
            "not a readable csv file",
        ),
        ("text.csv.gz", b"ts,rps\n", "not a readable csv file"),
        ("bare.csv", b"2026-01-05T00:00:00Z,a,1.5\n2026-01-06,a,2\n", "first line must name"),
        ("bare2.csv", b"a,1.5\nb,2\n", "first line must name the columns, found 'a,1.5'"),
        ("half.jsonl", b'{"ts": 1, "rps": 2}\n{"ts":', "not a readable jsonl file"),
        ("number.json", b"42", "not a readable json file"),
        ("null.json", b" null", "not a readable json file: line 1 is null; each must hold an obj"),
        ("nulls.jsonl", b'{"ts": 1, "rps": 2}\n' + b"null\n" * 300_000, "line 2 is null"),
        ("list.json", b"[1, 2]", "an array must hold objects"),
        (
            "large.json",
            b'[{"ts": "2026-01-05", "rps": 1000000000000000000000}]',
            "column 'rps' cannot be read: .*too large",
        ),
        (
            "kinds.json",
            b'[{"ts": "2026-01-05", "rps": null}, {"rps": 1}, {"rps": "many"}]',
            "column 'rps' cannot be read at element 2, \"many\": ",
        ),
        (
            "truths.json",
            b'[{"ts": "2026-01-05", "rps": 1}, {"rps": true}]',
            "column 'rps' cannot be read at element 1, true: ",
        ),
        ("deep.json", b"[" * 100_000, "recursion"),
        ("latin.csv", "ts,d\xe9bit\n2026-01-05,1\n".encode("latin-1"), "no UTF-8 text.*as UTF-8"),
        ("excel.csv", "ts,rps\n2026-01-05,1\n".encode("utf-16"), "no UTF-8 text.*as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_a_line(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TraceError, match=words) as caught:
        read_file(path)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    rows = [{"ts": at, "who": {"a": k}, "rps": float(k)} for k, at in enumerate(stamps(3))]
    path = csv(tmp_path, "\n".join(map(json.dumps, rows)), "mine.jsonl")
    with pytest.raises(TraceError, match=r"'who' is struct.* must name the workload"):
        read_file(path, ColumnChoice(workload="who"))


def test_text_of_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("ts,id,rps\n2026-01-05,\xe9,1\n2026-01-06,\xe9,2\n".encode("latin-1"))
    with pytest.raises(TraceError, match=r"latin\.csv: column 'id' is binary.*UTF-8"):
        read_file(path)


def test_what_the_first_object_lacks_is_read_of_the_others(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"ts": at, "id": "a"} for at in stamps(4)]
    for k, row in enumerate(rows[1:]):
        row.update(rps=float(k), queue=2.0 * k)
    path = csv(tmp_path, json.dumps(rows), "mine.json")
    trace = read_file(path).trace
    assert [column.name for column in trace.columns] == ["rps", "queue"]
    assert trace.series[0].values[1:].tolist() == [[0, 0], [1, 2], [2, 4]]


def test_a_byte_order_mark_before_an_array_is_passed_over(tmp_path: Path) -> None:
    rows = [{"ts": at, "rps": float(k)} for k, at in enumerate(stamps(3))]
    path = csv(tmp_path, "\ufeff" + json.dumps(rows), "mine.json")
    assert read_file(path).trace.demand == "rps"
