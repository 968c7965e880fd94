"""Files of requests in the engine's format: one JSON object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from services.kernel.errors import InvalidInput
from services.lab.arena.replay.records import AskedRequest, write_trace
from services.lab.arena.requests import RequestList

TIME, INPUT, OUTPUT = FIELDS = ("timestamp", "input_length", "output_length")
BLOCKS = "hash_ids"
"""Optional: ids of the blocks of 512 tokens of the prompt; requests with equal ones share them."""
LARGEST = 2**53
"""Of any number: up to it doubles are exact, and engines count in 64 bits."""
HOLE_S = 900.0
"""A longer silence is a hole in the recording: nothing tells it from a service without requests."""

_SHOWN = 60


def write_requests(path: Path, requests: RequestList) -> None:
    """Write them whole or not at all.

    Raises:
        InvalidInput: The file cannot be written.
    """
    columns = (requests.arrival_ms, requests.input_tokens, requests.output_tokens)
    lists = (*(column.tolist() for column in columns), requests.shared_blocks)
    rows = [AskedRequest(*row) for row in zip(*lists, strict=True)]
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
    times = np.array([row.arrival_ms for row in rows])
    gaps = np.diff(times)
    for at in np.flatnonzero((gaps < 0) | (gaps > HOLE_S * 1e3))[:1]:
        where = f"{path.name}:{at + 2}: {TIME}={times[at + 1]:g}"
        if gaps[at] < 0:
            raise InvalidInput(f"{where} is before {times[at]:g} of the line above: sort the file")
        raise InvalidInput(
            f"{where} comes {gaps[at] / 1e3:.0f} s after the line above: a hole of over "
            f"{HOLE_S:.0f} s; cut the trace there"
        )
    seen = [block for row in rows for block in row.shared]
    return RequestList(
        times - times[0],
        np.array([row.n_input for row in rows], np.int64),
        np.array([row.n_output for row in rows], np.int64),
        # Blocks that no other request has are no shared ones: the file names every block.
        prefix=tuple(row.shared for row in rows) if len(set(seen)) < len(seen) else None,
    )


def _request(where: str, line: str) -> AskedRequest:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise InvalidInput(f"{where}: no JSON: {why}") from error
    if not isinstance(row, dict):
        raise InvalidInput(f"{where}: must be an object with {', '.join(FIELDS)}")
    for name in FIELDS:
        value: Any = row.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not abs(value) <= LARGEST:
            raise InvalidInput(f"{where}: {name}={repr(value)[:_SHOWN]} must be a number to 2^53")
    for name in (INPUT, OUTPUT):
        if row[name] != int(row[name]) or row[name] < 1:
            raise InvalidInput(f"{where}: {name}={row[name]} must be a whole number >= 1")
    blocks = row.get(BLOCKS, [])
    if not isinstance(blocks, list) or not all(
        type(block) is int and 0 <= block <= LARGEST for block in blocks
    ):
        raise InvalidInput(
            f"{where}: {BLOCKS}={repr(blocks)[:_SHOWN]} must be a list of whole numbers, 0 to 2^53"
        )
    return AskedRequest(float(row[TIME]), int(row[INPUT]), int(row[OUTPUT]), tuple(blocks))
