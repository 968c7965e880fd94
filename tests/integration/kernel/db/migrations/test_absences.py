"""When a workload left and when it came back is noted, whoever writes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.migrations import migrate

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def add(engine: Engine, name: str, *, is_active: bool = True) -> int:
    with engine.begin() as connection:
        return connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at, is_active) VALUES ('shop', :name, 0, 60, '{}', :at, :at, :is_active) "
                "RETURNING id"
            ),
            {"name": name, "at": AT, "is_active": is_active},
        ).scalar_one()


def turn(engine: Engine, *, is_active: bool, at: datetime) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET is_active = :is_active, updated_at = :at"),
            {"is_active": is_active, "at": at},
        )


def absences(engine: Engine) -> list[tuple[int, datetime, datetime | None]]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT workload_id, left_at, back_at FROM workload_absences ORDER BY 1, 2")
        )
        return [(row[0], row[1], row[2]) for row in rows]


def test_each_absence_has_its_beginning_and_its_end(database: Engine) -> None:
    workload = add(database, "chat")
    turn(database, is_active=True, at=AT + HOUR)  # it was there
    assert absences(database) == []
    turn(database, is_active=False, at=AT + 2 * HOUR)
    turn(database, is_active=False, at=AT + 3 * HOUR)  # it was gone
    assert absences(database) == [(workload, AT + 2 * HOUR, None)]
    turn(database, is_active=True, at=AT + 4 * HOUR)
    first = (workload, AT + 2 * HOUR, AT + 4 * HOUR)
    assert absences(database) == [first]
    turn(database, is_active=False, at=AT + 5 * HOUR)
    assert absences(database) == [first, (workload, AT + 5 * HOUR, None)]


def test_a_clock_that_went_back_ends_an_absence_where_it_began(database: Engine) -> None:
    workload = add(database, "chat")
    turn(database, is_active=False, at=AT + 2 * HOUR)
    turn(database, is_active=True, at=AT + HOUR)
    assert absences(database) == [(workload, AT + 2 * HOUR, AT + 2 * HOUR)]
    turn(database, is_active=False, at=AT + 2 * HOUR)
    assert absences(database) == [(workload, AT + 2 * HOUR, None)]


def test_one_that_was_away_when_the_schema_came_is_away_since_it_left(database: Engine) -> None:
    from alembic import command

    from services.kernel.db import migrations

    config = migrations._config()
    with database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0036")
        connection.commit()
    add(database, "chat")
    away = add(database, "gone", is_active=False)
    migrate(database)
    assert absences(database) == [(away, AT, None)]
    turn(database, is_active=True, at=AT + HOUR)
    assert absences(database) == [(away, AT, AT + HOUR)]
