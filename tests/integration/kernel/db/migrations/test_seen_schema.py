"""What the database says of the code that its schema serves, and how it comes to say it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from services.kernel.db import migrations
from services.kernel.db.migrations import head_revision, migrate, see_schema
from services.kernel.db.migrations.seen_schema import SeenSchema, load_schema
from services.kernel.db.session import dispose_engines, make_engine
from services.kernel.errors import ConfigurationError
from tests.databases import Databases
from tests.integration.newer_release import NEXT, migrate_by_the_next_release

pytestmark = pytest.mark.integration


@pytest.fixture
def empty(databases: Databases) -> Iterator[Engine]:
    """A database without a schema."""
    name = databases.create()
    url = databases.url(name)
    yield make_engine(url)
    dispose_engines(url)
    databases.drop(name)


def seen_by(engine: Engine, head: str) -> SeenSchema:
    with engine.connect() as connection:
        return load_schema(connection, head)


def stated() -> str:
    """What the newest migration states."""
    script = ScriptDirectory.from_config(migrations._config()).get_revision(head_revision())
    assert script is not None
    return str(script.module.oldest_code)


def downgrade(engine: Engine, revision: str) -> None:
    config = migrations._config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        connection.commit()


def test_a_database_without_a_schema_serves_nobody(empty: Engine) -> None:
    seen = see_schema(empty)
    assert (seen.revision, seen.is_served, seen.is_newer) == (None, False, False)
    assert seen.message == (
        f"the database is without a schema, this code needs {head_revision()}; "
        "run `harmony migrate`"
    )


def test_a_database_of_before_0034_serves_code_of_its_own_revision_only(empty: Engine) -> None:
    migrate(empty, "0033")
    assert seen_by(empty, "0033").is_served
    newer, older = seen_by(empty, "0034"), seen_by(empty, "0032")
    assert (newer.is_served, newer.is_newer) == (False, False)
    assert "run `harmony migrate`" in newer.message
    assert (older.is_served, older.is_newer) == (False, True)
    assert "serves code of 0033 and later, and this code's is 0032" in older.message


def test_each_migration_notes_the_oldest_code_that_its_schema_serves(
    database: Engine, tmp_path: Path
) -> None:
    assert see_schema(database) == SeenSchema(head_revision(), stated(), head_revision())
    migrate_by_the_next_release(database, tmp_path, oldest_code=head_revision())
    assert see_schema(database) == SeenSchema(NEXT, head_revision(), head_revision())
    assert migrate(database) == NEXT, "it stays as it is"


def test_a_downgrade_notes_it_too(database: Engine) -> None:
    downgrade(database, "0033")
    assert seen_by(database, "0033") == SeenSchema("0033", None, "0033")
    migrate(database)
    assert see_schema(database).oldest_code == stated()


def test_a_schema_that_does_not_serve_this_code_is_left_alone(
    database: Engine, tmp_path: Path
) -> None:
    migrate_by_the_next_release(database, tmp_path, oldest_code=NEXT)
    with pytest.raises(ConfigurationError, match=f"at revision {NEXT}, which serves code of"):
        migrate(database)
    assert see_schema(database) == SeenSchema(NEXT, NEXT, head_revision())
    # the lock is free again
    with database.connect() as connection:
        assert connection.execute(text("SELECT pg_try_advisory_lock(7012)")).scalar()
        connection.execute(text("SELECT pg_advisory_unlock(7012)"))


def test_a_revision_that_was_set_back_by_hand_for_older_code_is_migrated_again(
    empty: Engine,
) -> None:
    """As docs/operations.md has it under Rollback, of images of before 0034."""
    migrate(empty, "0034")
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0033'"))
    assert migrate(empty, "0034") == "0034"
    assert see_schema(empty).oldest_code == "0020"
