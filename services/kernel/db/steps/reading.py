"""SQL that reads steps, those of a shard in one query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from services.kernel.db.steps.blocks import (
    POSTGRES_EPOCH_US,
    SEEN,
    StepBlock,
    decode_steps,
    join_blocks,
)
from services.kernel.db.steps.layouts import load_layouts
from services.kernel.db.steps.moving import moved_since

_OLD_RECORD = np.dtype([("at", ">i8"), ("value", ">f4")])


class SeriesName(NamedTuple):
    """An indicator of a workload."""

    workload_id: int
    indicator: str


@dataclass(frozen=True, slots=True)
class Span:
    """A closed stretch of steps, by their start."""

    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class SeenSteps:
    """Observed steps of an indicator: starts in microseconds since the epoch, and values, (n,)."""

    at_us: NDArray[np.int64]
    values: NDArray[np.float32]


_STEPS = (
    "SELECT k.workload_id, s.layout_id, NULL AS name, "
    "string_agg(timestamptz_send(s.step_at) || s.states || array_send(s.values), ''::bytea) "
    "AS packed FROM unnest(CAST(:ids AS integer[])) AS k(workload_id) "
    "CROSS JOIN unnest(CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[])) "
    "  AS p(first_at, last_at) CROSS JOIN LATERAL (SELECT layout_id, step_at, states, "
    '  "values" FROM indicator_steps WHERE workload_id = k.workload_id '
    "  AND step_at BETWEEN p.first_at AND p.last_at "
    # the same bounds as constants, so that partitions outside are not even planned
    "  AND step_at BETWEEN :first AND :last OFFSET 0) AS s GROUP BY k.workload_id, s.layout_id"
)
# in one statement with the steps, so that none is missed that is moved meanwhile
_OLD_VALUES = (
    " UNION ALL SELECT k.workload_id, NULL, n.name, "
    "string_agg(timestamptz_send(v.step_at) || float4send(v.value), ''::bytea) "
    "FROM unnest(CAST(:ids AS integer[])) AS k(workload_id) "
    "CROSS JOIN unnest(CAST(:names AS text[])) AS n(name) "
    "CROSS JOIN unnest(CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[])) "
    "  AS p(first_at, last_at) CROSS JOIN LATERAL (SELECT step_at, value FROM indicator_values "
    "  WHERE workload_id = k.workload_id AND indicator = n.name AND is_observed "
    "  AND value IS NOT NULL AND step_at BETWEEN p.first_at AND p.last_at "
    "  AND step_at BETWEEN :first AND :last OFFSET 0) AS v GROUP BY k.workload_id, n.name"
)


def load_steps(
    connection: Connection, wanted: Mapping[str, Sequence[int]], spans: Sequence[Span]
) -> list[StepBlock]:
    """Steps of workloads within `spans`, in one query; spans must not overlap.

    The steps of a workload come back as one string of bytes: an order of magnitude less to send
    and parse than rows. The lateral join makes Postgres walk the key once per workload and span, so
    the cost does not grow with the history kept.

    Args:
        connection: An open transaction.
        wanted: Workloads by the names of the indicators that are looked at; of others there may be
            values too.
        spans: Stretches of steps.

    Returns:
        A block for each layout, in the order of workloads and time. Of what is still to be moved
        observed values only, each indicator in a block of its own.
    """
    ids = sorted({workload_id for found in wanted.values() for workload_id in found})
    if not ids or not spans:
        return []
    first_at = min(span.first_at for span in spans)
    has_moved = first_at >= moved_since(connection)
    given = {
        "ids": ids,
        "names": sorted(wanted),
        "firsts": [span.first_at for span in spans],
        "lasts": [span.last_at for span in spans],
        "first": first_at,
        "last": max(span.last_at for span in spans),
    }
    rows = connection.execute(text(_STEPS if has_moved else _STEPS + _OLD_VALUES), given).all()
    found: dict[int, dict[int, bytes]] = defaultdict(dict)
    for row in rows:
        if row.layout_id is not None:
            found[row.layout_id][row.workload_id] = row.packed
    layouts = load_layouts(connection, found)
    blocks = [decode_steps(layouts[one], parts) for one, parts in found.items()]
    return blocks + join_blocks(_old_block(row) for row in rows if row.layout_id is None)


def _old_block(row: Any) -> StepBlock:
    """Values of an indicator that are still to be moved."""
    steps = np.frombuffer(row.packed, dtype=_OLD_RECORD)
    return StepBlock(
        (row.name,),
        np.full(steps.size, row.workload_id, dtype=np.int64),
        steps["at"].astype(np.int64) + POSTGRES_EPOCH_US,
        steps["value"].astype(np.float32)[:, None],
        np.full((steps.size, 1), SEEN, dtype=np.uint8),
    )


def load_seen(
    connection: Connection, wanted: Iterable[SeriesName], spans: Sequence[Span]
) -> dict[SeriesName, SeenSteps]:
    """Observed steps of indicators within `spans`, in time order; without any: left out."""
    names: dict[str, list[int]] = defaultdict(list)
    for one in wanted:
        names[one.indicator].append(one.workload_id)
    return pick_seen(load_steps(connection, names, spans), names)


def pick_seen(
    blocks: Sequence[StepBlock], wanted: Mapping[str, Sequence[int]]
) -> dict[SeriesName, SeenSteps]:
    """Observed steps of workloads' indicators, by name: those that have any."""
    parts: dict[SeriesName, list[SeenSteps]] = defaultdict(list)
    for block in blocks:
        is_seen = block.is_seen
        for place, name in enumerate(block.names):
            ids = np.unique(np.asarray(wanted.get(name, ()), dtype=np.int64))
            if not ids.size:
                continue
            rows = np.flatnonzero(is_seen[:, place])
            owner = block.workload_ids[rows]
            begins, ends = np.searchsorted(owner, ids), np.searchsorted(owner, ids, side="right")
            at_us, values = block.at_us[rows], block.values[rows, place]
            for workload_id, begin, end in zip(ids.tolist(), begins, ends, strict=True):
                if end > begin:
                    steps = SeenSteps(at_us[begin:end], values[begin:end])
                    parts[SeriesName(workload_id, name)].append(steps)
    return {key: _joined(found) for key, found in parts.items()}


def _joined(parts: Sequence[SeenSteps]) -> SeenSteps:
    """Steps of several layouts in time order."""
    if len(parts) == 1:
        return parts[0]
    at_us = np.concatenate([one.at_us for one in parts])
    order = np.argsort(at_us, kind="stable")
    return SeenSteps(at_us[order], np.concatenate([one.values for one in parts])[order])
