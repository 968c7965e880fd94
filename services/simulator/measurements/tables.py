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
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from services.simulator.fleet.trace_metadata import TraceError

DELIMITERS = ",;\t|"
DECIMAL_COMMA = b"decimal_comma"
"""Metadata of a table whose numbers were read with a comma for the point."""
_SNIFFED_BYTES = 64_000
_UNREADABLE = (pa.ArrowException, OSError, ValueError, EOFError, zlib.error)
_TOO_MUCH = (OverflowError, RecursionError)  # a number beyond 64 bits, brackets without end
_WITH_COMMA = re.compile(r"\s*[-+]?\d+(?:,\d+)?\s*")


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


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def _read_csv(path: Path) -> pa.Table:
    content = _content(path)
    start = content[:_SNIFFED_BYTES].decode("utf-8-sig", errors="replace")
    header = start.splitlines()[0] if start.strip() else ""
    if "\ufffd" in header:
        raise ValueError(f"no UTF-8 text, its first line is {header[:60]!r}; save it as UTF-8")
    delimiter = max(DELIMITERS, key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    if names and all(_is_number(name) for name in names):
        raise ValueError(f"the first line must name the columns, found {header[:60]!r}")
    options = pa_csv.ParseOptions(delimiter=delimiter)
    table = pa_csv.read_csv(io.BytesIO(content), parse_options=options)
    if delimiter == "," or not any(_has_decimal_commas(column) for column in table.columns):
        return table
    commas = pa_csv.ConvertOptions(decimal_point=",")
    table = pa_csv.read_csv(io.BytesIO(content), parse_options=options, convert_options=commas)
    return table.replace_schema_metadata({DECIMAL_COMMA: "yes"})


def _has_decimal_commas(column: pa.ChunkedArray) -> bool:
    """A column of text that would be numbers with a comma for the point, as spreadsheets write."""
    if not pa.types.is_string(column.type):
        return False
    known = [text for text in column.to_pylist() if text]
    return bool(known) and all(_WITH_COMMA.fullmatch(text) for text in known)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_json(path: Path) -> pa.Table:
    """One object per line, or one array of objects."""
    content = _content(path).removeprefix(codecs.BOM_UTF8)
    if content.lstrip()[:1] != b"[":
        return pa_json.read_json(io.BytesIO(content))
    try:
        rows = json.loads(content)
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("an array must hold objects, e.g. [{...}, {...}]")
        # every row's names: pyarrow itself would take those of the first row alone
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    except _TOO_MUCH as error:
        raise ValueError(str(error)) from error


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
