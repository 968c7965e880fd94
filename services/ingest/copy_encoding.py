"""Rows in PostgreSQL's binary COPY format, made by numpy a column at a time. Pure.

Source of the format: PostgreSQL documentation, COPY, "Binary Format". All numbers are big-endian; a
field is its length in bytes and its bytes, a NULL is the length -1; times are microseconds since
2000-01-01 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.ingest.samples import F64, I64, Mask

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
POSTGRES_EPOCH_US = 946_684_800_000_000


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """The columns that are the same in all rows of a series."""

    workload_id: int
    indicator: str


def encode_observations(key: SeriesKey, at_us: I64, value: F64) -> bytes:
    """Rows (workload_id, indicator, observed_at, value)."""
    rows = _rows(key, 4, at_us, [("value_size", ">i4"), ("value", ">f8")])
    rows["value_size"] = 8
    rows["value"] = value
    return rows.tobytes()


def encode_indicators(
    key: SeriesKey, step_us: I64, value: NDArray[np.float32], observed: Mask
) -> bytes:
    """Rows (workload_id, indicator, step_at, is_observed, value); a gap has no value."""
    flag: list[tuple[str, str]] = [("flag_size", ">i4"), ("flag", "i1"), ("value_size", ">i4")]
    seen = _rows(key, 5, step_us[observed], [*flag, ("value", ">f4")])
    seen["flag_size"], seen["flag"], seen["value_size"] = 1, 1, 4
    seen["value"] = value[observed]
    gaps = _rows(key, 5, step_us[~observed], flag)
    gaps["flag_size"], gaps["flag"], gaps["value_size"] = 1, 0, -1
    return seen.tobytes() + gaps.tobytes()


def _rows(
    key: SeriesKey, n_fields: int, at_us: I64, rest: list[tuple[str, str]]
) -> NDArray[np.void]:
    name = key.indicator.encode()
    head = [
        ("n_fields", ">i2"),
        ("id_size", ">i4"),
        ("id", ">i4"),
        ("name_size", ">i4"),
        ("name", f"S{len(name)}"),
        ("at_size", ">i4"),
        ("at", ">i8"),
    ]
    rows = np.zeros(len(at_us), dtype=np.dtype([*head, *rest]))
    rows["n_fields"] = n_fields
    rows["id_size"], rows["id"] = 4, key.workload_id
    rows["name_size"], rows["name"] = len(name), name
    rows["at_size"], rows["at"] = 8, at_us - POSTGRES_EPOCH_US
    return rows
