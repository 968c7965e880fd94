"""A lock by name that Postgres holds for a session: one at a time over all processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError


@contextmanager
def session_lock(engine: Engine, name: str) -> Iterator[bool]:
    """Hold the lock `name`; yields false, at once, while another session holds it.

    The lock belongs to the session, not to a transaction: it may be held for as long as a fit
    takes, and Postgres frees it when the process dies.

    Args:
        engine: The database.
        name: Name of the lock, the same in all processes.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        statement = text("SELECT pg_try_advisory_lock(hashtext(:name))")
        is_mine = bool(connection.execute(statement, {"name": name}).scalar_one())
        try:
            yield is_mine
        finally:
            if is_mine:
                _unlock(connection, name)


def _unlock(connection: Connection, name: str) -> None:
    try:
        connection.execute(text("SELECT pg_advisory_unlock(hashtext(:name))"), {"name": name})
    except OperationalError:
        connection.invalidate()  # the session is gone, and the lock with it
