"""What a wall clock shows twice, and what it never shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.kernel.domain.wall_clock import shown_once, skipped

SPRING = datetime(2027, 3, 28, tzinfo=UTC)  # in Berlin 02:00 becomes 03:00, at 01:00 UTC
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)  # in Berlin 03:00 becomes 02:00, at 01:00 UTC


def at(day: datetime, minute: int, zone: str = "Europe/Berlin") -> datetime:
    return (day + timedelta(minutes=minute, seconds=7)).astimezone(ZoneInfo(zone))


@pytest.mark.parametrize(
    ("minute", "shown"),
    [(0, "02:00"), (59, "02:59"), (60, "02:59"), (90, "02:59"), (119, "02:59"), (120, "03:00")],
)
def test_a_minute_counts_when_it_is_shown_first(minute: int, shown: str) -> None:
    assert f"{shown_once(at(AUTUMN, minute)):%H:%M:%S}" == f"{shown}:00"


def test_clocks_that_are_not_changed_are_as_they_are() -> None:
    for minute in range(0, 1440, 7):
        local = at(AUTUMN + timedelta(days=1), minute)
        assert shown_once(local) == local.replace(tzinfo=None, second=0)
        assert skipped(local) is None
        assert skipped(at(AUTUMN, minute)) is None


def test_what_is_skipped_counts_for_as_long_after_it() -> None:
    found = [skipped(at(SPRING, minute)) for minute in range(240)]
    assert [n for n, one in enumerate(found) if one is not None] == list(range(60, 120))
    for n, one in enumerate(found[60:120]):
        assert one is not None
        assert f"{one.clock:%H:%M}" == f"02:{n:02d}"
        assert (f"{one.first:%H:%M}", f"{one.after:%H:%M}") == ("02:00", "03:00")


def test_half_an_hour_may_be_skipped() -> None:
    day = datetime(2026, 10, 3, 15, tzinfo=UTC)  # on Lord Howe 02:00 becomes 02:30, at 15:30 UTC
    found = [skipped(at(day, minute, "Australia/Lord_Howe")) for minute in range(120)]
    assert [n for n, one in enumerate(found) if one is not None] == list(range(30, 60))
