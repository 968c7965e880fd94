"""Steps in PostgreSQL's bytes, as it documents them."""

from __future__ import annotations

import struct

import numpy as np

from services.kernel.db.steps.blocks import (
    GAP,
    POSTGRES_EPOCH_US,
    SEEN,
    StepBlock,
    decode_steps,
    encode_steps,
    join_blocks,
)

NAMES = ("load_rps", "heat_celsius")


def block(ids: list[int], at_us: list[int], names: tuple[str, ...] = NAMES) -> StepBlock:
    values = np.arange(len(ids) * len(names), dtype=np.float32).reshape(len(ids), len(names))
    states = np.full(values.shape, SEEN, dtype=np.uint8)
    return StepBlock(names, np.array(ids), np.array(at_us), values, states)


def test_a_row_of_a_copy() -> None:
    one = block([7], [60])
    one.states[0, 1], one.values[0, 1] = GAP, np.nan
    array = struct.pack(">iiiii", 1, 0, 700, 2, 1) + struct.pack(">ifif", 4, 0.0, 4, np.nan)
    assert encode_steps(one, 3) == (
        struct.pack(">hiiii", 5, 4, 7, 4, 3)
        + struct.pack(">iq", 8, 60 - POSTGRES_EPOCH_US)
        + struct.pack(">i", len(array))
        + array
        + struct.pack(">iBB", 2, SEEN, GAP)
    )


def test_what_a_query_packs_is_read_in_the_order_of_workloads_and_time() -> None:
    def packed(at_us: int, value: float) -> bytes:
        head = struct.pack(">qBB", at_us - POSTGRES_EPOCH_US, SEEN, GAP)
        cells = struct.pack(">ifif", 4, value, 4, np.nan)
        return head + struct.pack(">iiiii", 1, 0, 700, 2, 1) + cells

    found = decode_steps(NAMES, {9: packed(120, 3.0) + packed(60, 2.0), 8: packed(60, 1.0)})
    assert found.workload_ids.tolist() == [8, 9, 9]
    assert found.at_us.tolist() == [60, 60, 120]
    assert found.values[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert found.is_seen.tolist() == [[True, False]] * 3


def test_blocks_of_one_layout_are_joined() -> None:
    parts = [block([2], [60]), block([1], [60], ("up",)), block([1], [120])]
    first, second = join_blocks(parts)
    assert (first.names, first.workload_ids.tolist()) == (NAMES, [1, 2])
    assert (second.names, second.at_us.tolist()) == (("up",), [60])
