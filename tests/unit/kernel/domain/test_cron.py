"""Cron expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings, strategies as st

from services.kernel.domain.cron import Cron, check_cron, check_window, read_cron

MONDAY = datetime(2026, 1, 5, 12, 0)  # noqa: DTZ001 - a wall clock


@pytest.mark.parametrize(
    ("expression", "last"),
    [
        ("0 7 * * *", datetime(2026, 1, 5, 7, 0)),  # noqa: DTZ001
        ("0 13 * * *", datetime(2026, 1, 4, 13, 0)),  # noqa: DTZ001
        ("0 12 * * *", MONDAY),
        ("*/20 * * * *", MONDAY),
        ("5/20 9-11 * * *", datetime(2026, 1, 5, 11, 45)),  # noqa: DTZ001
        ("30 18 * * 1-5", datetime(2026, 1, 2, 18, 30)),  # noqa: DTZ001
        ("30 18 * * Mon-fri", datetime(2026, 1, 2, 18, 30)),  # noqa: DTZ001
        ("0 0 * * 0", datetime(2026, 1, 4)),  # noqa: DTZ001
        ("0 0 * * 7", datetime(2026, 1, 4)),  # noqa: DTZ001
        ("0 0 1 jul *", datetime(2025, 7, 1)),  # noqa: DTZ001
        ("0 0 29 2 *", datetime(2024, 2, 29)),  # noqa: DTZ001
        # a day of the month or of the week: either is enough
        ("0 0 3 * 5", datetime(2026, 1, 3)),  # noqa: DTZ001
        ("0,30 6,18 * 1,12 *", datetime(2026, 1, 5, 6, 30)),  # noqa: DTZ001
    ],
)
def test_the_last_time_of_an_expression(expression: str, last: datetime) -> None:
    assert read_cron(expression).last_before(MONDAY) == last


def test_a_day_that_never_comes_has_no_last_time() -> None:
    assert read_cron("0 0 31 2 *").last_before(MONDAY) is None


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 7 * *", "five fields"),
        ("", "five fields"),
        ("60 7 * * *", "minute: '60' must lie between 0 and 59"),
        ("0 24 * * *", "hour: '24' must lie between 0 and 23"),
        ("0 0 0 * *", "day of the month: '0' must lie between 1 and 31"),
        ("0 0 * 13 *", "month: '13' must lie between 1 and 12"),
        ("0 0 * * 8", "day of the week: '8' must lie between 0 and 7"),
        ("0 0 * * mo", "day of the week: 'mo' must lie"),
        ("0 9-7 * * *", "hour: '9-7' must not end before it starts"),
        ("*/0 * * * *", "the step of '*/0' must be at least 1"),
        ("0 7 * * 1;2", "'1;2' must be *, a number"),
        ("-1 * * * *", "minute: '-1' must be *, a number"),
        ("0 7 ? * *", "day of the month: '?' must be"),
        ("@daily", "five fields"),
    ],
)
def test_what_is_wrong_is_named(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        read_cron(expression)


@pytest.mark.parametrize("months", ["2,4,6,9,11", "4", "feb"])
def test_a_day_that_no_month_has_is_refused_and_named(months: str) -> None:
    """What was stored before is still read, and has no last time."""
    expression = f"0 0 31 {months} *"
    with pytest.raises(ValueError, match=re.escape(f"{expression!r} never comes: no month of")):
        check_cron(expression)
    assert read_cron(expression).last_before(MONDAY) is None


@pytest.mark.parametrize(
    "expression", ["0 0 29 2 *", "0 0 30,31 4 *", "0 0 31 2 1", "0 0 31 */2 *", "* * * * *"]
)
def test_a_day_that_comes_is_not_refused(expression: str) -> None:
    check_cron(expression)


def test_what_cannot_be_read_is_refused_as_it_is_where_it_is_read() -> None:
    with pytest.raises(ValueError, match="minute: '60' must lie"):
        check_cron("60 0 31 2 *")


@given(
    st.sets(st.integers(1, 31), min_size=1, max_size=3),
    st.sets(st.integers(1, 12), min_size=1, max_size=3),
    st.sets(st.integers(0, 6), min_size=1),
    st.booleans(),
    st.datetimes(datetime(2020, 1, 1), datetime(2032, 1, 1)),  # noqa: DTZ001 - a wall clock
)
@settings(max_examples=60)
def test_the_last_day_is_the_one_that_a_walk_by_days_finds(
    days: set[int], months: set[int], weekdays: set[int], is_either: bool, clock: datetime
) -> None:
    cron = Cron((30,), (9,), *map(frozenset, (days, months, weekdays)), is_either)
    at = clock.replace(hour=9, minute=30, second=0, microsecond=0)
    at -= timedelta(days=int(at > clock))
    oldest = at - timedelta(days=8 * 365)
    while at > oldest and not cron.is_on(at.date()):
        at -= timedelta(days=1)
    found = cron.last_before(clock)
    assert found == at if at > oldest else found is None or found <= oldest


@settings(max_examples=60)
@given(
    st.integers(0, 59), st.integers(0, 23), st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 60 * 24 * 400),
)  # fmt: skip
def test_the_last_time_is_the_newest_that_fits(
    minute: int, hour: int, days: set[int], later: int
) -> None:
    clock = MONDAY + timedelta(minutes=later)
    cron = read_cron(f"{minute} {hour} * * {','.join(str((d + 1) % 7) for d in days)}")
    found = cron.last_before(clock)
    assert found is not None
    at = clock
    while (at.hour, at.minute) != (hour, minute) or at.weekday() not in days:
        at -= timedelta(minutes=1)
    assert found == at


class Counted(tuple[int, ...]):
    """Numbers that count how often they were walked through."""

    walks = 0

    def __iter__(self) -> Iterator[int]:
        Counted.walks += 1
        return super().__iter__()


@pytest.mark.parametrize("expression", ["* * 30 2 *", "* * 29 2 *"])
def test_a_day_that_seldom_comes_is_looked_for_by_days_alone(expression: str) -> None:
    """Eight years of minutes would take the operator's pass, and each decision, half a second."""
    found = read_cron(expression)
    counted = replace(found, minutes=Counted(found.minutes), hours=Counted(found.hours))
    Counted.walks = 0
    clock = datetime(2027, 12, 1)  # noqa: DTZ001 - a wall clock
    assert counted.last_before(clock) == found.last_before(clock)
    assert Counted.walks < 50


