"""All SQL of ingest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError
from sqlalchemy import Connection, text

from services.ingest.series.catalog import (
    WorkloadCatalog,
    WorkloadColumns,
    WorkloadName,
    WorkloadRef,
)
from services.ingest.series.copy_encoding import SeriesKey
from services.ingest.series.known_series import SeriesColumns
from services.ingest.series.samples import Samples, TimeSpan, array_text, from_us, make_samples
from services.kernel.db import partitions
from services.kernel.db.clusters import shards_of
from services.kernel.db.schema import PARTITIONED
from services.kernel.db.steps.blocks import HEADER, TRAILER
from services.kernel.db.steps.changes import note_dropped
from services.kernel.db.steps.writing import TABLE as STEPS
from services.kernel.telemetry import get_logger

WORKLOAD = "w.id, w.namespace, w.name, w.shard, w.step_s, w.spec_version"
PARTITIONED_TABLES = tuple(PARTITIONED)
_NEAR = timedelta(hours=1)
OBSERVATION_COLUMNS = ("workload_id", "indicator", "observed_at", "value")

_STANDING = text(
    "SELECT string_agg(w.namespace || '/' || w.name, ',' ORDER BY w.id), ARRAY(SELECT e.workload_id"
    " FROM workload_errors e WHERE e.stage = :stage AND e.workload_id = ANY(CAST(:ids AS int[]))) "
    "FROM unnest("
    "CAST(:ids AS int[]), CAST(:versions AS int[]), CAST(:shards AS int[]), CAST(:steps AS int[])) "
    "AS s(id, version, shard, step_s) JOIN workloads w ON w.id = s.id AND w.is_active "
    "AND w.spec_version = s.version AND w.shard = s.shard AND w.step_s = s.step_s"
)


@dataclass(frozen=True, slots=True)
class SeriesRange:
    """Raw samples of one series in `[since_us, until_us)`."""

    workload_id: int
    indicator: str
    since_us: int
    until_us: int


def find_workloads(
    connection: Connection, names: Sequence[WorkloadName], catalog: WorkloadCatalog
) -> dict[WorkloadName, WorkloadRef]:
    """The active workloads among `names`; one whose spec cannot be read is left out."""
    statement = text(
        f"SELECT {WORKLOAD} FROM unnest(CAST(:namespaces AS text[]), CAST(:names AS text[])) "  # noqa: S608 - our columns
        "AS s(namespace, name) JOIN workloads w USING (namespace, name) WHERE w.is_active"
    )
    values = {
        "namespaces": [found.namespace for found in names],
        "names": [found.name for found in names],
    }
    rows = [WorkloadColumns(*row) for row in connection.execute(statement, values)]
    refs = to_refs(connection, rows, catalog, are_all_wanted=False).values()
    return {WorkloadName(ref.namespace, ref.name): ref for ref in refs}


def load_workloads(
    connection: Connection, ids: Sequence[int], catalog: WorkloadCatalog
) -> dict[int, WorkloadRef]:
    """Workloads by id, active or not."""
    statement = text(f"SELECT {WORKLOAD} FROM workloads w WHERE w.id = ANY(:ids)")  # noqa: S608 - our columns
    rows = [WorkloadColumns(*row) for row in connection.execute(statement, {"ids": list(ids)})]
    return to_refs(connection, rows, catalog)


def to_refs(
    connection: Connection,
    rows: Sequence[WorkloadColumns],
    catalog: WorkloadCatalog,
    *,
    are_all_wanted: bool = True,
) -> dict[int, WorkloadRef]:
    """Workloads by id; only the specs that the catalog does not know are read.

    Raises:
        ValidationError: A spec cannot be read, and `are_all_wanted`; else it is left out.
    """
    refs = {row.id: catalog.known(row) for row in rows}
    unknown = [workload_id for workload_id, ref in refs.items() if ref is None]
    specs: dict[int, object] = {}
    if unknown:
        statement = text("SELECT id, spec FROM workloads WHERE id = ANY(:ids)")
        specs = {row.id: row.spec for row in connection.execute(statement, {"ids": unknown})}
    found: dict[int, WorkloadRef] = {}
    for row in rows:
        try:
            found[row.id] = refs[row.id] or catalog.learn(row, specs[row.id])
        except ValidationError as error:
            if are_all_wanted:
                raise
            key, why = f"{row.namespace}/{row.name}", error.errors()[0]["msg"]
            get_logger("ingest").warning("spec_unreadable", workload=key, error=why)
    return found


@dataclass(frozen=True, slots=True)
class SeriesStanding:
    """How workloads stand in the database.

    Attributes:
        are_unchanged: They are active, and as they were when columns were made of them.
        failing: Those with an error of this stage.
    """

    are_unchanged: bool
    failing: frozenset[int]


def find_standing(connection: Connection, series: SeriesColumns, stage: str) -> SeriesStanding:
    """How the workloads of some series stand, of which there is one at least."""
    rows = series.rows
    _, first, place = np.unique(rows["workload_id"], return_index=True, return_inverse=True)
    values = {
        "ids": array_text(rows["workload_id"][first]),
        "versions": array_text(rows["spec_version"][first]),
        "shards": array_text(rows["shard"][first]),
        "steps": array_text(rows["step_s"][first]),
        "stage": stage,
    }
    workloads = [series.refs[number].workload for number in first.tolist()]
    # a database that was made anew has the same ids for others
    names = ",".join([f"{one.namespace}/{one.name}" for one in workloads])
    found, failing = connection.execute(_STANDING, values).one()
    # of a workload all series are of one version, or some are of an older one
    is_one = bool((rows["spec_version"] == rows["spec_version"][first][place]).all())
    return SeriesStanding(is_one and found == names, frozenset(failing))


def add_rejections(
    connection: Connection, counts: Mapping[int, Mapping[str, int]], now: datetime
) -> None:
    """Add to the counts of refused samples and failed queries, per workload and reason."""
    if not counts:
        return
    statement = text(
        "INSERT INTO ingest_cursors AS c (workload_id, n_rejected, updated_at) "
        "SELECT s.id, s.counts, :now FROM unnest(CAST(:ids AS int[]), CAST(:counts AS jsonb[])) "
        "AS s(id, counts) ORDER BY s.id ON CONFLICT (workload_id) DO UPDATE SET "
        "updated_at = EXCLUDED.updated_at, n_rejected = (SELECT jsonb_object_agg(key, total) FROM ("
        "SELECT key, sum(value::bigint) AS total FROM (SELECT * FROM jsonb_each_text(c.n_rejected) "
        "UNION ALL SELECT * FROM jsonb_each_text(EXCLUDED.n_rejected)) summed GROUP BY key) merged)"
    )
    ids = sorted(counts)
    found = [orjson.dumps(dict(counts[id_])).decode() for id_ in ids]
    connection.execute(statement, {"ids": ids, "counts": found, "now": now})


def move_cursors(connection: Connection, until: Mapping[int, datetime], now: datetime) -> None:
    """Set `resampled_until` of workloads whose cursors are locked."""
    statement = text(
        "UPDATE ingest_cursors c SET resampled_until = s.until, updated_at = :now FROM "
        "unnest(CAST(:ids AS int[]), CAST(:until AS timestamptz[])) AS s(id, until) "
        "WHERE c.workload_id = s.id"
    )
    values = {"ids": list(until), "until": list(until.values()), "now": now}
    connection.execute(statement, values)


def close_history(
    connection: Connection, newest_at: Mapping[int, datetime | None], until: datetime, now: datetime
) -> None:
    """Move the cursors forward to the end of a back-fill, never back."""
    statement = text(
        "INSERT INTO ingest_cursors AS c (workload_id, resampled_until, last_sample_at, updated_at)"
        " SELECT s.id, :until, s.newest_at, :now FROM unnest(CAST(:ids AS int[]), "
        "CAST(:newest AS timestamptz[])) AS s(id, newest_at) ORDER BY s.id "
        "ON CONFLICT (workload_id) DO UPDATE SET "
        "resampled_until = GREATEST(c.resampled_until, EXCLUDED.resampled_until), "
        "last_sample_at = GREATEST(c.last_sample_at, EXCLUDED.last_sample_at), "
        "updated_at = EXCLUDED.updated_at"
    )
    ids = sorted(newest_at)
    newest = [newest_at[workload_id] for workload_id in ids]
    connection.execute(statement, {"ids": ids, "newest": newest, "until": until, "now": now})


def copy_new_observations(connection: Connection, chunks: Iterable[bytes], span: TimeSpan) -> None:
    """Store raw samples of which none is there yet, straight into the table.

    Args:
        connection: An open transaction.
        chunks: Encoded rows of `OBSERVATION_COLUMNS`, no key twice.
        span: From the oldest to the newest sample.

    Raises:
        psycopg.errors.UniqueViolation: One of them is there.
    """
    _ensure_partitions(connection, "observations", span)
    _copy(connection, "observations", OBSERVATION_COLUMNS, chunks)


def write_observations(
    connection: Connection, chunks: Iterable[bytes], span: TimeSpan
) -> dict[SeriesKey, datetime]:
    """Store raw samples; a sample with a known time replaces the one before.

    Args:
        connection: An open transaction.
        chunks: Encoded rows of `OBSERVATION_COLUMNS`, no key twice.
        span: From the oldest to the newest sample.

    Returns:
        Per series the time of its first sample that is new or changed.
    """
    _stage(connection, "observations", OBSERVATION_COLUMNS, chunks, span)
    statement = text(
        "WITH changed AS (INSERT INTO observations AS o (workload_id, indicator, observed_at, value"
        ") SELECT workload_id, indicator, observed_at, value FROM pg_temp.ingest_observations "
        "ON CONFLICT (workload_id, indicator, observed_at) DO UPDATE SET value = EXCLUDED.value "
        "WHERE o.value IS DISTINCT FROM EXCLUDED.value "
        "RETURNING o.workload_id, o.indicator, o.observed_at) "
        "SELECT workload_id, indicator, min(observed_at) FROM changed GROUP BY 1, 2"
    )
    return {SeriesKey(row[0], row[1]): row[2] for row in connection.execute(statement)}


def load_samples(connection: Connection, ranges: Sequence[SeriesRange]) -> Samples:
    """Raw samples; the series of a sample is the position of its range."""
    if not ranges:
        return make_samples([], [], [])
    statement = text(
        "SELECT s.n - 1, (extract(epoch FROM o.observed_at) * 1000000)::bigint, o.value "
        "FROM unnest(CAST(:ids AS int[]), CAST(:names AS text[]), CAST(:since AS timestamptz[]), "
        "CAST(:until AS timestamptz[])) WITH ORDINALITY AS s(id, name, since, until, n) "
        "CROSS JOIN LATERAL (SELECT observed_at, value FROM observations o "
        "WHERE o.workload_id = s.id AND o.indicator = s.name "
        "AND o.observed_at >= s.since AND o.observed_at < s.until "
        # the same bounds as constants, so that partitions outside are not even planned
        "AND o.observed_at >= :first AND o.observed_at < :last OFFSET 0) o"
    )
    values = {
        "ids": [series.workload_id for series in ranges],
        "names": [series.indicator for series in ranges],
        "since": [from_us(series.since_us) for series in ranges],
        "until": [from_us(series.until_us) for series in ranges],
        "first": from_us(min(series.since_us for series in ranges)),
        "last": from_us(max(series.until_us for series in ranges)),
    }
    rows = connection.execute(statement, values).all()
    return make_samples(*zip(*rows, strict=True)) if rows else make_samples([], [], [])


def seen_before(connection: Connection, ranges: Sequence[SeriesRange]) -> frozenset[int]:
    """Positions of the ranges whose series has a value before they begin.

    That is a raw sample, for as long as these are kept, or a step of the last hour, as a history
    leaves that ends where the range begins. A series that never had a value costs no more for what
    else its workload has stored.
    """
    statement = text(
        "SELECT k.n - 1 FROM unnest(CAST(:ids AS int[]), CAST(:names AS text[]), "
        "CAST(:since AS timestamptz[])) WITH ORDINALITY AS k(id, name, since, n) "
        "WHERE EXISTS (SELECT FROM observations o WHERE o.workload_id = k.id "
        "  AND o.indicator = k.name AND o.observed_at < k.since AND o.observed_at < :last) "
        "OR EXISTS (SELECT FROM indicator_steps s JOIN indicator_layouts l ON l.id = s.layout_id "
        "  WHERE s.workload_id = k.id AND s.step_at < k.since AND s.step_at >= k.since - :near "
        "  AND s.step_at < :last AND s.step_at >= :first "
        "  AND get_byte(s.states, array_position(l.names, k.name) - 1) & 2 = 2)"
    )
    since = [from_us(one.since_us) for one in ranges]
    values = {
        "ids": [one.workload_id for one in ranges],
        "names": [one.indicator for one in ranges],
        "since": since,
        "near": _NEAR,
        # the same bounds as constants, so that partitions outside are not even planned
        "first": min(since) - _NEAR,
        "last": max(since),
    }
    return frozenset(connection.execute(statement, values).scalars())


def has_indicators(connection: Connection, ids: Sequence[int], span: TimeSpan) -> bool:
    """Check whether any step of these workloads within `span` is there."""
    statement = text(
        "SELECT EXISTS (SELECT 1 FROM indicators WHERE workload_id = ANY(:ids) "
        "AND step_at BETWEEN :first AND :last)"
    )
    values = {"ids": list(ids), "first": from_us(span.first_us), "last": from_us(span.last_us)}
    return bool(connection.execute(statement, values).scalar_one())


def count_workloads_at(connection: Connection, refs: Sequence[WorkloadRef], step_us: int) -> int:
    """Number of these workloads with rows of one step; only what paces one counts."""
    statement = text(
        "SELECT count(*) FROM unnest(CAST(:ids AS int[]), CAST(:names AS text[])) AS w(id, name) "
        "JOIN indicator_steps s ON s.workload_id = w.id AND s.step_at = :at "
        "JOIN indicator_layouts l ON l.id = s.layout_id AND w.name = ANY(l.names) "
        "WHERE get_byte(s.states, array_position(l.names, w.name) - 1) > 0"
    )
    values = {
        "ids": [ref.id for ref in refs],
        "names": [ref.first_measured for ref in refs],
        "at": from_us(step_us),
    }
    return int(connection.execute(statement, values).scalar_one())


def load_own_shards(connection: Connection, cluster: str) -> range:
    """Numbers of the shards of a cluster; none where there is no such cluster."""
    statement = text("SELECT id FROM clusters WHERE name = :name")
    id_ = connection.execute(statement, {"name": cluster}).scalar()
    return range(0) if id_ is None else shards_of(int(id_))


def drop_expired(connection: Connection, table: str, now: datetime, retain: timedelta) -> list[str]:
    """Drop the partitions of `table` whose time has passed; gives up if writers hold it long."""
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    dropped = partitions.drop_expired(connection, table, now, retain)
    if table == STEPS and dropped:
        note_dropped(connection)
    return dropped


def _stage(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    chunks: Iterable[bytes],
    span: TimeSpan,
) -> None:
    """Copy rows into a temporary table that lives as long as the pooled connection."""
    _ensure_partitions(connection, table, span)
    connection.execute(
        text(f"CREATE TEMP TABLE IF NOT EXISTS ingest_{table} (LIKE {table}) ON COMMIT DELETE ROWS")
    )
    connection.execute(text(f"DELETE FROM pg_temp.ingest_{table}"))  # noqa: S608 - our tables
    _copy(connection, f"ingest_{table}", columns, chunks)


def _ensure_partitions(connection: Connection, table: str, span: TimeSpan) -> None:
    first_at, last_at = from_us(span.first_us), from_us(span.last_us)
    partitions.ensure_partitions(connection, table, first_at, last_at)


def _copy(
    connection: Connection, table: str, columns: Sequence[str], chunks: Iterable[bytes]
) -> None:
    driver: Any = connection.connection.driver_connection
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER)
        for chunk in chunks:
            copy.write(chunk)
        copy.write(TRAILER)
