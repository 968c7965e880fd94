"""SQL of the measurement: a step's samples and snapshots, and sizes."""

from __future__ import annotations

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
    for table in ("observations", "replica_states"):
        ensure_partitions(connection, table, now - step, now)
    given = {"now": now, "at": now - step / 2}
    connection.execute(
        text(
            "INSERT INTO observations (workload_id, indicator, observed_at, value) "
            "SELECT w.id, i ->> 'name', :at, 900 * (6 + w.id % 5) FROM workloads w, "
            "jsonb_array_elements(w.spec -> 'indicators') i"
        ),
        {"at": given["at"]},
    )
    connection.execute(text("UPDATE ingest_cursors SET last_sample_at = :at"), {"at": given["at"]})
    connection.execute(
        text(
            "INSERT INTO replica_states (workload_id, observed_at, spec_replicas, ready_replicas, "
            "starting_replicas, pending_replicas, start_ages_s, schedulable_gpus) "
            "SELECT w.id, :now, n, n, 0, 0, '{}', 12 FROM workloads w CROSS JOIN LATERAL ("
            "SELECT desired_replicas AS n FROM decisions WHERE workload_id = w.id "
            "ORDER BY origin_at DESC, id DESC LIMIT 1) d"
        ),
        {"now": given["now"]},
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


def load_processes(connection: Connection) -> list[int]:
    """Process ids of the server."""
    return [int(row[0]) for row in connection.execute(text("SELECT pid FROM pg_stat_activity"))]
