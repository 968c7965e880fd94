"""Numbers and times as the console writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from services.admin.rest import formats

AT = datetime(2026, 1, 5, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (0.0123, "1.2 %"),
        (0.01, "1 %"),
        (0.00004, "0.004 %"),
        (0.000036, "0.0036 %"),
        (0.00036, "0.036 %"),
        (0.0000005, "< 0.0001 %"),
        (-0.0000005, "> -0.0001 %"),
        (0.09949, "9.9 %"),
        (0.0996, "10 %"),
        (0.00996, "1 %"),
        (0.000996, "0.1 %"),
        (0.1234, "12 %"),
        (0.0042, "0.42 %"),
        (0.5, "50 %"),
        (1.0, "100 %"),
        (-0.091, "-9.1 %"),
    ],
)
def test_percent(value: float | None, text: str) -> None:
    assert formats.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (2.98343, "2.98"),
        (7090.6, "7,091"),
        (23456.0, "23.5 k"),
        (2.5e6, "2.5 M"),
        (99.96, "100"),
        (999_400.0, "999 k"),
        (999_600.0, "1 M"),
        (999_600_000.0, "1 G"),
        (1.234e13, "12,340 G"),
        (-999_600.0, "-1 M"),
        (0.00001, "0.00001"),
        (0.0000123456, "0.0000123"),
        (1e-9, "< 0.000001"),
        (-1e-9, "> -0.000001"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert formats.number(value) == text


def test_money_and_durations() -> None:
    assert formats.usd(None) == "–"
    assert formats.usd(5413.2) == "$5,413"
    assert formats.usd(-20.0, True) == "−$20.00"
    assert formats.usd(10.0, True) == "+$10.00"
    assert formats.usd(0.004) == "$0.004"
    assert formats.usd(0.0) == "$0.00"
    assert formats.usd(-0.0004, True) == "−$0.0004"
    assert formats.usd(0.1 + 0.2 - 0.3) == "$0.00"
    assert formats.usd(1e-9) == "< $0.000001"
    assert formats.usd(1e-9, True) == "< +$0.000001"
    assert formats.usd(-1e-9, True) == "> −$0.000001"
    assert formats.duration(95) == "95 s"
    assert formats.duration(164) == "2 min 44 s"
    assert formats.duration(2 * 3600) == "2 h"
    assert formats.duration(3 * 86400 + 7200) == "3 d 2 h"
    assert formats.duration(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0001, "< 1 ms"),
        (0.0004999, "< 1 ms"),
        (0.0006, "1 ms"),
        (0.25, "250 ms"),
        (0.499, "499 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.4, "1 s"),
    ],
)
def test_less_than_a_second_is_not_none(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


def test_times() -> None:
    assert formats.clock_time(AT) == formats.clock_time(AT, AT) == "5 Jan 14:05"
    assert formats.clock_time(AT, AT + timedelta(days=400)) == f"5 Jan {AT.year} 14:05"
    assert formats.clock_time(AT, AT - timedelta(days=6)) == f"5 Jan {AT.year} 14:05"
    assert formats.iso(AT) == "2026-01-05T14:05:00Z"
    assert formats.ago(AT - timedelta(seconds=150), AT) == "2 min ago"
    assert formats.ago(AT - timedelta(hours=30), AT) == "30 h ago"
    assert formats.ago(AT - timedelta(days=3), AT) == "3 d ago"
    assert formats.ago(AT + timedelta(minutes=10), AT) == "10 min ahead"
    assert formats.ago(AT, AT) == "just now"
    assert formats.ago(None, AT) == "–"


@given(st.floats(0, 1, allow_nan=False))
def test_a_share_is_never_shown_as_none_when_it_is_some(value: float) -> None:
    shown = formats.percent(value)
    assert (shown == "0 %") == (value == 0)
