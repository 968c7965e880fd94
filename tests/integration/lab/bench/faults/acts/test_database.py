"""Faults of a Postgres that others use too, on a server of the test's own."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from services.lab.bench.faults.acts import database
from services.lab.bench.faults.outside.repository import outside_engine
from tests.integration.decision.stored_rows import add_workload

pytestmark = pytest.mark.integration

WAITING = {
    "table": "SELECT count(*) FROM forecasts",
    "partition": "DELETE FROM observations",
    "rows": "UPDATE workloads SET name = 'x'",
}


def setting(engine: Engine, name: str) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text(f"SHOW {name}")).scalar_one())


def test_the_servers_faults_strike_and_are_put_right(server: Any) -> None:
    add_workload(server.engine, "w")
    with server.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE observations_p20261128 PARTITION OF observations "
                "FOR VALUES FROM ('2026-11-28') TO ('2026-12-05')"
            )
        )
    for what, statement in WAITING.items():
        _check_lock(server, what, statement)
    _check_settings(server)
    _check_sessions(server)
    _check_partition(server)
    _check_backend(server)


def _check_lock(server: Any, what: str, statement: str) -> None:
    act = database.LockRows(what)
    assert act.begin(server)

    def wait() -> None:
        with server.engine.begin() as connection:
            connection.execute(text(statement))

    other = threading.Thread(target=wait)
    other.start()
    server.until(lambda: act.go_on(server) and act.has_bitten(server))
    assert act.end(server)
    other.join(60)
    assert not other.is_alive()


def _check_settings(server: Any) -> None:
    url = server.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    for name, value in (("default_transaction_read_only", "on"), ("lock_timeout", "25ms")):
        act = database.ServerSetting(name, value)
        assert act.begin(server)
        other = outside_engine(url)
        assert setting(other, name) == value
        assert act.end(server)
        assert act.has_bitten(server)
        other.dispose()
        other = outside_engine(url)
        assert setting(other, name) != value
        other.dispose()


def _check_sessions(server: Any) -> None:
    act = database.TakeSessions()
    with server.engine.connect():  # so that its own next statement has a session
        assert act.begin(server)
        assert act.has_bitten(server)
        assert act.end(server)
    server.until(lambda: setting(server.engine, "timezone") == "UTC")
    ended = database.EndSessions()
    url = server.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    other = outside_engine(url)
    with other.connect() as connection:
        connection.execute(text("SELECT 1"))
        assert ended.begin(server)
        assert ended.has_bitten(server)
        with pytest.raises(DBAPIError):
            connection.execute(text("SELECT 1"))
    other.dispose()


def _check_partition(server: Any) -> None:
    act = database.DetachPartition("observations")
    assert not act.has_bitten(server)
    assert act.begin(server)
    count = text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'observations'::regclass")
    with server.engine.connect() as connection:
        assert connection.execute(count).scalar_one() == 0
    assert act.end(server)
    assert act.has_bitten(server)
    with server.engine.connect() as connection:
        assert connection.execute(count).scalar_one() == 1


def _check_backend(server: Any) -> None:
    with server.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    act = database.KillBackend()
    assert act.begin(server)
    server.until(lambda: act.has_bitten(server))

    def answers() -> bool:
        try:
            return setting(server.engine, "timezone") == "UTC"
        except DBAPIError:
            return False

    server.until(answers)
