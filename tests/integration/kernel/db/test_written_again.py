"""Rows that are written again at each step take the place of those before: nothing grows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from services.decision.rows.repository import store_risk_states
from services.kernel.db.session import unit_of_work

pytestmark = pytest.mark.integration

AT = datetime(2026, 1, 5, tzinfo=UTC)
N = 60
SIZE = text("SELECT pg_total_relation_size('risk_states')")


def write(connection: Connection, n: int) -> None:
    state = '{"memory": "' + f"{n:03d}" * 300 + '"}'
    store_risk_states(connection, [(i, state, AT + timedelta(seconds=n)) for i in range(1, N + 1)])


def test_memories_that_are_written_at_each_step_stay_where_they_are(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workloads (id, namespace, name, shard, step_s, spec, spec_version, "
                "is_active, created_at, updated_at) SELECT i, 'a', 'w' || i, 0, 60, '{}', 1, "
                "true, :at, :at FROM generate_series(1, :n) i"
            ),
            {"n": N, "at": AT},
        )
    sizes = []
    for n in range(20):
        with unit_of_work(database) as work:
            write(work.connection, n)
        with database.connect() as connection:
            sizes.append(connection.execute(SIZE).scalar_one())
    assert len(set(sizes[2:])) == 1, sizes
