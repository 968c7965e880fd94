"""Times that a request names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

AHEAD = timedelta(seconds=30)
"""What is of a later time is of a clock that was ahead: it counts when that time is there."""
_FIRST, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def to_utc(at: datetime) -> datetime:
    """`at` in UTC: not every offset can be stored, and not every time can be reckoned with.

    Raises:
        ValueError: It is of another age.
    """
    if not _FIRST <= at < _END:
        raise ValueError("must lie in the years 1970 to 2199")
    return at.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, both ends inclusive."""

    from_at: datetime
    to_at: datetime


Instant = Annotated[AwareDatetime, AfterValidator(to_utc)]
"""RFC 3339 with an offset."""
