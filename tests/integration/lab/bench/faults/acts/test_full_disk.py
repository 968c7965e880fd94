"""A disk that is really full: Postgres ends, is started again, and has what it had confirmed."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.lab.bench.faults.acts.full_disk import FullServerDisk

pytestmark = pytest.mark.integration


def test_a_server_without_room_comes_back_with_what_it_had_confirmed(server: Any) -> None:
    confirmed = 0

    def write() -> bool:
        nonlocal confirmed
        try:
            with server.engine.begin() as connection:
                statement = text("INSERT INTO kept VALUES (:value)")
                connection.execute(statement, {"value": confirmed + 1})
        except DBAPIError:
            return False
        confirmed += 1
        return True

    with server.engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (value integer)"))
    assert write()
    act = FullServerDisk()
    assert act.begin(server)
    server.until(lambda: (write() and act.go_on(server) and act.has_bitten(server)) or not write())
    assert act.go_on(server)
    assert act.has_bitten(server)
    n_before = confirmed

    def is_put_right() -> bool:
        try:
            return act.end(server)
        except DBAPIError:
            return False

    server.until(is_put_right)
    server.until(write)
    with server.engine.connect() as connection:
        found = set(connection.scalars(text("SELECT value FROM kept")))
        slots = connection.scalars(text("SELECT slot_name FROM pg_replication_slots")).all()
    assert set(range(1, confirmed + 1)) <= found
    assert confirmed > n_before
    assert slots == []
