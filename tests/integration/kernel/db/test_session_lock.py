"""A lock by name over all sessions of a real database."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.session_lock import session_lock

pytestmark = pytest.mark.integration


def test_one_session_holds_a_name_and_frees_it(database: Engine) -> None:
    with session_lock(database, "a") as first:
        assert first
        with session_lock(database, "a") as second, session_lock(database, "b") as other:
            assert not second
            assert other
        with session_lock(database, "a") as still:
            assert not still
    with session_lock(database, "a") as again:
        assert again


def test_an_error_inside_frees_it(database: Engine) -> None:
    with pytest.raises(RuntimeError), session_lock(database, "a"):
        raise RuntimeError
    with session_lock(database, "a") as again:
        assert again


def test_a_session_that_died_holds_nothing(database: Engine) -> None:
    with session_lock(database, "a") as first, database.connect() as connection:
        assert first
        statement = text(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            "AND pid <> pg_backend_pid() AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert connection.execute(statement).scalar_one()
    with session_lock(database, "a") as again:
        assert again
