"""Steps as columns, and as PostgreSQL's bytes. Pure numpy.

Source of the formats: PostgreSQL documentation, COPY, "Binary Format", and the send functions of
`timestamptz` and of arrays. All numbers are big-endian; a field is its length in bytes and its
bytes; times are microseconds since 2000-01-01 UTC. Arrays hold no NULL (a check of the table), so
rows of one layout are equally long and become one structured array.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Layout = tuple[str, ...]
"""Names of the indicators that the places of a step hold."""

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
POSTGRES_EPOCH_US = 946_684_800_000_000
SECOND_US = 1_000_000

STORED, OBSERVED, NUMBER = 1, 2, 4
"""Bits of a state: the step has a row of the indicator, it is observed, it has a value."""
GAP = STORED
SEEN = STORED | OBSERVED | NUMBER

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLOAT4 = 700
_ARRAY_HEAD = (("n_dims", ">i4"), ("flags", ">i4"), ("type", ">i4"), ("n", ">i4"), ("low", ">i4"))


def to_us(at: datetime) -> int:
    """Microseconds since the epoch of an aware time."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def from_us(at_us: int) -> datetime:
    """Aware UTC time of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=int(at_us))


@dataclass(frozen=True, slots=True)
class StepBlock:
    """N steps of one layout of D names, of one workload or of several.

    Attributes:
        names: D names.
        workload_ids: (N,).
        at_us: Start of the step, microseconds since the epoch, (N,).
        values: (N, D); NaN where there is none.
        states: Bits of `STORED`, `OBSERVED`, `NUMBER`, (N, D); 0: nothing is stored.
    """

    names: Layout
    workload_ids: NDArray[np.int64]
    at_us: NDArray[np.int64]
    values: NDArray[np.float32]
    states: NDArray[np.uint8]

    @property
    def is_seen(self) -> NDArray[np.bool_]:
        """Where a value was observed, (N, D)."""
        wanted = OBSERVED | NUMBER
        seen: NDArray[np.bool_] = (self.states & wanted) == wanted
        return seen

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> StepBlock:
        """The chosen steps."""
        return StepBlock(
            self.names,
            self.workload_ids[chosen],
            self.at_us[chosen],
            self.values[chosen],
            self.states[chosen],
        )


def encode_steps(block: StepBlock, layout_id: int) -> bytes:
    """Rows (workload_id, layout_id, step_at, values, states) for a binary COPY."""
    n_names = len(block.names)
    rows = np.zeros(len(block.at_us), dtype=_copy_layout(n_names))
    rows["n_fields"] = 5
    rows["id_size"], rows["layout_size"], rows["at_size"] = 4, 4, 8
    rows["id"], rows["layout"] = block.workload_ids, layout_id
    rows["at"] = block.at_us - POSTGRES_EPOCH_US
    rows["values_size"] = 20 + 8 * n_names
    rows["n_dims"], rows["type"], rows["n"], rows["low"] = 1, _FLOAT4, n_names, 1
    rows["cells"]["size"], rows["cells"]["value"] = 4, block.values
    rows["states_size"], rows["states"] = n_names, block.states
    return rows.tobytes()


def decode_steps(names: Layout, packed: Mapping[int, bytes]) -> StepBlock:
    """Steps of one layout as queries pack them: time, states and values of each, one by one.

    Args:
        names: Names of the layout.
        packed: Steps by workload.

    Returns:
        In the order of workloads and time.
    """
    record = _sent_layout(len(names))
    rows = np.frombuffer(b"".join(packed.values()), dtype=record)
    sizes = [len(one) // record.itemsize for one in packed.values()]
    block = StepBlock(
        names,
        np.repeat(np.fromiter(packed, dtype=np.int64), sizes),
        rows["at"].astype(np.int64) + POSTGRES_EPOCH_US,
        rows["cells"]["value"].astype(np.float32),
        np.ascontiguousarray(rows["states"]),
    )
    return block.where(np.lexsort((block.at_us, block.workload_ids)))


def join_blocks(blocks: Iterable[StepBlock]) -> list[StepBlock]:
    """Blocks with those of one layout joined, each in the order of workloads and time."""
    by_names: dict[Layout, list[StepBlock]] = {}
    for block in blocks:
        by_names.setdefault(block.names, []).append(block)
    joined = []
    for names, found in by_names.items():
        block = StepBlock(
            names,
            np.concatenate([one.workload_ids for one in found]),
            np.concatenate([one.at_us for one in found]),
            np.concatenate([one.values for one in found]),
            np.concatenate([one.states for one in found]),
        )
        joined.append(block.where(np.lexsort((block.at_us, block.workload_ids))))
    return joined


@lru_cache(maxsize=256)
def _sent_layout(n_names: int) -> np.dtype[np.void]:
    cell = np.dtype([("size", ">i4"), ("value", ">f4")])
    fields = [
        ("at", ">i8"),
        ("states", "u1", (n_names,)),
        *_ARRAY_HEAD,
        ("cells", cell, (n_names,)),
    ]
    return np.dtype(fields)


@lru_cache(maxsize=256)
def _copy_layout(n_names: int) -> np.dtype[np.void]:
    cell = np.dtype([("size", ">i4"), ("value", ">f4")])
    fields = [
        ("n_fields", ">i2"),
        *(("id_size", ">i4"), ("id", ">i4")),
        *(("layout_size", ">i4"), ("layout", ">i4")),
        *(("at_size", ">i4"), ("at", ">i8")),
        *(("values_size", ">i4"), *_ARRAY_HEAD, ("cells", cell, (n_names,))),
        *(("states_size", ">i4"), ("states", "u1", (n_names,))),
    ]
    return np.dtype(fields)
