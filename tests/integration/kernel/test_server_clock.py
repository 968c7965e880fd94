"""A process whose clock is ahead goes by the database's; what is compared is of one clock."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from services.kernel.clock import FixedClock, SystemClock
from services.kernel.server_clock import ahead_by, not_ahead

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


class _ToldClock(SystemClock):
    """Tells one time before the database is asked, another one after."""

    def __init__(self, *ahead: timedelta) -> None:
        self._ahead = list(ahead)

    def now(self) -> datetime:
        return super().now() + self._ahead.pop(0)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (HOUR, HOUR, HOUR),
        (-HOUR, -HOUR, -HOUR),
        (timedelta(), timedelta(), timedelta()),
        # an answer that was held back for ten seconds is no clock that is wrong
        (timedelta(), timedelta(seconds=10), timedelta()),
        (-HOUR, timedelta(seconds=10) - HOUR, timedelta(seconds=10) - HOUR),
        (HOUR, HOUR + timedelta(seconds=10), HOUR),
    ],
)
def test_the_least_difference_that_explains_an_answer_counts(
    database: Engine, before: timedelta, after: timedelta, told: timedelta
) -> None:
    with database.connect() as connection:
        assert abs(ahead_by(connection, _ToldClock(before, after)) - told) < timedelta(seconds=5)
        assert ahead_by(connection, FixedClock(SystemClock().now() + HOUR)) == timedelta()
