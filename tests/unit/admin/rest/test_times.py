"""Times of requests: any offset in, UTC out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from services.admin.rest.times import Instant

TIMES: TypeAdapter[datetime] = TypeAdapter(Instant)


def test_every_offset_becomes_utc() -> None:
    at = TIMES.validate_python("2026-01-05T12:00:00+16:38")
    assert at == datetime(2026, 1, 4, 19, 22, tzinfo=UTC)
    assert at.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+01:00",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "2026-01-05T12:00:00",
    ],
)
def test_a_time_of_another_age_or_of_no_place(text: str) -> None:
    with pytest.raises(ValidationError):
        TIMES.validate_python(text)


@pytest.mark.parametrize("number", ["2020", "1767614400", "1.5e9", 1767614400, 0.5])
def test_a_number_is_no_time(number: object) -> None:
    """Read as seconds of Unix time a year would be in January of 1970."""
    with pytest.raises(ValidationError, match="must be RFC 3339"):
        TIMES.validate_python(number)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("2026-01-01T00:00:00 00:00", "2026-01-01T00:00:00%2B00:00"),
        ("2026-01-01T00:00:00.5 02:00", "2026-01-01T00:00:00.5%2B02:00"),
        ("2026-01-01 00:00 0530", "2026-01-01 00:00%2B0530"),
    ],
)
def test_a_plus_that_an_address_made_a_space_is_told(text: str, right: str) -> None:
    """It read `unexpected extra characters`, and nobody had sent any."""
    with pytest.raises(ValidationError) as refused:
        TIMES.validate_python(text)
    assert f"send {right} or a time that ends in Z" in str(refused.value)


def test_a_time_without_an_offset_has_lost_no_plus() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        TIMES.validate_python("2026-01-05 12:00")
