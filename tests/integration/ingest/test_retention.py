"""Retention: partitions go whole, other rows in batches; what serves or is open stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, Table, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from services.ingest import retention, tasks
from services.ingest.deps import IngestDeps
from services.ingest.series import repository
from services.kernel.clock import FixedClock, SystemClock
from services.kernel.db import schema, schema_access, schema_control
from services.kernel.db.partitions import ensure_partitions, list_partitions, partition_bounds
from services.kernel.settings import Settings
from tests.integration.ingest.pushes import RATE, T0

pytestmark = pytest.mark.integration
OLD, YOUNG = T0, T0 + timedelta(days=110)
NOW = T0 + timedelta(days=130)

Insert = Callable[..., None]
MODEL: dict[str, Any] = {"kind": "flow", "config": {}, "metrics": {}, "artifact": b"weights"}
OPERATION: dict[str, Any] = {"kind": "backtest", "params": {"workloads": ["shop/w0"]}}
FIT: dict[str, Any] = {"kind": "misses", "n_observations": 9, "diagnostics": {}, "draws": b"x"}


@pytest.fixture
def copied_database(template_database: str) -> str:
    """A database without any partition: all that there are fall under what is tested here."""
    return template_database


@pytest.fixture
def insert(database: Engine) -> Insert:
    def add(table: Table, *rows: dict[str, Any], **common: Any) -> None:
        with database.begin() as connection:
            for row in rows:
                connection.execute(table.insert().values(**common, **row))

    return add


def stored(database: Engine, table: Table, column: str) -> set[Any]:
    with database.connect() as connection:
        return set(connection.scalars(select(table.c[column])))


def test_each_partitioned_table_loses_what_is_older_than_its_own_time(
    deps: IngestDeps, clock: FixedClock
) -> None:
    with deps.engine.begin() as connection:
        for table in ("observations", "indicator_steps"):
            ensure_partitions(connection, table, T0, T0)
        statement = text(f"INSERT INTO observations VALUES (1, '{RATE}', :at, 1)")
        connection.execute(statement, {"at": T0})
    clock.advance(4 * 86400)
    dropped = retention.drop_expired(deps, clock.now())
    assert set(schema.PARTITIONED) <= set(dropped)
    assert {table for table, n in dropped.items() if n} == {"observations"}
    clock.advance(200 * 86400)
    assert retention.drop_expired(deps, clock.now())["indicator_steps"] == 1
    with deps.engine.connect() as connection:
        assert list_partitions(connection, "indicator_steps") == []


def test_what_replays_need_goes_together_and_before_the_decisions(
    deps: IngestDeps, clock: FixedClock
) -> None:
    tables = ("forecasts", "decision_inputs", "decisions")
    origins = [T0 + timedelta(days=day) for day in range(0, 40, 5)]
    with deps.engine.begin() as connection:
        for table in tables:
            ensure_partitions(connection, table, origins[0], origins[-1])
    clock.advance(30 * 86400)
    retention.drop_expired(deps, clock.now())
    with deps.engine.connect() as connection:
        left = [
            [name.rsplit("_p", 1)[1] for name in list_partitions(connection, table)]
            for table in tables
        ]
    assert left[0] == left[1]
    assert 0 < len(left[0]) < len(left[2])


def test_a_clock_that_is_ahead_drops_nothing(deps: IngestDeps) -> None:
    deps.clock = SystemClock()
    now = deps.clock.now()
    with deps.engine.begin() as connection:
        for table in schema.PARTITIONED:
            ensure_partitions(connection, table, now, now)
    dropped = retention.drop_expired(deps, now + timedelta(days=400))
    assert not any(dropped.values())


def test_every_partitioned_table_has_a_retention(settings: Settings) -> None:
    kept = retention.retention(settings)
    assert set(kept) == set(schema.PARTITIONED)
    assert kept["observations"] == timedelta(days=settings.retain_observations_days)
    for replayed in ("forecasts", "decision_inputs"):
        assert kept[replayed] == timedelta(days=settings.retain_forecasts_days)
    assert kept["actions"] == kept["outcomes"] == timedelta(days=settings.retain_decisions_days)


def decision(id_: int, at: datetime) -> dict[str, Any]:
    return {
        **{"id": id_, "origin_at": at, "workload_id": 1, "forecast_id": id_},
        **{"policy_version": "p", "decided_at": at, "valid_until": at, "current_replicas": 1},
        **{"raw_replicas": 2, "desired_replicas": 2, "direction": "up", "reason": "r"},
        **{"rung": "model", "risk_target": 0.1, "cost_delta_usd_per_h": 0.0, "explanation": {}},
    }


def test_a_verdict_stays_as_long_as_its_decision(
    deps: IngestDeps, database: Engine, insert: Insert
) -> None:
    edge, _ = partition_bounds("decisions", NOW - timedelta(days=120))  # over, its partition is not
    with database.begin() as connection:
        ensure_partitions(connection, "decisions", OLD, NOW)
    for id_, at in ((1, OLD), (2, edge), (3, YOUNG)):
        insert(schema.decisions, decision(id_, at))
        row = {"decision_id": id_, "origin_at": at, "workload_id": 1, "verdict": "approved"}
        insert(schema_control.approvals, row | {"actor": "key:ops", "decided_at": at})
    retention.drop_expired(deps, NOW)
    assert stored(database, schema.decisions, "id") == {2, 3}
    assert stored(database, schema_control.approvals, "decision_id") == {2, 3}


def test_rows_go_in_batches_and_the_audit_log_never(
    deps: IngestDeps, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    monkeypatch.setattr("services.kernel.db.retention.BATCH", 3)
    monkeypatch.setattr(retention, "MAX_BATCHES", 2)
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO operations (kind, params, status, created_by, created_at, finished_at)"
                " SELECT 'backtest', '{}', 'failed', 'key:ops', :at, :at FROM generate_series(1, 7)"
            ),
            {"at": OLD},
        )
        connection.execute(
            text(
                "INSERT INTO audit (at, actor, action, object, hash) "
                "VALUES (:at, 'a', 'b', 'c', 'hash')"
            ),
            {"at": OLD},
        )
    assert retention.drop_expired(deps, NOW)["operations"] == 6
    assert retention.drop_expired(deps, NOW)["operations"] == 1
    assert len(stored(database, schema_access.audit, "id")) == 1


def test_a_table_that_cannot_be_dropped_from_keeps_no_other_from_it(
    deps: IngestDeps, database: Engine, insert: Insert, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drop(*_: Any) -> list[str]:
        raise OperationalError("DROP TABLE", {}, Exception("lock timeout"))

    done = {"status": "failed", "created_by": "key:ops", "created_at": OLD, "finished_at": OLD}
    insert(schema_control.operations, OPERATION | done)
    monkeypatch.setattr(repository, "drop_expired", drop)
    with pytest.raises(SQLAlchemyError, match="lock timeout"):
        retention.drop_expired(deps, NOW)
    assert stored(database, schema_control.operations, "id") == set()


def test_the_periodic_job_deletes_rows_too(
    deps: IngestDeps, database: Engine, insert: Insert, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = {"status": "failed", "created_by": "key:ops", "created_at": OLD, "finished_at": OLD}
    insert(schema_control.operations, OPERATION | done)
    assert isinstance(deps.clock, FixedClock)
    deps.clock.advance(130 * 86400)
    monkeypatch.setattr(tasks, "worker_deps", lambda: deps)
    tasks.drop_expired()
    assert stored(database, schema_control.operations, "id") == set()
