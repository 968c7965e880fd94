"""Rows in PostgreSQL's binary COPY format, made by numpy a column at a time. Pure.

Source of the format: PostgreSQL documentation, COPY, "Binary Format". All numbers are big-endian; a
field is its length in bytes and its bytes, a NULL is the length -1; times are microseconds since
2000-01-01 UTC. Rows whose indicator names are equally long have the same layout, and so become one
structured array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.ingest.series.samples import I64, Samples
from services.kernel.db.steps.blocks import POSTGRES_EPOCH_US

_OBSERVATION = (("value_size", ">i4"), ("value", ">f8"))
_Fields = tuple[tuple[str, str], ...]


class SeriesKey(NamedTuple):
    """Key of a series: the columns that are the same in all of its rows."""

    workload_id: int
    indicator: str


@dataclass(frozen=True, slots=True)
class KeyColumns:
    """Keys of N series as columns.

    Attributes:
        workload_id: (N,).
        name: Position of the indicator's name in `names`, (N,).
        names: Names of indicators, encoded.
    """

    workload_id: I64
    name: I64
    names: Sequence[bytes]


def key_columns(keys: Sequence[SeriesKey]) -> KeyColumns:
    """Keys as columns."""
    names: dict[bytes, int] = {}
    name = [names.setdefault(key.indicator.encode(), len(names)) for key in keys]
    ids = [key.workload_id for key in keys]
    return KeyColumns(np.array(ids, dtype=np.int64), np.array(name, dtype=np.int64), tuple(names))


def encode_observations(keys: KeyColumns, samples: Samples) -> Iterator[bytes]:
    """Rows (workload_id, indicator, observed_at, value)."""
    for chosen, names in _by_name_length(keys, samples.series):
        rows = _rows(4, keys, samples.series[chosen], names, _OBSERVATION)
        rows["at"] = samples.at_us[chosen] - POSTGRES_EPOCH_US
        rows["value_size"] = 8
        rows["value"] = samples.value[chosen]
        yield rows.tobytes()


def _by_name_length(keys: KeyColumns, series: I64) -> Iterator[tuple[I64, NDArray[np.bytes_]]]:
    """Positions of the rows whose names are equally long, and all names, cut to that length."""
    lengths = np.array([len(name) for name in keys.names], dtype=np.int64)
    length_of = lengths[keys.name[series]]
    for length in np.flatnonzero(np.bincount(length_of)).tolist():
        # names of another length are cut off here, but none of their rows is chosen
        yield np.flatnonzero(length_of == length), np.array(keys.names, dtype=f"S{length}")


def _rows(
    n_fields: int, keys: KeyColumns, series: I64, names: NDArray[np.bytes_], rest: _Fields
) -> NDArray[np.void]:
    rows = np.zeros(len(series), dtype=_layout(names.dtype.itemsize, rest))
    rows["n_fields"] = n_fields
    rows["id_size"], rows["name_size"], rows["at_size"] = 4, names.dtype.itemsize, 8
    rows["id"] = keys.workload_id[series]
    rows["name"] = names[keys.name[series]]
    return rows


@lru_cache(maxsize=256)
def _layout(name_length: int, rest: _Fields) -> np.dtype[np.void]:
    head = [
        ("n_fields", ">i2"),
        ("id_size", ">i4"),
        ("id", ">i4"),
        ("name_size", ">i4"),
        ("name", f"S{name_length}"),
        ("at_size", ">i4"),
        ("at", ">i8"),
    ]
    return np.dtype([*head, *rest])
