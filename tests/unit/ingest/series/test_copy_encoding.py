"""Rows in the binary COPY format, byte for byte as PostgreSQL documents them."""

from __future__ import annotations

import struct

from services.ingest.series.copy_encoding import (
    SeriesKey,
    encode_observations,
    key_columns,
)
from services.ingest.series.samples import make_samples
from services.kernel.db.steps.blocks import POSTGRES_EPOCH_US

KEYS = [SeriesKey(7, "load_rps"), SeriesKey(8, "up")]


def head(n_fields: int, key: SeriesKey, at_us: int) -> bytes:
    name = key.indicator.encode()
    lead = struct.pack(">hiii", n_fields, 4, key.workload_id, len(name))
    return lead + name + struct.pack(">iq", 8, at_us - POSTGRES_EPOCH_US)


def test_observations() -> None:
    samples = make_samples([0, 1, 0], [10, 20, 30], [1.5, 2.5, 3.5])
    written = b"".join(encode_observations(key_columns(KEYS), samples))
    rows = [(1, 20, 2.5), (0, 10, 1.5), (0, 30, 3.5)]  # names of one length go together
    assert written == b"".join(
        head(4, KEYS[number], at_us) + struct.pack(">id", 8, value) for number, at_us, value in rows
    )


def test_keys_sort_by_workload_then_indicator() -> None:
    keys = [SeriesKey(2, "a"), SeriesKey(1, "b"), SeriesKey(1, "a")]
    assert sorted(keys) == [SeriesKey(1, "a"), SeriesKey(1, "b"), SeriesKey(2, "a")]
