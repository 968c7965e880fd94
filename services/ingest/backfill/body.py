"""The body of a back-fill, JSON or CSV, to columns. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from services.ingest.series.catalog import WorkloadName
from services.ingest.series.translate import (
    ParsedPush,
    check_counts,
    load_json,
    parse_entries,
    read_number,
    read_time,
)
from services.kernel.errors import InvalidInput, PayloadTooLarge

JSON_SHAPE = '{"indicators": {"NAME": [[time, value], ...]}}'
CSV_SHAPE = "a header `time,NAME,...` and a line for each time"
_MOST_COLUMNS = 92  # the time, 64 indicators, and 27 series of an objective of six goals


def parse_json(body: bytes, workload: WorkloadName, max_samples: int) -> ParsedPush:
    """Read `{"indicators": {"NAME": [[time, value], ...]}}`.

    Raises:
        InvalidInput: It has not this shape.
        PayloadTooLarge: It holds more than `max_samples`.
    """
    check_counts(body, max_samples)
    content = load_json(body)
    found = content.get("indicators") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found:
        raise InvalidInput(f"body: must read {JSON_SHAPE}, with one indicator at least")
    for name, samples in found.items():
        if not isinstance(samples, list):
            raise InvalidInput(
                f"indicators.{name[:60]}: must be a list of [time, value] pairs, "
                f"got {type(samples).__name__}",
                f"/indicators/{_escaped(name)}",
            )
    return parse_entries(_entries(workload, found.items()), max_samples)


def parse_csv(body: bytes, workload: WorkloadName, max_samples: int) -> ParsedPush:
    """Read lines of a time and one value for each indicator that the header names.

    An empty field is no sample. Whatever the first column is called, it is the time.

    Raises:
        InvalidInput: It is no CSV, or a line has not as many fields as the header.
        PayloadTooLarge: It holds more than `max_samples`.
    """
    # each of the three ends a line of CSV
    n_lines = body.count(b"\n") + body.count(b"\r") - body.count(b"\r\n")
    if n_lines > max_samples + 1 or body.count(b",") > 5 * max_samples:
        raise PayloadTooLarge(
            f"body: more than {max_samples} samples in one request; send less at once"
        )
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"body: no UTF-8 at byte {error.start}; send UTF-8 text") from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = _header(next(lines, []))
        columns: dict[str, list[list[Any]]] = {name: [] for name in names}
        for fields in lines:
            _add_line(columns, fields, lines.line_num)
    except csv.Error as error:
        raise InvalidInput(f"body: line {lines.line_num}: {error}; send plain CSV") from error
    return parse_entries(_entries(workload, columns.items()), max_samples)


def _header(fields: list[str]) -> list[str]:
    names = [field.strip() for field in fields[1:]]
    if not names or not all(names) or len(set(names)) < len(names) or len(fields) > _MOST_COLUMNS:
        raise InvalidInput(
            f"body: the first line {','.join(fields)[:80]!r} must name the time and then different "
            f"indicators, separated by commas: {CSV_SHAPE}"
        )
    return names


def _add_line(columns: dict[str, list[list[Any]]], fields: list[str], number: int) -> None:
    if not fields:
        return
    if len(fields) != len(columns) + 1:
        raise InvalidInput(
            f"body: line {number} has {len(fields)} fields and the first line "
            f"{len(columns) + 1}; leave a field empty where there is no value"
        )
    time = _number(fields[0])
    seconds = read_time(time)
    for samples, field in zip(columns.values(), fields[1:], strict=True):
        if field.strip():
            samples.append([time if seconds is None else seconds, _number(field)])


def _number(field: str) -> float | str:
    """The number that a field holds, or the field where it holds none."""
    found = read_number(field)
    return field.strip() if found is None else found


def _entries(
    workload: WorkloadName, found: Iterable[tuple[str, list[Any]]]
) -> list[dict[str, Any]]:
    """The same as series of a push."""
    return [
        {
            "namespace": workload.namespace,
            "workload": workload.name,
            "indicator": name,
            "samples": samples,
        }
        for name, samples in found
    ]


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
