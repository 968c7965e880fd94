"""A zone's wall clock on nights when it is changed: what it shows twice, or never. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_MINUTE = timedelta(minutes=1)
_CHANGE = timedelta(hours=3)
"""By which a clock is put forward or back at most."""


class Skip(NamedTuple):
    """Minutes that the clock does not show, for as long after them as they are many.

    Attributes:
        clock: What it would show by now had it not been put forward.
        first: The first minute that it does not show.
        after: The first minute that it shows again.
    """

    clock: datetime
    first: datetime
    after: datetime


def shown_once(local: datetime) -> datetime:
    """What the clock shows, naive, by the minute; each minute counts when it is shown first.

    While the clock shows minutes for the second time, it is the last of them.

    Args:
        local: Aware, in the zone.
    """
    clock = _minute_of(local)
    if local.fold:
        while _is_twice(clock + _MINUTE, local):
            clock += _MINUTE
    return clock


def skipped(local: datetime) -> Skip | None:
    """What the clock has not shown lately, as it was put forward; None: it was not.

    Args:
        local: Aware, in the zone.
    """
    offset, before = local.utcoffset(), _in_zone(local - _CHANGE, local).utcoffset()
    if offset is None or before is None or offset <= before:
        return None
    clock = _minute_of(local) - (offset - before)
    if not _is_never(clock, local):
        return None
    first = after = clock
    while _is_never(first - _MINUTE, local):
        first -= _MINUTE
    while _is_never(after, local):
        after += _MINUTE
    return Skip(clock, first, after)


def _minute_of(local: datetime) -> datetime:
    return local.replace(tzinfo=None, fold=0, second=0, microsecond=0)


def _in_zone(at: datetime, local: datetime) -> datetime:
    """An aware time through UTC: arithmetic within a zone takes no heed of its changes."""
    return at.astimezone(UTC).astimezone(local.tzinfo)


def _is_twice(clock: datetime, local: datetime) -> bool:
    first, second = (clock.replace(tzinfo=local.tzinfo, fold=fold) for fold in (0, 1))
    return first.utcoffset() != second.utcoffset()


def _is_never(clock: datetime, local: datetime) -> bool:
    return _minute_of(_in_zone(clock.replace(tzinfo=local.tzinfo), local)) != clock
