"""Finds out which column holds the time, the workload and the demand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from services.simulator.fleet.trace_metadata import TraceError

TIMES = ("timestamp", "ts", "ds", "time", "datetime", "@timestamp", "_time", "date")
WORKLOADS = (
    *("workload", "unique_id", "id", "service", "service_name", "deployment", "model"),
    *("model_name", "app", "name", "series"),
)
DEMANDS = (
    *("demand", "y", "rps", "qps", "requests_per_s", "requests_per_second", "request_rate"),
    *("tokens_per_s", "tokens_per_second", "requests", "tokens", "load", "value"),
)
"""Usual names, the likeliest first; Nixtla's are `unique_id`, `ds` and `y`."""

_NUMBER = re.compile(r"\s*[-+]?\d[\d.,]*\s*")
"""What people take for a number, commas in it too."""


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """Columns that the user named; None: to be found.

    Attributes:
        time: Time of a row.
        workload: Name of its workload.
        demand: What scaling follows.
    """

    time: str | None = None
    workload: str | None = None
    demand: str | None = None


@dataclass(frozen=True, slots=True)
class FoundColumns:
    """Columns of a table.

    Attributes:
        time: Time of a row.
        workload: Name of its workload; None: all rows are one workload's.
        demand: What scaling follows; None: the metadata beside the file say it.
        others: Further numeric columns.
    """

    time: str
    workload: str | None
    demand: str | None
    others: tuple[str, ...]


def find_columns(
    table: pa.Table, choice: ColumnChoice, label: str, marked: str | None = None
) -> FoundColumns:
    """Find the columns of a table.

    Args:
        table: The table.
        choice: What the user named.
        label: What the table is called, for messages.
        marked: The demand that metadata beside the file name.

    Raises:
        TraceError: A named column is not there, or none or several could be meant.
    """
    names = list(table.column_names)
    for option, name in (
        *(("--time", choice.time), ("--id", choice.workload)),
        ("--demand", choice.demand),
    ):
        if name is not None and name not in names:
            raise TraceError(f"{option}={name}: {label} has the columns {', '.join(names)}")
    time = choice.time or _time(table, label)
    workload = choice.workload or _workload(table, time, label)
    numeric = [
        field.name
        for field in table.schema
        if field.name not in (time, workload) and _is_number(field.type)
    ]
    demand = choice.demand or marked or _demand(table, (time, workload), numeric, label)
    for taken, what in ((time, "time"), (workload, "workload")):
        if demand == taken and _is_number(table.schema.field(demand).type):
            raise TraceError(f"--demand={demand}: is the {what} of {label}; name another column")
    if demand not in numeric:
        kind = table.schema.field(demand).type
        found = _first_word(table[demand])
        raise TraceError(f"{label}: the demand {demand!r} is {kind}, must be numbers{found}")
    return FoundColumns(time, workload, demand, tuple(n for n in numeric if n != demand))


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    )


def _by_name(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The likeliest of the usual names that is there, in whatever case."""
    there = {name.lower(): name for name in reversed(names)}
    return next((there[name] for name in usual if name in there), None)


def _time(table: pa.Table, label: str) -> str:
    stamps = [f.name for f in table.schema if pa.types.is_temporal(f.type)]
    found = _by_name(table.column_names, TIMES) or (stamps[0] if len(stamps) == 1 else None)
    if found is None:
        names = ", ".join(table.column_names)
        raise TraceError(f"{label}: which column is the time? Say --time COLUMN, one of {names}")
    return found


def _workload(table: pa.Table, time: str, label: str) -> str | None:
    """The usual name, else the only column of text; None where no column could be it."""
    found = _by_name([n for n in table.column_names if n != time], WORKLOADS)
    if found is not None:
        return found
    texts = [
        f.name
        for f in table.schema
        if f.name != time and _is_text(f.type) and f.name.lower() not in DEMANDS
    ]
    if len(texts) > 1:
        raise TraceError(
            f"{label}: which column names the workload? Say --id COLUMN, one of {', '.join(texts)}"
        )
    return texts[0] if texts else None


def _holds_a_number(column: pa.ChunkedArray) -> bool:
    return any(text and _NUMBER.fullmatch(text) for text in column.to_pylist())


def _first_word(column: pa.ChunkedArray) -> str:
    """The first row of a column of text that is no number, in words; empty: it holds no text."""
    if not _is_text(column.type):
        return ""
    for row, text in enumerate(column.to_pylist()):
        try:
            float(text or "nan")
        except ValueError:
            return f"; row {row + 1} has {text[:40]!r}"
    return ""


def _is_text(kind: pa.DataType) -> bool:
    is_plain = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(is_plain or pa.types.is_dictionary(kind))


def _demand(
    table: pa.Table, taken: Sequence[str | None], numeric: Sequence[str], label: str
) -> str:
    """The usual name, else the only column of numbers.

    One of a usual name that holds a word, as where something was missing once, is text: it is the
    demand all the same, to be told, and not to give way to whatever else is a number.
    """
    words = [
        f.name
        for f in table.schema
        if f.name not in taken and _is_text(f.type) and _holds_a_number(table[f.name])
    ]
    named = _by_name([n for n in table.column_names if n in {*numeric, *words}], DEMANDS)
    if named is not None and named in words:
        return named
    found = numeric[0] if len(numeric) == 1 else named
    if found is not None:
        return found
    if not numeric:
        raise TraceError(f"{label} has no column of numbers beside time and workload")
    raise TraceError(
        f"{label}: which column is the demand? Say --demand COLUMN, one of {', '.join(numeric)}"
    )
