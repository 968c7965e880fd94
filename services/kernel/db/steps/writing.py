"""SQL that writes steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.steps.blocks import HEADER, TRAILER, StepBlock, encode_steps, from_us
from services.kernel.db.steps.layouts import find_layouts
from services.kernel.db.steps.moving import move_touched

TABLE = "indicator_steps"
_COLUMNS = 'workload_id, layout_id, step_at, "values", states'


_REPLACING = (
    "merge_indicator_steps(i.layout_id, i.values, i.states, "
    "EXCLUDED.layout_id, EXCLUDED.values, EXCLUDED.states) m"
)
_FILLING = (
    "merge_indicator_steps(EXCLUDED.layout_id, EXCLUDED.values, EXCLUDED.states, "
    "i.layout_id, i.values, i.states) m"
)


def write_steps(
    connection: Connection, blocks: Sequence[StepBlock], *, replaces: bool = True
) -> int:
    """Store steps; an observed value is replaced by another, never by a gap.

    Where a step is there already, what is stored of other indicators stays.

    Args:
        connection: An open transaction.
        blocks: No workload and step twice.
        replaces: False: a value that is stored as observed stays, whatever is given.

    Returns:
        Steps that are new or were changed.
    """
    blocks = [block for block in blocks if len(block.at_us)]
    if not blocks:
        return 0
    first_at, last_at = _span(blocks)
    ensure_partitions(connection, TABLE, first_at, last_at)
    ids = np.unique(np.concatenate([block.workload_ids for block in blocks]))
    move_touched(connection, ids.tolist(), first_at, last_at)
    layouts = find_layouts(connection, [block.names for block in blocks])
    staging = f"ingest_{TABLE}"
    connection.execute(
        text(f"CREATE TEMP TABLE IF NOT EXISTS {staging} (LIKE {TABLE}) ON COMMIT DELETE ROWS")
    )
    connection.execute(text(f"DELETE FROM pg_temp.{staging}"))  # noqa: S608 - our tables
    _copy(connection, staging, (encode_steps(one, layouts[one.names]) for one in blocks))
    merged = _REPLACING if replaces else _FILLING
    statement = text(
        f"INSERT INTO {TABLE} AS i ({_COLUMNS}) SELECT {_COLUMNS} FROM pg_temp.{staging} "  # noqa: S608 - our columns
        "ORDER BY workload_id, step_at ON CONFLICT (workload_id, step_at) DO UPDATE SET "
        f'(layout_id, "values", states) = (SELECT m.layout_id, m.values, m.states FROM {merged}) '
        "WHERE (i.layout_id, i.values, i.states) IS DISTINCT FROM (EXCLUDED.layout_id, "
        "EXCLUDED.values, EXCLUDED.states) AND (SELECT (m.layout_id, m.values, m.states) "
        f"IS DISTINCT FROM (i.layout_id, i.values, i.states) FROM {merged})"
    )
    return connection.execute(statement).rowcount


def copy_new_steps(connection: Connection, blocks: Iterable[StepBlock]) -> None:
    """Store steps of which none is there yet, straight into the table.

    Args:
        connection: An open transaction.
        blocks: No workload and step twice; best in the order of the key, so that its index grows
            at its end.
    """
    blocks = [block for block in blocks if len(block.at_us)]
    if not blocks:
        return
    ensure_partitions(connection, TABLE, *_span(blocks))
    layouts = find_layouts(connection, [block.names for block in blocks])
    _copy(connection, TABLE, (encode_steps(one, layouts[one.names]) for one in blocks))


def _span(blocks: Sequence[StepBlock]) -> tuple[datetime, datetime]:
    """Starts of the first and of the last step."""
    first_us = min(int(block.at_us.min()) for block in blocks)
    last_us = max(int(block.at_us.max()) for block in blocks)
    return from_us(first_us), from_us(last_us)


def _copy(connection: Connection, table: str, chunks: Iterable[bytes]) -> None:
    driver: Any = connection.connection.driver_connection
    statement = f"COPY {table} ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER)
        for chunk in chunks:
            copy.write(chunk)
        copy.write(TRAILER)
