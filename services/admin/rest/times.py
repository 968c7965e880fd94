"""Times that a request names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

AHEAD = timedelta(seconds=30)
"""What is of a later time is of a clock that was ahead: it counts when that time is there."""
_NUMBER = re.compile(r"\s*[-+]?[\d.]+(e[-+]?\d+)?\s*", re.IGNORECASE)
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


def not_a_number(at: object) -> object:
    """`at`, which is no number: `2020` would be 33 minutes after the beginning of 1970.

    Raises:
        ValueError: It is one.
    """
    if isinstance(at, (int, float)) or (isinstance(at, str) and _NUMBER.fullmatch(at)):
        raise ValueError(f"is the number {at}, must be RFC 3339, e.g. 2026-01-05T12:00:00Z")
    return at


Instant = Annotated[AwareDatetime, BeforeValidator(not_a_number), AfterValidator(to_utc)]
"""RFC 3339 with an offset."""
