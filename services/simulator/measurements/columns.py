"""Finds out which column holds the time, the workload and the demand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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

_NUMBER = re.compile(r"\s*[-+]?[.,]?\d")
"""How what people take for a number begins, whatever stands after it: `1,5`, `1 042`, `7 %`."""
_UNNAMED = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""What pandas calls the numbers of a table's rows in a file."""
_SHOWN = 40
"""Most characters of a value in a message."""


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """Columns that the user named; None: to be found.

    Attributes:
        time: Time of a row.
        workload: Name of its workload; empty: all rows are one workload's.
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
        unread: Every other column, each with what it holds.
    """

    time: str
    workload: str | None
    demand: str | None
    others: tuple[str, ...]
    unread: tuple[str, ...] = ()


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
        *(("--time", choice.time), ("--id", choice.workload or None)),
        ("--demand", choice.demand),
    ):
        if name is not None and name not in names:
            raise TraceError(f"{option}={name}: {label} has the columns {', '.join(names)}")
    time = choice.time or _time(table, label)
    is_told = choice.workload is not None
    workload = (choice.workload or None) if is_told else _workload(table, time, label)
    numbers = [
        field.name
        for field in table.schema
        if field.name not in (time, workload) and _is_number(field.type)
    ]
    numeric = [name for name in numbers if not _counts_rows(table, name, len(numbers))]
    demand = choice.demand or marked or _demand(table, (time, workload), numeric, label)
    for taken, what in ((time, "time"), (workload, "workload")):
        if demand == taken and _is_number(table.schema.field(demand).type):
            raise TraceError(f"--demand={demand}: is the {what} of {label}; name another column")
    if demand not in numbers:
        kind = table.schema.field(demand).type
        found = _first_word(table[demand])
        raise TraceError(f"{label}: the demand {demand!r} is {kind}, must be numbers{found}")
    others = tuple(name for name in numeric if name != demand)
    read = {time, workload, demand, *others}
    unread = tuple(_held(table, name) for name in names if name not in read)
    return FoundColumns(time, workload, demand, others, unread)


def _counts_rows(table: pa.Table, name: str, n_numbers: int) -> bool:
    """A column that pandas added, or whose numbers count the rows of the table one by one.

    The only numbers of a table, and those of a demand's usual name, are taken for what they say.
    """
    if _UNNAMED.fullmatch(name):
        return True
    column = table[name]
    is_whole = pa.types.is_integer(column.type) and not column.null_count
    if not is_whole or n_numbers == 1 or len(column) < 2 or _usual(name) in DEMANDS:
        return False
    return bool(np.all(np.diff(column.to_numpy().astype(float)) == 1))


def _held(table: pa.Table, name: str) -> str:
    """A column and what it holds, in words."""
    column = table[name]
    if _is_number(column.type):
        return f"{name or 'a column without a name'} (it counts the rows)"
    if not is_text(column.type):
        return f"{name or 'a column without a name'} ({column.type})"
    example = next((text for text in column.to_pylist() if text), "")
    return f"{name} (text, e.g. {example[:_SHOWN]!r})"


def _usual(name: str) -> str:
    return name.strip().lower()


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    )


def _by_name(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The likeliest of the usual names that is there, in whatever case."""
    there = {_usual(name): name for name in reversed(names)}
    return next((there[name] for name in usual if name in there), None)


def _time(table: pa.Table, label: str) -> str:
    stamps = [f.name for f in table.schema if pa.types.is_temporal(f.type)]
    found = _by_name(table.column_names, TIMES) or (stamps[0] if len(stamps) == 1 else None)
    if found is None:
        names = ", ".join(table.column_names)
        raise TraceError(f"{label}: which column is the time? Say --time COLUMN, one of {names}")
    return found


def _workload(table: pa.Table, time: str, label: str) -> str | None:
    """The usual name, else the only column of text; None where no column could be it.

    An `id` that is another one in each row is the row's, as databases number them.
    """
    names = [n for n in table.column_names if n != time and not _numbers_rows(table, n)]
    found = _by_name(names, WORKLOADS)
    if found is not None:
        return found
    texts = [
        f.name
        for f in table.schema
        if f.name in names and is_text(f.type) and _usual(f.name) not in DEMANDS
    ]
    if len(texts) > 1:
        raise TraceError(
            f"{label}: which column names the workload? Say --id COLUMN, one of {', '.join(texts)}"
        )
    return texts[0] if texts else None


def _numbers_rows(table: pa.Table, name: str) -> bool:
    column = table[name]
    is_usable = pa.types.is_integer(column.type) or is_text(column.type)
    if _usual(name) != "id" or not is_usable or len(column) < 2:
        return False
    return bool(pc.count_distinct(column.cast(pa.string())).as_py() == len(column))


def _holds_a_number(column: pa.ChunkedArray) -> bool:
    return any(text and _NUMBER.match(text) for text in column.to_pylist())


def _first_word(column: pa.ChunkedArray) -> str:
    """The first row of a column of text that is no number, in words; empty: it holds no text."""
    if not is_text(column.type):
        return ""
    for row, text in enumerate(column.to_pylist()):
        try:
            float(text or "nan")
        except ValueError:
            return f"; row {row + 1} has {text[:_SHOWN]!r}"
    return ""


def is_text(kind: pa.DataType) -> bool:
    """A column of words."""
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
        if f.name not in taken and is_text(f.type) and _holds_a_number(table[f.name])
    ]
    named = _by_name([n for n in table.column_names if n in {*numeric, *words}], DEMANDS)
    if named is not None and named in words:
        return named
    found = numeric[0] if len(numeric) == 1 else named
    if found is not None:
        return found
    if not numeric:
        raise TraceError(f"{label} has no column of numbers beside time and workload")
    is_wide = taken[-1] is None
    hint = "; where each is a service, write a row for each time and service" if is_wide else ""
    columns = ", ".join(numeric)
    raise TraceError(
        f"{label}: which column is the demand? Say --demand COLUMN, one of {columns}{hint}"
    )
