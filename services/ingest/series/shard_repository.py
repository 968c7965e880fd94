"""SQL of a shard's workloads and their cursors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from services.ingest.series.catalog import WorkloadCatalog, WorkloadColumns
from services.ingest.series.due import CursorRow
from services.ingest.series.repository import WORKLOAD, to_refs
from services.kernel.db.workload_errors import HISTORY, PULL


@dataclass(frozen=True, slots=True)
class ShardRow:
    """An active workload of a shard and its cursor; its spec is not read yet."""

    columns: WorkloadColumns
    resampled_until: datetime | None
    last_sample_at: datetime | None
    counts_asked: str | None
    is_history_missing: bool = False
    is_slow: bool = False


def to_cursors(
    connection: Connection, rows: Sequence[ShardRow], catalog: WorkloadCatalog
) -> list[CursorRow]:
    """Rows with what their specs say.

    Raises:
        ValidationError: A spec cannot be read.
    """
    refs = to_refs(connection, [row.columns for row in rows], catalog)
    return [
        CursorRow(
            refs[row.columns.id],
            row.resampled_until,
            row.last_sample_at,
            row.counts_asked,
            row.is_history_missing,
            row.is_slow,
        )
        for row in rows
    ]


def _to_shard_rows(rows: Iterable[Any]) -> list[ShardRow]:
    return [ShardRow(WorkloadColumns(*row[:6]), *row[6:]) for row in rows]


def load_shard(connection: Connection, shard: int) -> list[ShardRow]:
    """The active workloads of a shard with their cursors, and what a pull noted of them."""
    statement = text(
        f"SELECT {WORKLOAD}, c.resampled_until, c.last_sample_at, c.counts_asked, "  # noqa: S608 - our columns
        "EXISTS (SELECT FROM workload_errors e WHERE e.workload_id = w.id AND e.stage = :history), "
        "EXISTS (SELECT FROM workload_errors e WHERE e.workload_id = w.id AND e.stage = :pull) "
        "FROM workloads w "
        "LEFT JOIN ingest_cursors c ON c.workload_id = w.id "
        "WHERE w.shard = :shard AND w.is_active ORDER BY w.id"
    )
    values = {"shard": shard, "history": HISTORY, "pull": PULL}
    return _to_shard_rows(connection.execute(statement, values))


def lock_shard(connection: Connection, shard: int, now: datetime) -> list[ShardRow]:
    """As `load_shard`, the cursors made where missing and locked until the transaction ends.

    A push that arrives meanwhile waits with its cursor, and so finds the step already closed and
    opens it again: no sample is stored without its step being resampled after it. All who lock
    cursors do so in the order of their ids; so where one is missing, the others are locked by the
    statement that makes it.
    """
    connection.execute(
        text(
            "INSERT INTO ingest_cursors AS c (workload_id, updated_at) "
            "SELECT w.id, :now FROM workloads w WHERE w.shard = :shard AND w.is_active "
            "AND EXISTS (SELECT FROM workloads m WHERE m.shard = :shard AND m.is_active "
            "  AND NOT EXISTS (SELECT FROM ingest_cursors k WHERE k.workload_id = m.id)) "
            "ORDER BY w.id ON CONFLICT (workload_id) DO UPDATE SET updated_at = c.updated_at"
        ),
        {"shard": shard, "now": now},
    )
    statement = text(
        f"SELECT {WORKLOAD}, c.resampled_until, c.last_sample_at, c.counts_asked "  # noqa: S608 - our columns
        "FROM workloads w "
        "JOIN ingest_cursors c ON c.workload_id = w.id "
        "WHERE w.shard = :shard AND w.is_active ORDER BY w.id FOR UPDATE OF c"
    )
    return _to_shard_rows(connection.execute(statement, {"shard": shard}))


def store_counts_asked(connection: Connection, asked: Mapping[int, str | None]) -> None:
    """Note of which counts of their objectives the past was asked for, by workload id."""
    locking = text(
        "SELECT FROM ingest_cursors WHERE workload_id = ANY(:ids) ORDER BY workload_id FOR UPDATE"
    )
    statement = text(
        "UPDATE ingest_cursors c SET counts_asked = s.counts FROM "
        "unnest(CAST(:ids AS int[]), CAST(:counts AS text[])) AS s(id, counts) "
        "WHERE c.workload_id = s.id"
    )
    ids = sorted(asked)
    connection.execute(locking, {"ids": ids})
    connection.execute(statement, {"ids": ids, "counts": [asked[id_] for id_ in ids]})
