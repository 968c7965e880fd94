"""SQL of a shard's workloads and their cursors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

from services.ingest.series.catalog import WorkloadCatalog, WorkloadColumns
from services.ingest.series.due import SILENT, CursorRow, DueRules
from services.ingest.series.repository import WORKLOAD, to_refs
from services.kernel.db.workload_errors import HISTORY, LATE, PULL, SOURCE


@dataclass(frozen=True, slots=True)
class ShardRow:
    """An active workload of a shard and its cursor; its spec is not read yet."""

    columns: WorkloadColumns
    resampled_until: datetime | None
    last_sample_at: datetime | None
    counts_asked: str | None
    is_history_missing: bool = False
    is_slow: bool = False
    is_faulty: bool = False
    is_late: bool = False


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
            row.is_faulty,
            row.is_late,
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
        "EXISTS (SELECT FROM workload_errors e WHERE e.workload_id = w.id AND e.stage = :pull), "
        "EXISTS (SELECT FROM workload_errors e WHERE e.workload_id = w.id AND e.stage = :source), "
        "EXISTS (SELECT FROM workload_errors e WHERE e.workload_id = w.id AND e.stage = :late) "
        "FROM workloads w "
        "LEFT JOIN ingest_cursors c ON c.workload_id = w.id "
        "WHERE w.shard = :shard AND w.is_active ORDER BY w.id"
    )
    stages = {"history": HISTORY, "pull": PULL, "source": SOURCE, "late": LATE}
    values = {"shard": shard, **stages}
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


def store_counts_asked(connection: Connection, asked: Mapping[int, str], now: datetime) -> None:
    """Note by which queries the past was asked for, by workload id, in the order of these."""
    statement = text(
        "INSERT INTO ingest_cursors AS c (workload_id, counts_asked, updated_at) "
        "SELECT s.id, s.asked, :now FROM unnest(CAST(:ids AS int[]), CAST(:asked AS text[])) "
        "AS s(id, asked) ORDER BY s.id ON CONFLICT (workload_id) DO UPDATE SET "
        "counts_asked = EXCLUDED.counts_asked, updated_at = EXCLUDED.updated_at"
    )
    ids = sorted(asked)
    connection.execute(statement, {"ids": ids, "asked": [asked[id_] for id_ in ids], "now": now})


def load_newest(engine: Engine, ids: Sequence[int]) -> dict[int, datetime | None]:
    """Time of the newest sample of these workloads, by id."""
    if not ids:
        return {}
    statement = text(
        "SELECT workload_id, last_sample_at FROM ingest_cursors WHERE workload_id = ANY(:ids)"
    )
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(statement, {"ids": list(ids)})}


@dataclass(frozen=True, slots=True)
class ShardBacklog:
    """Work that is due in a shard."""

    shard: int
    is_resample_due: bool
    is_pull_due: bool


_HAS_QUERY = "jsonb_path_exists(w.spec, '$.{}[*].query ? (@ != \"\")')"
_FLOOR = "to_timestamp(floor(extract(epoch FROM {}) / w.step_s) * w.step_s)"
_BACKLOG = (
    "WITH workload AS (SELECT w.shard, c.resampled_until, c.last_sample_at, w.step_s, p.has_query, "  # noqa: S608 - our fragments
    "position(:silent in coalesce(c.counts_asked, '')) > 0 AS is_silent, "
    f"g.read_at, {_FLOOR.format('g.now')} AS complete_at, "
    f"{_FLOOR.format('g.now - make_interval(secs => :grace)')} AS grace_at, "
    f"{_FLOOR.format('g.read_at')} AS readable_at, "
    f"{_FLOOR.format('c.last_sample_at')} + make_interval(secs => w.step_s) AS covered_at "
    f"FROM workloads w CROSS JOIN LATERAL (SELECT {_HAS_QUERY.format('indicators')} AS is_pulled, "
    f"{_HAS_QUERY.format('indicators')} OR {_HAS_QUERY.format('sla.objective.series')} "
    "AS has_query) p CROSS JOIN LATERAL (SELECT r.read_at, "
    "CASE WHEN p.is_pulled THEN r.read_at ELSE :now END AS now FROM (SELECT "
    "CAST(:now AS timestamptz) - make_interval(secs => :late) AS read_at) r) g "
    "LEFT JOIN ingest_cursors c ON c.workload_id = w.id WHERE w.is_active) "
    "SELECT shard, bool_or(resampled_until IS NULL OR resampled_until < "
    "LEAST(complete_at, GREATEST(grace_at, covered_at))), "
    "bool_or(has_query AND (read_at < readable_at + :settle OR (NOT is_silent AND (last_sample_at "
    "IS NULL OR last_sample_at < readable_at - make_interval(secs => step_s))))) "
    "FROM workload GROUP BY shard ORDER BY shard"
)


def find_backlog(
    connection: Connection, now: datetime, rules: DueRules, settle: timedelta
) -> list[ShardBacklog]:
    """Shards with complete steps that are not resampled, or with nothing pulled for them.

    A silent workload has its shard pulled for each step and not all the time between.

    Args:
        connection: An open transaction.
        now: Now.
        rules: When a step is due.
        settle: How long after a step can be pulled its shard is in any case: samples that were
            pushed do not show that there is nothing to pull.
    """
    values = {
        "now": now,
        "grace": rules.grace_s,
        "late": rules.source_late_s,
        "settle": settle,
        "silent": f'"{SILENT}"',
    }
    rows = connection.execute(text(_BACKLOG), values)
    return [ShardBacklog(row[0], bool(row[1]), bool(row[2])) for row in rows]
