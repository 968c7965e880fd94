"""The database's clock, which all processes share, as a bound or a measure of each one's own.

A process whose clock is ahead would close steps of times to come, for which nobody has sent
anything yet, and drop what others still need. Times that different processes note and compare, as
those of scalings, must be of one clock.
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
    theirs = _theirs(connection)
    ahead = at - theirs
    if ahead <= _AGREES:
        return at
    get_logger(__name__).warning("clock_ahead", seconds=round(ahead.total_seconds(), 1))
    return theirs


def ahead_by(connection: Connection, clock: Clock) -> timedelta:
    """By how much a process's clock is ahead of the database's; below zero: it is behind.

    Nothing where both agree. An answer may come late, so the least that explains it counts.

    Args:
        connection: An open transaction.
        clock: The process's; a simulated one is right by definition.
    """
    if not isinstance(clock, SystemClock):
        return timedelta()
    asked_at, theirs, heard_at = clock.now(), _theirs(connection), clock.now()
    if asked_at - _AGREES <= theirs <= heard_at + _AGREES:
        return timedelta()
    ahead = asked_at - theirs if theirs < asked_at else heard_at - theirs
    get_logger(__name__).warning("clock_differs", seconds=round(ahead.total_seconds(), 1))
    return ahead


def shared_now(connection: Connection, clock: Clock) -> datetime:
    """The time of all processes: a process's own where both clocks agree, else the database's.

    Args:
        connection: An open transaction.
        clock: The process's; a simulated one is right by definition.
    """
    ahead = ahead_by(connection, clock)
    return clock.now() - ahead


def _theirs(connection: Connection) -> datetime:
    theirs: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return theirs
