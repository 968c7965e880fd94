"""The migrations build what the schema says, and bulk writes keep the keys."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import ProgrammingError

from services.kernel.db.migrations import current_revision, head_revision, migrate
from services.kernel.db.partitions import (
    drop_expired,
    ensure_partitions,
    list_partitions,
    partition_bounds,
)
from services.kernel.db.schema import PARTITIONED, indicators, metadata
from services.kernel.db.session import CopyTarget, UnitOfWork, copy_rows, next_ids, unit_of_work
from services.kernel.jobs import Job, RecordingSender

AT = datetime(2026, 1, 5, tzinfo=UTC)
COLUMNS = ("workload_id", "indicator", "step_at", "value", "is_observed")
KEY = ("workload_id", "indicator", "step_at")

pytestmark = pytest.mark.integration


def write_then_fail(
    database: Engine,
    write: Callable[[UnitOfWork], object],
    sender: RecordingSender | None = None,
) -> None:
    with unit_of_work(database, sender) as work:
        write(work)
        raise RuntimeError("stop")


def test_migrations_equal_the_schema(database: Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        kinds = connection.execute(
            text("SELECT relname FROM pg_class WHERE relkind = 'p' ORDER BY relname")
        )
        assert {row[0] for row in kinds} == set(PARTITIONED)


def test_migrating_twice_changes_nothing(database: Engine) -> None:
    assert migrate(database) == head_revision() == current_revision(database)


def test_copy_makes_partitions_and_keeps_or_overwrites(database: Engine) -> None:
    rows = [(1, "load_rps", AT + timedelta(days=9 * n), float(n), True) for n in range(3)]
    keep = CopyTarget(indicators, COLUMNS)
    overwrite = CopyTarget(indicators, COLUMNS, on_conflict="update", key=KEY)
    with unit_of_work(database) as work:
        assert copy_rows(work.connection, keep, rows) == 3
    changed = [(*row[:3], 99.0, True) for row in rows]
    with unit_of_work(database) as work:
        assert copy_rows(work.connection, keep, changed) == 0
        values = work.connection.execute(select(indicators.c.value)).scalars().all()
        assert sorted(values) == [0.0, 1.0, 2.0]
        copy_rows(work.connection, overwrite, changed)
        assert set(work.connection.execute(select(indicators.c.value)).scalars()) == {99.0}
        assert len(list_partitions(work.connection, "indicators")) == 4


def test_rolled_back_partition_is_made_again(database: Engine) -> None:
    row = [(1, "load_rps", AT, 1.0, True)]
    target = CopyTarget(indicators, COLUMNS)
    with pytest.raises(RuntimeError, match="stop"):
        write_then_fail(database, lambda work: copy_rows(work.connection, target, row))
    with unit_of_work(database) as work:
        assert copy_rows(work.connection, target, row) == 1


def test_retention_drops_only_what_has_wholly_expired(database: Engine) -> None:
    with unit_of_work(database) as work:
        ensure_partitions(work.connection, "indicators", AT, AT + timedelta(days=21))
        names = list_partitions(work.connection, "indicators")
        _, end = partition_bounds("indicators", AT)
        dropped = drop_expired(
            work.connection, "indicators", end + timedelta(days=2), timedelta(days=2)
        )
        assert dropped == names[:1]
        assert list_partitions(work.connection, "indicators") == names[1:]


def test_jobs_leave_after_commit_only(database: Engine) -> None:
    sender = RecordingSender()
    with unit_of_work(database, sender) as work:
        work.send_after_commit(Job("forecast.forecast_shard", {"shard": 0}))
        assert sender.sent == []
    assert [job.queue for job in sender.sent] == ["forecast"]
    job = Job("forecast.forecast_shard", {"shard": 1})
    with pytest.raises(RuntimeError, match="stop"):
        write_then_fail(database, lambda work: work.send_after_commit(job), sender)
    assert len(sender.sent) == 1


def test_ids_are_fresh(database: Engine) -> None:
    with unit_of_work(database) as work:
        first = next_ids(work.connection, "forecasts_id_seq", 3)
        second = next_ids(work.connection, "forecasts_id_seq", 2)
    assert len(set(first + second)) == 5


def test_many_writers_may_make_a_partition_at_once(database: Engine) -> None:
    def write(number: int) -> int:
        with unit_of_work(database) as work:
            row = (number, "load_rps", AT, 1.0, True)
            return copy_rows(work.connection, CopyTarget(indicators, COLUMNS), [row])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(16))) == [1] * 16


@pytest.mark.parametrize(
    "change", ["UPDATE audit SET actor = 'you'", "DELETE FROM audit", "TRUNCATE audit"]
)
def test_the_audit_log_only_grows(database: Engine, change: str) -> None:
    add = "INSERT INTO audit (at, actor, action, object, hash) VALUES (:at, 'me', 'x', 'y', :hash)"
    with database.begin() as connection:
        connection.execute(text(add), {"at": AT, "hash": b"h"})
    with (
        pytest.raises(ProgrammingError, match="the audit log is append-only"),
        database.begin() as connection,
    ):
        connection.execute(text(change))
    with database.connect() as connection:
        assert connection.execute(text("SELECT actor FROM audit")).scalars().all() == ["me"]


def test_lists_in_time_order_have_an_index_in_old_and_new_partitions(database: Engine) -> None:
    with unit_of_work(database) as work:
        ensure_partitions(work.connection, "decisions", AT, AT)
        ensure_partitions(work.connection, "actions", AT, AT)
        ensure_partitions(work.connection, "outcomes", AT, AT)
        found = work.connection.execute(
            text("SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = current_schema()")
        )
        by_table = [(r.tablename.partition("_p2")[0], r.indexdef) for r in found]
    for table, columns in (
        ("decisions", "(origin_at, id)"),
        ("actions", "(origin_at, id)"),
        ("outcomes", "(step_at, workload_id)"),
    ):
        n_with = sum(name == table and text_.endswith(columns) for name, text_ in by_table)
        assert n_with == 2, table


def test_migrations_go_back_and_forth(database: Engine) -> None:
    from alembic import command

    from services.kernel.db import migrations

    config = migrations._config()
    with database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.commit()
    assert current_revision(database) == "0001"
    with database.begin() as connection:
        assert connection.execute(text("SELECT to_regclass('drift_states')")).scalar() is None
        connection.execute(text("DELETE FROM audit"))
    assert migrate(database) == head_revision()