@pytest.mark.parametrize("expression", ["0 0 31 2,4,6,9,11 *", "0 0 29 2 *", "0 0 1 1 *"])
def test_a_day_that_seldom_comes_is_looked_for_by_months(
    expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pass of the operator and each decision looks at up to 64 expressions of a workload."""
    looked_at: list[date] = []
    is_on = Cron.is_on

    def counted(self: Cron, day: date) -> bool:
        looked_at.append(day)
        return is_on(self, day)

    monkeypatch.setattr(Cron, "is_on", counted)
    read_cron(expression).last_before(datetime(2027, 12, 1))  # noqa: DTZ001 - a wall clock
    assert len(looked_at) < 10


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("0 7 * * *", "0 7 * * *"),
        ("0 7 * * mon", "0 7 * * 1-5"),
        ("0 7,19 * * *", "0 7-19 * * 0-6"),
        ("0 0 29 2 *", "0 0 * feb *"),
        ("0 0 1 1 1", "0 0 1 * 1"),
    ],
)
def test_a_window_that_ends_whenever_it_begins_is_refused(start: str, end: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"start={start!r} and end={end!r}: the window")):
        check_window(start, end)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("0 7 * * *", "1 7 * * *"),
        ("0 7 * * *", "0 7 * * 1-5"),
        ("0 7 * * *", "0 19 * * *"),
        ("0 0 * feb *", "0 0 1-28 2 *"),  # 29 February
        ("0 0 1 1 1", "0 0 1 1 *"),
    ],
)
def test_a_window_that_holds_at_times_is_taken(start: str, end: str) -> None:
    check_window(start, end)
