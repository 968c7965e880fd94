"""SQL of the measurement: a step's samples and snapshots, and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, text

from services.kernel.db.partitions import ensure_partitions


class Written(NamedTuple):
    """Bytes of the database, and of the log that it has written."""

    database: int
    log: int


def begin(connection: Connection, end_at: datetime, gpus: int) -> None:
    """Make what the history lacks: cursors, sequences beyond its ids, a budget, fits of late."""
    given = {"at": end_at, "gpus": gpus}
    for statement in (
        "INSERT INTO ingest_cursors (workload_id, resampled_until, last_sample_at, updated_at) "
        "SELECT id, :at, :at, :at FROM workloads",
        "SELECT setval('forecasts_id_seq', max(id)) FROM forecasts",
        "SELECT setval('decisions_id_seq', max(id)) FROM decisions",
        "SELECT setval('actions_id_seq', max(id)) FROM actions",
        "INSERT INTO gpu_budgets (gpu_type, gpus, source, observed_at) "
        "VALUES ('H100', :gpus, 'GPUBudget/bench', :at)",
        # the last dozen steps of a history are not scored yet
        "DELETE FROM forecast_scores WHERE origin_at > CAST(:at AS timestamptz) "
        "- make_interval(secs => 13 * (SELECT min(step_s) FROM workloads))",
        "INSERT INTO trust_verdicts (workload_id, is_trusted, reason, scores, n_looks, state, "
        "decided_at) SELECT id, true, '', '{}', 1, '{}', :at FROM workloads",
    ):
        text_ = text(statement)
        names = text_.compile().params
        connection.execute(text_, {k: v for k, v in given.items() if k in names})


def observe(connection: Connection, now: datetime, step: timedelta) -> None:
    """Store a sample of each indicator in the step that has just ended, and replicas as seen."""
    ensure_partitions(connection, "observations", now - step, now)
    given = {"at": now - step / 2}
    connection.execute(
        text(
            "INSERT INTO observations (workload_id, indicator, observed_at, value) "
            "SELECT w.id, i ->> 'name', :at, 900 * (6 + w.id % 5) FROM workloads w, "
            "jsonb_array_elements(w.spec -> 'indicators') i"
        ),
        {"at": given["at"]},
    )
    connection.execute(text("UPDATE ingest_cursors SET last_sample_at = :at"), {"at": given["at"]})
    see_replicas(connection, now, step)


def see_replicas(connection: Connection, now: datetime, step: timedelta) -> None:
    """Store replicas as decided, and budgets, as the operator does that sees them."""
    ensure_partitions(connection, "replica_states", now - step, now)
    connection.execute(
        text(
            "INSERT INTO replica_states (workload_id, observed_at, spec_replicas, ready_replicas, "
            "starting_replicas, pending_replicas, start_ages_s, schedulable_gpus) "
            "SELECT w.id, :now, n, n, 0, 0, '{}', 12 FROM workloads w CROSS JOIN LATERAL ("
            "SELECT desired_replicas AS n FROM decisions WHERE workload_id = w.id "
            "ORDER BY origin_at DESC, id DESC LIMIT 1) d"
        ),
        {"now": now},
    )
    connection.execute(text("UPDATE gpu_budgets SET observed_at = :now"), {"now": now})


def written(connection: Connection) -> Written:
    """How much is stored, and how much log was written so far."""
    statement = text(
        "SELECT pg_database_size(current_database()), "
        "pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
    )
    row = connection.execute(statement).one()
    return Written(int(row[0]), int(row[1]))


class TableSize(NamedTuple):
    """A table with its partitions and indexes.

    Attributes:
        rows: As Postgres last counted or guessed them.
        bytes: Of the rows, what is stored beside them, and indexes.
        written: Rows added, changed or deleted since the server's counters began.
    """

    rows: int
    bytes: int
    written: int


def table_sizes(connection: Connection) -> dict[str, TableSize]:
    """Size of each table that has rows, by the name of the whole."""
    statement = text(
        "SELECT COALESCE(pg_partition_root(c.oid), c.oid)::regclass::text AS name, "
        "sum(greatest(c.reltuples, 0))::bigint, sum(pg_total_relation_size(c.oid))::bigint, "
        "sum(COALESCE(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0))::bigint "
        "FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid "
        "WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace "
        "GROUP BY 1 ORDER BY 3 DESC"
    )
    rows = connection.execute(statement).all()
    return {str(name): TableSize(int(n), int(size), int(w)) for name, n, size, w in rows if n or w}


def load_processes(connection: Connection, application: str) -> list[int]:
    """Process ids of the server's connections from programs of a name."""
    statement = text("SELECT pid FROM pg_stat_activity WHERE application_name = :name")
    return [int(row[0]) for row in connection.execute(statement, {"name": application})]


class SampleSender(NamedTuple):
    """A workload as its exporter names it.

    Attributes:
        counters: Cumulative counts of its requests, where it has an objective.
    """

    shard: int
    id: int
    namespace: str
    name: str
    indicators: list[str]
    counters: Sequence[str] = ()


def load_senders(connection: Connection) -> list[SampleSender]:
    """Every workload, its indicators, and the counters of its objective."""
    statement = text(
        "SELECT shard, id, namespace, name, "
        "jsonb_path_query_array(spec, '$.indicators[*].name'), "
        "jsonb_path_query_array(spec, '$.sla.objective.series[*].name') "
        "FROM workloads ORDER BY id"
    )
    return [SampleSender(*row) for row in connection.execute(statement)]


class DecidedRow(NamedTuple):
    """When a workload was decided on, at which origin.

    Attributes:
        sla_class: Name of its class.
        decided_at: When the run began that decided, by the replay's clock.
    """

    workload_id: int
    shard: int
    sla_class: str
    origin_at: datetime
    decided_at: datetime


def load_decided(connection: Connection, since: datetime) -> list[DecidedRow]:
    """Decisions of origins since a time."""
    statement = text(
        "SELECT w.id, w.shard, lower(w.spec #>> '{sla,sla_class}'), d.origin_at, d.decided_at "
        "FROM decisions d JOIN workloads w ON w.id = d.workload_id WHERE d.origin_at >= :since"
    )
    return [DecidedRow(*row) for row in connection.execute(statement, {"since": since})]


def count_superseded(connection: Connection, since: datetime) -> dict[str, dict[str, int]]:
    """Origins of shards that were passed over since a time, by stage and by who waited."""
    statement = text(
        "SELECT stage, is_urgent, count(*) FROM superseded_origins WHERE origin_at >= :since "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )
    found: dict[str, dict[str, int]] = {}
    for stage, is_urgent, n in connection.execute(statement, {"since": since}):
        found.setdefault(str(stage), {})["gold" if is_urgent else "rest"] = int(n)
    return found


def count_twice(connection: Connection, since: datetime) -> int:
    """Workloads and origins since a time that have more than one forecast, or decision."""
    total = 0
    for table in ("forecasts", "decisions"):
        statement = text(
            f"SELECT count(*) FROM (SELECT FROM {table} WHERE origin_at >= :since "  # noqa: S608 - our tables
            "GROUP BY workload_id, origin_at HAVING count(*) > 1) t"
        )
        total += int(connection.execute(statement, {"since": since}).scalar_one())
    return total
