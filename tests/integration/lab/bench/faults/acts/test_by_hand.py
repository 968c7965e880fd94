"""Faults of rows, on a server of the test's own."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from services.kernel.clock import SystemClock
from services.kernel.db.partitions import drop_expired
from services.kernel.db.schema import PARTITIONED
from services.lab.bench.faults.acts import by_hand, by_hand_repository
from services.lab.bench.faults.fleet import make_fleet
from services.lab.bench.faults.kinds import FORGOTTEN
from tests.integration.decision.stored_rows import add_workload

pytestmark = pytest.mark.integration


def test_rows_are_forgotten_spoilt_and_expire(server: Any) -> None:
    assert set(FORGOTTEN) == set(by_hand_repository.FORGOTTEN)
    fleet = server.fleet = make_fleet(3)
    server.sender = SimpleNamespace(spoilt_until_s=0.0)
    add_workload(server.engine, fleet.victim.name)
    with server.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET namespace = :n"), {"n": fleet.victim.namespace}
        )
        spec = connection.execute(text("SELECT spec::text FROM workloads")).scalar_one()
        connection.execute(
            text("INSERT INTO shard_turns (stage, shard, asked_at) VALUES ('decide', 0, now())")
        )
    for act, is_mended in ((by_hand.ForgottenRows("turns"), True), (by_hand.SpoiltSpec(), False)):
        assert act.begin(server)
        assert act.has_bitten(server) is is_mended
    with server.engine.begin() as connection:
        statement = text("UPDATE workloads SET spec = CAST(:spec AS jsonb)")
        connection.execute(statement, {"spec": spec})
    assert act.has_bitten(server)
    assert server.sender.spoilt_until_s > 0
    assert not by_hand.ForgottenRows("turns").begin(server)
    _check_expired(server)


def _check_expired(server: Any) -> None:
    act = by_hand.ExpiredPartitions()
    assert act.begin(server)
    assert not act.has_bitten(server)
    for table in PARTITIONED:
        with server.engine.begin() as connection:
            drop_expired(connection, table, SystemClock().now(), timedelta(days=200))
    assert act.has_bitten(server)
