"""`1.184` is a thousand in one country and one in another: it is read where the file tells."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from services.simulator.fleet import TraceError
from services.simulator.measurements import read_file
from services.simulator.measurements.separators import numbers_of
from tests.unit.simulator.measurements.texts import csv, stamps


def texts(*values: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.string())])


def read(*values: str | None) -> list[float | None]:
    numbers, _ = numbers_of({"rps": texts(*values)}, "mine")
    found: list[float | None] = numbers["rps"].to_pylist()
    return found


@pytest.mark.parametrize(
    ("name", "between", "values", "words"),
    [
        ("mine.csv", ";", ("999", "1.184"), "row 2: 1.184 may be 1184 or 1.184; write 1184 or"),
        ("mine.tsv", "\t", ("999", "1,184"), "row 2: 1,184 may be 1184 or 1.184; write 1184 or"),
        ("mine.csv", ";", ("-12.500", "12.500"), "row 1: -12.500 may be -12500 or -12.500;"),
        ("mine.csv", ",", ('"999"', '"1,184"'), "row 2: 1,184 may be 1184 or 1.184; write 1184 or"),
    ],
)
def test_what_may_be_a_thousand_or_one_is_refused(
    tmp_path: Path, name: str, between: str, values: tuple[str, ...], words: str
) -> None:
    rows = [
        between.join(("ts", "rps")),
        *(between.join(row) for row in zip(stamps(2), values, strict=True)),
    ]
    with pytest.raises(TraceError, match=f"^{name}: column 'rps', {words}") as caught:
        read_file(csv(tmp_path, "\n".join(rows) + "\n", name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (("1.184,5", "999"), [1184.5, 999.0]),
        (("10,134.40", "980.50"), [10134.4, 980.5]),
        (("1.184.000", "999"), [1184000.0, 999.0]),
        (("0.512", "1.184"), [0.512, 1.184]),
        (("0,512", "1,184"), [0.512, 1.184]),
        (("1500", "1.184"), [1500.0, 1.184]),
        (("1.5", "1.184", None), [1.5, 1.184, None]),
        (("1,5e3", "-2,25"), [1500.0, -2.25]),
    ],
)
def test_what_is_certain_is_read(values: tuple[str, ...], numbers: list[float]) -> None:
    assert read(*values) == numbers


@pytest.mark.parametrize("values", [("1.5", "1,042"), ("1.184", "-"), ("a,b", "c")])
def test_what_is_no_number_stays_text(values: tuple[str, ...]) -> None:
    assert numbers_of({"rps": texts(*values)}, "mine") == ({}, ())


def test_a_column_follows_the_others_of_its_file() -> None:
    columns = {"rps": texts("999", "1.184"), "load": texts("0,5", "0,25")}
    numbers, said = numbers_of(columns, "mine")
    assert numbers["rps"].to_pylist() == [999.0, 1184.0]
    assert said == (
        "numbers are read with a comma for the point",
        "1.184 of 'rps' is read as 1184",
    )


def test_whole_numbers_beside_three_decimals_are_told_by_no_other_column() -> None:
    columns = {"rps": texts("999", "1.184"), "load": texts("0.5", "0.25")}
    with pytest.raises(TraceError, match="may be 1184 or"):
        numbers_of(columns, "mine")


def test_columns_that_differ_tell_nothing_of_a_third() -> None:
    columns = {"a": texts("1,5"), "b": texts("1.5"), "c": texts("1.184")}
    with pytest.raises(TraceError, match="column 'c', row 1"):
        numbers_of(columns, "mine")


def test_thousands_in_quotes_are_read_and_it_is_said(tmp_path: Path) -> None:
    rows = "".join(
        f'{at},"{value}"\n' for at, value in zip(stamps(2), ("10,134.40", "980.5"), strict=True)
    )
    found = read_file(csv(tmp_path, "ts,rps\n" + rows))
    assert found.trace.series[0].values[:, 0].tolist() == [10134.4, 980.5]
    assert "10,134.40 of 'rps' is read as 10134.40" in found.said


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=20), st.booleans())
def test_no_thousands_are_ever_read_as_parts(values: list[int], is_german: bool) -> None:
    """They are read as they were written, or refused."""
    written = [f"{value:,}".replace(",", "." if is_german else ",") for value in values]
    try:
        numbers, _ = numbers_of({"rps": texts(*written)}, "mine")
    except TraceError:
        return
    assert numbers.get("rps", pa.array(values)).to_pylist() == values
