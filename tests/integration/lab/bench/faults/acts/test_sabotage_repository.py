"""The faults in the database strike, are counted, and leave nothing behind."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from services.lab.bench.faults.acts import sabotage_repository as sabotage
from tests.integration.decision.stored_rows import NOW, add_demand, add_workload
from tests.integration.stored_indicators import store_indicators

pytestmark = pytest.mark.integration


def columns(engine: Engine, table: str) -> set[str]:
    with engine.connect() as connection:
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = :table"
        return set(connection.scalars(text(query), {"table": table}))


def test_a_full_disk_fails_writes_and_counts_them(database: Engine) -> None:
    workload = add_workload(database, "w")
    assert sabotage.count_full(database) == 0
    sabotage.fill_disk(database)
    for _ in range(2):
        with pytest.raises(DBAPIError) as caught, database.begin() as connection:
            store_indicators(connection, [(workload, "a", NOW, 1.0, True)])
        assert isinstance(caught.value.orig, psycopg.errors.DiskFull)
    assert sabotage.count_full(database) == 2
    sabotage.free_disk(database)
    add_demand(database, workload, [1.0, 2.0])
    assert sabotage.count_full(database) == 2


def test_a_failed_migration_leaves_the_tables_as_they_were(database: Engine) -> None:
    before = columns(database, "decisions"), columns(database, "actions")
    assert sabotage.fail_migration(database, 0.0)
    assert (columns(database, "decisions"), columns(database, "actions")) == before


@pytest.mark.parametrize("what", sorted(sabotage.GARBAGE))
def test_garbage_serves_until_it_is_retired(database: Engine, what: str) -> None:
    def promoted() -> list[str]:
        with database.connect() as connection:
            query = "SELECT version FROM models WHERE status = 'promoted'"
            return list(connection.scalars(text(query)))

    for _ in range(2):  # it may come twice in a run
        with database.begin() as connection:
            sabotage.promote_garbage(connection, what, NOW)
        assert promoted() == [sabotage.garbage_version(what)]
        with database.begin() as connection:
            sabotage.retire_garbage(connection, what, NOW)
            assert sabotage.count_garbage_answers(connection, what, NOW) == 0
        assert promoted() == []
