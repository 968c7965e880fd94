"""Alembic migrations, run from code by `migrate`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from services.kernel.db.migrations.seen_schema import SeenSchema, load_schema
from services.kernel.errors import ConfigurationError

_LOCK_TIMEOUT = "30s"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def migrate(engine: Engine, revision: str = "head") -> str:
    """Bring the database to `revision`, one process at a time.

    An advisory lock makes a second migrating process wait; a lock time-out keeps a migration from
    queueing behind a long query and blocking everyone after it. A database that newer code has
    migrated stays as it is.

    Returns:
        The revision that the database is at now.

    Raises:
        ConfigurationError: Newer code has migrated it, and its schema does not serve this code.
    """
    config = _config()
    with engine.connect() as connection:
        connection.execute(text("SET lock_timeout = 0"))  # another's may take hours
        connection.execute(text("SELECT pg_advisory_lock(7012)"))
        try:
            connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
            seen = load_schema(connection, head_revision())
            connection.commit()
            if not seen.is_newer:
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
                connection.commit()
            elif not seen.is_served:
                raise ConfigurationError(seen.message)
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(7012)"))
            connection.execute(text("RESET lock_timeout"))
            connection.commit()
    return current_revision(engine) or ""


def see_schema(engine: Engine) -> SeenSchema:
    """The schema of the database beside this code: whether it serves it, and what to do if not."""
    with engine.connect() as connection:
        return load_schema(connection, head_revision())


def current_revision(engine: Engine) -> str | None:
    """The revision that the database is at; None for an empty database."""
    return see_schema(engine).revision


@lru_cache(maxsize=1)
def head_revision() -> str:
    """The newest revision in the code."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("no migrations found")
    return head
