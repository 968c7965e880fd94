"""Alembic migrations, run from code by `migrate`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

_LOCK_TIMEOUT = "30s"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def migrate(engine: Engine, revision: str = "head") -> str:
    """Bring the database to `revision`, one process at a time.

    An advisory lock makes a second migrating process wait; a lock time-out keeps a migration from
    queueing behind a long query and blocking everyone after it.

    Returns:
        The revision that the database is at now.
    """
    config = _config()
    with engine.connect() as connection:
        connection.execute(text("SET lock_timeout = 0"))  # another's may take hours
        connection.execute(text("SELECT pg_advisory_lock(7012)"))
        try:
            connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
            connection.commit()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(7012)"))
            connection.execute(text("RESET lock_timeout"))
            connection.commit()
    return current_revision(engine) or ""


def current_revision(engine: Engine) -> str | None:
    """The revision that the database is at; None for an empty database."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """The newest revision in the code."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("no migrations found")
    return head
