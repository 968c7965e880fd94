"""What is planted for a clean-up is past its time, and nothing else is counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.kernel.clock import SystemClock
from services.kernel.db.partitions import drop_expired, ensure_partitions
from services.kernel.db.schema import PARTITIONED
from services.lab.bench.faults.acts.by_hand_repository import (
    count_old_partitions,
    plant_old_partitions,
)

pytestmark = pytest.mark.integration


def test_old_partitions_are_planted_in_every_table_and_counted(server: Any) -> None:
    now = SystemClock().now()
    with server.engine.begin() as connection:
        ensure_partitions(connection, "observations", now, now)
    assert count_old_partitions(server.engine, now) == 0
    assert plant_old_partitions(server.engine, now) >= 2 * len(PARTITIONED)
    for table in PARTITIONED:
        with server.engine.begin() as connection:
            drop_expired(connection, table, now, timedelta(days=200))
    assert count_old_partitions(server.engine, now) == 0
