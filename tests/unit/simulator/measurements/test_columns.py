"""Columns are found by name or by kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.simulator.fleet import TraceError
from services.simulator.measurements import ColumnChoice, read_file
from tests.unit.simulator.measurements.texts import csv, lines, stamps


@pytest.mark.parametrize(
    ("header", "demand"),
    [("ts,rps", "rps"), ("ds,y", "y"), ("time,my_metric", "my_metric"), ("Timestamp,QPS", "QPS")],
)
def test_one_service_is_named_by_its_file(tmp_path: Path, header: str, demand: str) -> None:
    path = csv(tmp_path, f"{header}\n" + lines(stamps(5), [1, 2, 3, 4, 5]))
    found = read_file(path)
    (series,) = found.trace.series
    assert (series.workload, found.trace.demand, found.trace.interval_s) == ("mine", demand, 60)
    assert series.values[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert f"demand {demand!r}" in found.said[0]


def test_the_columns_of_nixtla_are_known(tmp_path: Path) -> None:
    rows = "".join(f"{w},{at},{k}\n" for w in ("a", "b") for k, at in enumerate(stamps(3)))
    found = read_file(csv(tmp_path, "unique_id,ds,y\n" + rows))
    assert [s.workload for s in found.trace.series] == ["a", "b"]
    assert "(2)" in found.said[0]


def test_other_numbers_are_indicators_too(tmp_path: Path) -> None:
    text = "ts;id;rps;l3_gpu_busy\n" + "\n".join(f"{at};a;1.5;0.5" for at in stamps(4))
    trace = read_file(csv(tmp_path, text)).trace
    assert [(c.name, c.level) for c in trace.columns] == [("rps", 1), ("l3_gpu_busy", 3)]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (ColumnChoice(time="when"), "--time=when: mine.csv has the columns ts, id, rps"),
        (ColumnChoice(workload="who"), "--id=who"),
        (ColumnChoice(demand="id"), "the demand 'id' is string, must be numbers"),
    ],
)
def test_a_named_column_must_be_there(tmp_path: Path, choice: ColumnChoice, words: str) -> None:
    path = csv(tmp_path, "ts,id,rps\n2026-01-05,a,1\n")
    with pytest.raises(TraceError, match=words):
        read_file(path, choice)


@pytest.mark.parametrize(
    ("demand", "workload", "what"), [("ts", None, "time"), ("rps", "rps", "workload")]
)
def test_a_column_is_not_two_things(
    tmp_path: Path, demand: str, workload: str | None, what: str
) -> None:
    path = csv(tmp_path, "ts,rps\n1767571200,1\n1767571260,2\n")
    with pytest.raises(TraceError, match=f"^--demand={demand}: is the {what} of mine.csv"):
        read_file(path, ColumnChoice(demand=demand, workload=workload))


@pytest.mark.parametrize(
    ("header", "row"),
    [("ts,id,rps,latency_ms", "{},a,{},{}\n"), ("ts,rps,latency_ms", "{},{},{}\n")],
)
@pytest.mark.parametrize("word", ["-", "None", '"1,042"', "1 042", "7 %", ".5 req/s"])
def test_a_demand_with_a_word_in_it_gives_way_to_no_other_column(
    tmp_path: Path, header: str, row: str, word: str
) -> None:
    values = [1.5, word, 2.5]
    rows = "".join(row.format(at, value, 100) for at, value in zip(stamps(3), values, strict=True))
    path = csv(tmp_path, f"{header}\n{rows}")
    said = word.strip('"')
    with pytest.raises(TraceError, match=f"the demand 'rps' is string, .*; row 2 has '{said}'"):
        read_file(path)
    assert read_file(path, ColumnChoice(demand="latency_ms", workload=None)).trace.columns


@pytest.mark.parametrize("numbers", ["5 %,6 %,7 %", "1 042,1 043,1 044", "1'042,1'043,1'044"])
def test_numbers_with_more_than_digits_are_told_and_give_way_to_no_other_column(
    tmp_path: Path, numbers: str
) -> None:
    values = numbers.split(",")
    for header, rest in (("ts,id,rps,latency_ms", ",100"), ("ts,id,rps", "")):
        rows = "".join(f"{at},a,{v}{rest}\n" for at, v in zip(stamps(3), values, strict=True))
        said = f"the demand 'rps' is string, must be numbers; row 1 has .{values[0]}."
        with pytest.raises(TraceError, match=said):
            read_file(csv(tmp_path, f"{header}\n{rows}"))


def test_a_column_for_each_service_is_told_how_to_be_written(tmp_path: Path) -> None:
    rows = "".join(f"{at},{k}.5,{k}.25\n" for k, at in enumerate(stamps(3)))
    said = "one of chat, search; where each is a service, write a row for each time and service"
    with pytest.raises(TraceError, match=said):
        read_file(csv(tmp_path, "ts,chat,search\n" + rows))


def test_a_column_of_words_alone_is_no_demand_whatever_it_is_called(tmp_path: Path) -> None:
    path = csv(tmp_path, "ts,id,load,my_rate\n" + "".join(f"{at},a,high,1\n" for at in stamps(3)))
    assert read_file(path).trace.demand == "my_rate"


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    rows = "".join(f'{at},a,{k}.5,"{k}0 %",true,eu\n' for k, at in enumerate(stamps(3)))
    found = read_file(csv(tmp_path, "ts,service,rps,busy,ok,region\n" + rows))
    assert found.said[1] == (
        "not read: busy (text, e.g. '00 %'), ok (bool), region (text, e.g. 'eu')"
    )


@pytest.mark.parametrize(
    ("name", "first"), [("", 7), ("Unnamed: 0", 7), ("__index_level_0__", 7), ("row", 1)]
)
def test_numbers_of_rows_are_no_indicator(tmp_path: Path, name: str, first: int) -> None:
    """Those of a table that was sorted by something else go up and down."""
    numbers = (first, 2, 3, 4)
    rows = "".join(f"{numbers[k]},{at},{5 - k}\n" for k, at in enumerate(stamps(4)))
    found = read_file(csv(tmp_path, f"{name},ts,my_metric\n{rows}"))
    assert [column.name for column in found.trace.columns] == ["my_metric"]
    assert "(it counts the rows)" in found.said[1]


def test_an_empty_column_at_the_end_of_each_line_is_called_one_without_a_name(
    tmp_path: Path,
) -> None:
    rows = "".join(f"{at},{k}.5,\n" for k, at in enumerate(stamps(3)))
    found = read_file(csv(tmp_path, "ts,rps,\n" + rows))
    assert found.said[1] == "not read: a column without a name (null)"


def test_an_id_of_each_row_names_no_service(tmp_path: Path) -> None:
    rows = "".join(f"{k},{at},{5 - k}\n" for k, at in enumerate(stamps(4)))
    found = read_file(csv(tmp_path, f"id,ts,rps\n{rows}"))
    (series,) = found.trace.series
    assert (series.workload, series.time_s.size) == ("mine", 4)
    assert found.said[1].startswith("not read: id ")


def test_names_are_read_without_the_spaces_around_them(tmp_path: Path) -> None:
    rows = "".join(f"{at},{'a ' if k % 2 else 'a'},{k}.5\n" for k, at in enumerate(stamps(4)))
    found = read_file(csv(tmp_path, "ts, service,rps\n" + rows))
    (series,) = found.trace.series
    assert (series.workload, series.time_s.size) == ("a", 4)
    assert any("without the spaces around them (2 rows)" in line for line in found.said)
