"""When decisions are committed is heard from the database."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from services.kernel.settings import Settings
from services.lab.bench.fleet.repository import DecidedRow
from services.lab.bench.fleet.rig import DecisionEar

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PATIENCE_S = 60.0


def test_a_decision_was_committed_when_its_shard_is_heard_of_next(
    database: Engine, settings: Settings
) -> None:
    times = iter(START + n * MINUTE for n in (1, 3, 5))
    ear = DecisionEar(settings.database_url, lambda: next(times))
    ear.start()
    for shard in (4, 7, 4):
        with database.begin() as connection:
            connection.execute(text("SELECT pg_notify('harmony_decisions', :n)"), {"n": str(shard)})
    until = time.monotonic() + PATIENCE_S
    while sum(map(len, ear.heard.values())) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    ear.close()
    assert ear.heard == {4: [START + MINUTE, START + 5 * MINUTE], 7: [START + 3 * MINUTE]}

    def decided(shard: int, at: datetime) -> datetime:
        return ear.committed_at(DecidedRow(1, shard, "gold", START, at))

    assert decided(4, START) == START + MINUTE
    assert decided(4, START + 2 * MINUTE) == START + 5 * MINUTE
    assert decided(9, START) == START, "not heard of: as it says itself"
