"""A process whose clock is ahead goes by the database's; any other by its own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from services.kernel.clock import FixedClock, SystemClock
from services.kernel.server_clock import not_ahead

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)


def test_only_a_clock_that_is_ahead_is_bounded(database: Engine) -> None:
    clock = SystemClock()
    now = clock.now()
    with database.connect() as connection:
        assert now <= not_ahead(connection, now + HOUR, clock) <= clock.now()
        assert not_ahead(connection, now, clock) == now
        assert not_ahead(connection, now - HOUR, clock) == now - HOUR
        simulated = FixedClock(now + HOUR)
        assert not_ahead(connection, simulated.now(), simulated) == now + HOUR
