"""Connections that are kept: a silent one is taken as it is, one that ended is replaced."""

from __future__ import annotations

import select
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from services.kernel.db.session import dispose_engines, make_engine

pytestmark = pytest.mark.integration


def test_a_connection_that_the_server_ended_is_replaced(database: Engine) -> None:
    engine = make_engine(database.url.render_as_string(hide_password=False), n_kept=3)
    try:
        with engine.connect() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with engine.connect() as connection:
            assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() == pid
        with database.connect() as other:
            ended = text("SELECT pg_terminate_backend(:pid, 5000)")
            assert other.execute(ended, {"pid": pid}).scalar_one()
        with engine.connect() as connection:
            assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != pid
    finally:
        engine.dispose()


def test_nobody_asks_a_silent_connection(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def asks(self: PGDialect_psycopg, connection: object) -> bool:
        asked.append(connection)
        return True

    monkeypatch.setattr(PGDialect_psycopg, "do_ping", asks)
    engine = make_engine(database.url.render_as_string(hide_password=False), n_kept=2)
    try:
        for _ in range(3):
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        assert asked == []
        with engine.connect() as listener:
            driver: Any = listener.connection.driver_connection
            driver.execute("LISTEN somebody")
            driver.commit()
        with database.begin() as other:
            other.execute(text("NOTIFY somebody"))
        assert select.select([driver.fileno()], [], [], 30.0)[0]
        with engine.connect():
            assert len(asked) == 1  # it has something to say, which may be its end
    finally:
        engine.dispose()


def test_a_server_that_vanished_without_a_word_is_given_up(database: Engine) -> None:
    """A host that is gone answers nothing: only the system's own timers end the wait."""
    with database.connect() as connection:
        driver: Any = connection.connection.driver_connection
        given = driver.info.get_parameters()
    idle_s = int(given["keepalives_idle"])
    probes_s = int(given["keepalives_interval"]) * int(given["keepalives_count"])
    assert idle_s + probes_s <= 60
    assert int(given["tcp_user_timeout"]) <= 60_000


def test_each_database_has_one_engine_until_it_is_disposed(database: Engine) -> None:
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    first, wide = make_engine(url), make_engine(url, n_kept=7)
    others = [f"postgresql://nobody@127.0.0.1:1/other_{k}" for k in range(20)]
    for other in others:
        make_engine(other)
    assert make_engine(url) is first
    assert make_engine(url, n_kept=7) is wide
    for engine in (first, wide):
        with engine.connect():
            pass
    dispose_engines(url)
    assert [engine.pool.status().count("Connections in pool: 0") for engine in (first, wide)] == [
        1,
        1,
    ]
    assert make_engine(url) is not first
    for other in others:
        dispose_engines(other)
