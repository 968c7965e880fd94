"""Files of requests in the engine's format: one JSON object a line."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from services.kernel.errors import InvalidInput
from services.lab.arena.replay_process import write_trace
from services.lab.arena.requests import RequestList

TIME, INPUT, OUTPUT = FIELDS = ("timestamp", "input_length", "output_length")
HOLE_S = 900.0
"""A longer silence is a hole in the recording: nothing tells it from a service without requests."""


def write_requests(path: Path, requests: RequestList) -> None:
    """Write them whole or not at all.

    Raises:
        InvalidInput: The file cannot be written.
    """
    columns = (requests.arrival_ms, requests.input_tokens, requests.output_tokens)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    unfinished = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_trace(unfinished, rows)
        os.replace(unfinished, path)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from error


def read_requests(path: Path) -> RequestList:
    """Requests of a file, the first at 0.

    Raises:
        InvalidInput: A line is no request, times fall, or there is a hole; the message names the
            line.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from error
    rows = [_request(f"{path.name}:{at}", line) for at, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise InvalidInput(f"{path}: has no requests")
    found = np.array(rows, dtype=np.float64)
    times = found[:, 0]
    gaps = np.diff(times)
    for at in np.flatnonzero((gaps < 0) | (gaps > HOLE_S * 1e3))[:1]:
        where = f"{path.name}:{at + 2}: {TIME}={times[at + 1]:g}"
        if gaps[at] < 0:
            raise InvalidInput(f"{where} is before {times[at]:g} of the line above: sort the file")
        raise InvalidInput(
            f"{where} comes {gaps[at] / 1e3:.0f} s after the line above: a hole of over "
            f"{HOLE_S:.0f} s; cut the trace there"
        )
    return RequestList(times - times[0], found[:, 1].astype(np.int64), found[:, 2].astype(np.int64))


def _request(where: str, line: str) -> tuple[float, float, float]:
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{where}: no JSON: {error.msg}") from error
    if not isinstance(row, dict):
        raise InvalidInput(f"{where}: must be an object with {', '.join(FIELDS)}")
    for name in FIELDS:
        value = row.get(name)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            raise InvalidInput(f"{where}: {name}={value!r} must be a number")
    for name in (INPUT, OUTPUT):
        if row[name] != int(row[name]) or row[name] < 1:
            raise InvalidInput(f"{where}: {name}={row[name]} must be a whole number >= 1")
    return (row[TIME], row[INPUT], row[OUTPUT])
