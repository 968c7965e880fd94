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
_LOST_PLUS = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d\S*) (\d\d:?\d\d)", re.IGNORECASE)
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


def with_its_plus(at: object) -> object:
    """`at`, whose offset still has its sign: in an address a `+` means a space.

    Raises:
        ValueError: A space stands where the sign was.
    """
    found = _LOST_PLUS.fullmatch(at) if isinstance(at, str) else None
    if found is not None:
        raise ValueError(
            f"reads {at!r}: + means a space in an address; send {found[1]}%2B{found[2]} or a time "
            "that ends in Z"
        )
    return at


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(with_its_plus),
    BeforeValidator(not_a_number),
    AfterValidator(to_utc),
]
"""RFC 3339 with an offset."""
