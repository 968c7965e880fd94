"""The database's clock, which all processes share, as a bound of each one's own.

A process whose clock is ahead would close steps of times to come, for which nobody has sent
anything yet, and drop what others still need.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from services.kernel.clock import Clock, SystemClock
from services.kernel.telemetry import get_logger

_AGREES = timedelta(seconds=1)
"""Clocks that are looked after differ by less."""


def not_ahead(connection: Connection, at: datetime, clock: Clock) -> datetime:
    """A time of this process's clock, or the database's where that is earlier.

    Args:
        connection: An open transaction.
        at: The time.
        clock: What told it; a simulated one is right by definition.
    """
    if not isinstance(clock, SystemClock):
        return at
    theirs: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    ahead = at - theirs
    if ahead <= _AGREES:
        return at
    get_logger(__name__).warning("clock_ahead", seconds=round(ahead.total_seconds(), 1))
    return theirs
