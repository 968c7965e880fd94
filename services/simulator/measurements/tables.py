"""Reads a table from a CSV, JSON or parquet file, whatever its columns are called."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from services.simulator.fleet.trace_metadata import TraceError
from services.simulator.measurements.remarks import with_remarks
from services.simulator.measurements.separators import numbers_of

DELIMITERS = ",;\t|"
_SNIFFED_BYTES = 64_000
_UNREADABLE = (pa.ArrowException, OSError, ValueError, EOFError, zlib.error)
_TOO_MUCH = (OverflowError, RecursionError)  # a number beyond 64 bits, brackets without end
_NULL_LINE = re.compile(rb"^[ \t\r]*null\b", re.MULTILINE)
"""pyarrow ends the whole process where all lines of a block are such."""
_NAMES_NOTHING = re.compile(r"[-+]?[\d.,]*\d[\d.,]*(?:[eE][-+]?\d+)?")


def read_table(path: Path) -> pa.Table:
    """The table in a file; its name says of which kind it is.

    Args:
        path: `.csv`, `.tsv` (also with `.gz`), `.jsonl`, `.ndjson`, `.json` or `.parquet`.

    Raises:
        TraceError: There is no such file, it is of another kind, cannot be read or has no rows.
    """
    if not path.is_file():
        raise TraceError(f"no file at {path}; give a {', '.join(READERS)} file")
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix != ".gz"), "").lower()
    if kind not in READERS:
        raise TraceError(f"{path.name}: its name must end in one of {', '.join(READERS)}")
    try:
        table = READERS[kind](path)
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise TraceError(f"{path.name} is not a readable {kind[1:]} file: {reason}") from error
    if table.num_rows == 0:
        raise TraceError(f"{path.name} has no rows")
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TraceError(f"{path.name} has several columns named {twice[0]!r}; name each once")
    return table


def with_names_as_written(table: pa.Table, path: Path, column: str | None) -> pa.Table:
    """The table with a column of names as its CSV has them: `3.1` and `3.10`, `7` and `007` differ.

    Args:
        table: What `read_table` gave.
        path: The file; of other kinds than CSV it says itself what is text.
        column: The column; None: there is none.
    """
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix != ".gz"), "").lower()
    if column is None or READERS[kind] is not _read_csv:
        return table
    guessed = table.schema.field(column).type
    if pa.types.is_string(guessed) or pa.types.is_binary(guessed):
        return table
    content = _content(path)
    options = pa_csv.ParseOptions(delimiter=_delimiter(_header(content)))
    as_text = pa_csv.ConvertOptions(
        include_columns=[column], column_types={column: pa.string()}, strings_can_be_null=True
    )
    texts = pa_csv.read_csv(io.BytesIO(content), parse_options=options, convert_options=as_text)
    return table.set_column(table.column_names.index(column), column, texts[column])


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def _read_csv(path: Path) -> pa.Table:
    content = _content(path)
    header = _header(content)
    if "\ufffd" in header:
        raise ValueError(f"no UTF-8 text, its first line is {header[:60]!r}; save it as UTF-8")
    delimiter = _delimiter(header)
    names = next(csv.reader([header], delimiter=delimiter), [])
    if any(_is_value(name.strip()) for name in names):
        raise ValueError(f"the first line must name the columns, found {header[:60]!r}")
    options = pa_csv.ParseOptions(delimiter=delimiter)
    table = pa_csv.read_csv(io.BytesIO(content), parse_options=options)
    if len(set(table.column_names)) < table.num_columns:  # which is refused
        return table
    return _with_separators_read(table, content, options, path.name)


def _header(content: bytes) -> str:
    start = content[:_SNIFFED_BYTES].decode("utf-8-sig", errors="replace")
    return start.splitlines()[0] if start.strip() else ""


def _delimiter(header: str) -> str:
    return max(DELIMITERS, key=header.count)


def _with_separators_read(
    table: pa.Table, content: bytes, options: pa_csv.ParseOptions, label: str
) -> pa.Table:
    """The table with its numbers as they were meant: `1.184` may be 1184 elsewhere.

    Where commas part the columns a point is one, and only what is quoted can hold a comma.
    """
    floats = [f.name for f in table.schema if pa.types.is_floating(f.type)]
    looked_at = [f.name for f in table.schema if pa.types.is_string(f.type)]
    has_points = options.delimiter == "," and bool(floats)
    looked_at += [] if options.delimiter == "," else floats
    if not looked_at:
        return table
    as_text = pa_csv.ConvertOptions(
        include_columns=looked_at,
        column_types={name: pa.string() for name in looked_at},
        strings_can_be_null=True,
    )
    texts = pa_csv.read_csv(io.BytesIO(content), parse_options=options, convert_options=as_text)
    stripped = {name: pc.utf8_trim_whitespace(texts[name]) for name in looked_at}
    numbers, said = numbers_of(stripped, label, has_points=has_points)
    for name, column in numbers.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return with_remarks(table, *said)


def _is_value(name: str) -> bool:
    """A name that is a number or a time is a row's: the file has no line of names."""
    if _NAMES_NOTHING.fullmatch(name):
        return True
    try:
        datetime.fromisoformat(name)
    except ValueError:
        return False
    return True


def _read_json(path: Path) -> pa.Table:
    """One object per line, or one array of objects."""
    content = _content(path).removeprefix(codecs.BOM_UTF8)
    if content.lstrip()[:1] != b"[":
        if (found := _NULL_LINE.search(content)) is not None:
            line = content.count(b"\n", 0, found.start()) + 1
            raise ValueError(f"line {line} is null; each must hold an object, e.g. {{...}}")
        return pa_json.read_json(io.BytesIO(content))
    try:
        rows = json.loads(content)
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("an array must hold objects, e.g. [{...}, {...}]")
        # every row's names: pyarrow itself would take those of the first row alone
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pa.table({name: _column(name, [row.get(name) for row in rows]) for name in names})
    except _TOO_MUCH as error:
        raise ValueError(str(error)) from error


def _column(name: str, values: list[object]) -> pa.Array:
    """A column of an array's objects.

    Raises:
        ValueError: Its values are of several kinds, or a number is too large.
    """
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError) as error:
        kinds = [type(value) for value in values]
        first = next(kind for kind in kinds if kind is not type(None))
        odd = next((n for n, kind in enumerate(kinds) if kind not in (first, type(None))), None)
        where = "" if odd is None else f" at element {odd}, {json.dumps(values[odd])[:60]}"
        raise ValueError(f"column {name!r} cannot be read{where}: {error}") from error


def _read_parquet(path: Path) -> pa.Table:
    """One file by itself: what reads a folder of them would load pandas, which takes a second."""
    with pq.ParquetFile(path) as file:
        return file.read()


READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
"""Suffix -> reader."""
