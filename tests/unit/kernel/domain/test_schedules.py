"""Windows on the wall clock of their zone, also on the nights when it is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st

from services.kernel.domain import ScheduleSpec
from services.kernel.domain.schedules import bounds_at, end_of, freeze_at, is_in_force
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import resource

SPRING = datetime(2026, 3, 29, tzinfo=UTC)  # 02:00 becomes 03:00 in Berlin, at 01:00 UTC
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)  # 03:00 becomes 02:00 in Berlin, at 01:00 UTC


def window(start: str, end: str, **changes: Any) -> ScheduleSpec:
    values = {"name": "w", "timezone": "Europe/Berlin", "start_time": start, "end_time": end}
    return ScheduleSpec(**(values | {"freeze": "Both"} | changes))


def held_minutes(schedule: ScheduleSpec, day: datetime) -> list[str]:
    """Minutes of the first half of a UTC day at which the state changes, with the state."""
    changes, last = [], None
    for minute in range(12 * 60):
        at = day + timedelta(minutes=minute)
        state = is_in_force(schedule, at)
        if state != last:
            changes.append(f"{at:%H:%M} {'on' if state else 'off'}")
            last = state
    return changes


@pytest.mark.parametrize(
    ("start", "end", "day", "changes"),
    [
        # forward: 01:59 is followed by 03:00
        ("02:00", "03:00", SPRING, ["00:00 off", "01:00 on", "02:00 off"]),
        ("02:15", "02:45", SPRING, ["00:00 off", "01:15 on", "01:45 off"]),
        ("02:30", "03:30", SPRING, ["00:00 off", "01:00 on", "01:30 off"]),
        ("01:30", "02:30", SPRING, ["00:00 off", "00:30 on", "01:00 off"]),
        ("01:00", "04:00", SPRING, ["00:00 on", "02:00 off"]),
        # back: 02:00 to 02:59 comes twice
        ("02:00", "03:00", AUTUMN, ["00:00 on", "02:00 off"]),
        ("02:30", "03:30", AUTUMN, ["00:00 off", "00:30 on", "02:30 off"]),
        ("01:00", "02:30", AUTUMN, ["00:00 on", "00:30 off"]),
        ("02:15", "02:45", AUTUMN, ["00:00 off", "00:15 on", "00:45 off"]),
        ("22:00", "02:30", AUTUMN, ["00:00 on", "00:30 off"]),
        ("03:00", "02:30", AUTUMN, ["00:00 on", "00:30 off", "02:00 on"]),
        ("01:00", "04:00", AUTUMN, ["00:00 on", "03:00 off"]),
        # a day without a change, summer and winter
        ("02:00", "03:00", AUTUMN - timedelta(days=1), ["00:00 on", "01:00 off"]),
        ("02:00", "03:00", AUTUMN + timedelta(days=1), ["00:00 off", "01:00 on", "02:00 off"]),
    ],
)
def test_the_nights_when_clocks_are_changed(
    start: str, end: str, day: datetime, changes: list[str]
) -> None:
    assert held_minutes(window(start, end), day) == changes


@pytest.mark.parametrize(
    ("start", "end", "day", "changes"),
    [
        ("30 2 * * *", "0 6 * * *", SPRING, ["00:00 off", "01:00 on", "04:00 off"]),
        ("0 22 * * *", "30 2 * * *", SPRING, ["00:00 on", "01:00 off"]),
        ("15 2 * * 0", "45 2 * * *", SPRING, ["00:00 off", "01:15 on", "01:45 off"]),
        ("30 2 * * *", "0 6 * * *", AUTUMN, ["00:00 off", "00:30 on", "05:00 off"]),
        ("0 22 * * *", "30 2 * * *", AUTUMN, ["00:00 on", "00:30 off"]),
        ("15 2 * * *", "45 * * * *", AUTUMN, ["00:00 off", "00:15 on", "00:45 off"]),
        # what begins each hour begins in both
        ("0 * * * 0", "30 0-3 * * *", AUTUMN,
         ["00:00 on", "00:30 off", "01:00 on", "01:30 off", "02:00 on", "02:30 off", "03:00 on"]),
        ("0 * * * *", "30 0-3 * * *", SPRING,
         ["00:00 on", "00:30 off", "01:00 on", "01:30 off", "02:00 on"]),
    ],
)  # fmt: skip
def test_cron_windows_on_the_nights_when_clocks_are_changed(
    start: str, end: str, day: datetime, changes: list[str]
) -> None:
    assert held_minutes(between(start, end), day) == changes


def test_half_an_hour_and_midnight_are_changed_clocks_too() -> None:
    """Lord Howe goes back by half an hour at 02:00, Havana by one at 01:00, at 00:00 forward."""
    howe = datetime(2026, 4, 4, 12, tzinfo=UTC)  # 01:30 to 01:59 come twice, from 14:30 UTC on
    schedule = window("01:40", "01:50", timezone="Australia/Lord_Howe")
    assert held_minutes(schedule, howe) == ["12:00 off", "14:40 on", "14:50 off"]
    autumn, spring = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC)
    schedule = window("00:20", "00:40", timezone="America/Havana", days_of_week=(6,))
    assert held_minutes(schedule, autumn) == ["00:00 off", "04:20 on", "04:40 off"]
    assert held_minutes(schedule, spring) == ["00:00 off", "05:20 on", "05:40 off"]


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_a_window_past_midnight_ends_on_the_changed_clock(day: datetime) -> None:
    night = window("22:00", "06:00")
    ends = 4 if day == SPRING else 5  # 06:00 in Berlin
    assert is_in_force(night, day + timedelta(hours=ends, minutes=-1))
    assert not is_in_force(night, day + timedelta(hours=ends))


def test_from_midnight_to_the_last_minute_is_all_day() -> None:
    """As the API server says of `startTime` and `endTime`: no minute of a freeze is let through."""
    monday = datetime(2026, 1, 4, 23, tzinfo=UTC)  # 00:00 in Berlin
    minutes = [monday + timedelta(minutes=n) for n in range(-2, 2 * 24 * 60)]
    assert all(is_in_force(window("00:00", "23:59"), at) for at in minutes)
    held = [at for at in minutes if is_in_force(window("22:00", "23:59", days_of_week=(0,)), at)]
    assert (held[0], held[-1], len(held)) == (
        monday + timedelta(hours=22),
        monday + timedelta(hours=23, minutes=59),
        120,
    )


def test_the_day_is_that_of_the_zone_and_of_the_start() -> None:
    saturday_night = window("22:00", "06:00", days_of_week=(5,))
    assert is_in_force(saturday_night, datetime(2026, 3, 28, 21, 30, tzinfo=UTC))
    assert is_in_force(saturday_night, datetime(2026, 3, 29, 3, 30, tzinfo=UTC))
    assert not is_in_force(saturday_night, datetime(2026, 3, 29, 21, 30, tzinfo=UTC))


times = st.builds(lambda m: f"{m // 60:02d}:{m % 60:02d}", st.integers(0, 24 * 60 - 1))


def spec(*schedules: dict[str, Any]) -> Any:
    found = to_autoscaler(resource(schedules=list(schedules)), {}).spec
    assert found is not None
    return found


ALL_DAY = {"startTime": "00:00", "endTime": "23:59"}


def test_the_strictest_bounds_hold_within_those_of_the_spec() -> None:
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    loose = {"name": "a", "minReplicas": 2, "maxReplicas": 9, **ALL_DAY}
    tight = {"name": "b", "minReplicas": 4, "maxReplicas": 6, **ALL_DAY}
    night = {"name": "c", "minReplicas": 8, "startTime": "22:00", "endTime": "06:00"}
    assert bounds_at(spec(loose, tight, night), now) == (4, 6)
    assert bounds_at(spec(), now) == (1, 10)
    assert bounds_at(spec({"name": "a", "maxReplicas": 50, **ALL_DAY}), now) == (1, 10)
    floor = {"name": "b", "minReplicas": 8, **ALL_DAY}
    cap = {"name": "a", "maxReplicas": 3, **ALL_DAY}
    assert bounds_at(spec(cap, floor), now) == (3, 3)


def test_the_wider_freeze_is_named() -> None:
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    down = {"name": "a", "freeze": "ScaleDown", **ALL_DAY}
    both = {"name": "b", "freeze": "Both", **ALL_DAY}
    assert freeze_at(spec(down, both), now) == ("Both", "b")
    assert freeze_at(spec(down), now) == ("ScaleDown", "a")
    assert freeze_at(spec(), now) is None


def between(start: str, end: str) -> ScheduleSpec:
    return ScheduleSpec(name="w", timezone="Europe/Berlin", start=start, end=end, freeze="Both")


@pytest.mark.parametrize(
    ("start", "end", "changes"),
    [
        # 25 September 2026 is a Friday, Berlin two hours ahead
        ("0 7 * * *", "0 9 * * *", ["00:00 off", "05:00 on", "07:00 off"]),
        ("0 7 * * 1-4", "0 9 * * *", ["00:00 off"]),
        # begun on Thursday evening, over on Friday morning
        ("0 22 * * 4", "30 6 * * 5", ["00:00 on", "04:30 off"]),
        ("0 7-9 * * *", "20 7-9 * * *", ["00:00 off", "05:00 on", "05:20 off", "06:00 on",
                                         "06:20 off", "07:00 on", "07:20 off"]),
        # both at once: over
        ("0 7 * * *", "0 7 * * *", ["00:00 off"]),
        # an end that never comes, and a begin that never does
        ("0 7 * * *", "0 0 31 2 *", ["00:00 on"]),
        ("0 0 31 2 *", "0 7 * * *", ["00:00 off"]),
    ],
)  # fmt: skip
def test_a_window_between_two_cron_expressions(start: str, end: str, changes: list[str]) -> None:
    day = datetime(2026, 9, 25, tzinfo=UTC)
    assert held_minutes(between(start, end), day) == changes


def test_an_expression_that_cannot_be_read_holds_nothing() -> None:
    assert not is_in_force(between("whenever", "0 9 * * *"), AUTUMN)
    assert not is_in_force(between("0 7 * * *", "whenever"), AUTUMN)


def test_a_window_that_was_stored_with_an_end_that_never_comes_has_none() -> None:
    """Such an expression is refused now; what is stored holds as it did."""
    assert is_in_force(between("0 7 * * *", "0 0 31 4 *"), AUTUMN)
    assert not is_in_force(between("0 0 31 4 *", "0 7 * * *"), AUTUMN)


@pytest.mark.parametrize("day", [SPRING, AUTUMN, datetime(2026, 9, 25, tzinfo=UTC)])
@pytest.mark.parametrize(
    "schedule",
    [
        window("01:00", "02:30"),
        window("00:00", "03:00"),
        window("22:00", "02:30"),
        window("02:15", "02:45"),
        window("02:30", "06:00"),
        window("03:00", "04:00"),
        window("08:00", "23:59"),
        window("03:00", "08:00", days_of_week=(6,)),
        between("0 1 * * *", "30 2 * * *"),
        between("0 22 * * *", "30 2-4 * * *"),
        between("*/10 * * * *", "5-59/10 * * * *"),
    ],
    ids=lambda one: f"{one.start or one.start_time} to {one.end or one.end_time}",
)
def test_a_window_is_over_in_the_first_minute_that_it_does_not_hold(
    schedule: ScheduleSpec, day: datetime
) -> None:
    over: datetime | None = None
    seen = 0
    for minute in reversed(range(24 * 60)):
        at = day + timedelta(minutes=minute)
        if not is_in_force(schedule, at):
            over = at
        elif over is not None:
            assert end_of(schedule, at + timedelta(seconds=7)) == over, at
            seen += 1
    assert seen or day.weekday() not in schedule.days_of_week


def test_a_window_that_always_holds_has_no_end() -> None:
    assert end_of(window("00:00", "23:59"), AUTUMN) is None
    assert end_of(between("0 7 * * *", "0 0 31 2 *"), AUTUMN) is None
    assert end_of(window("00:00", "08:00", timezone="Nowhere"), AUTUMN) is None
    weekdays = window("00:00", "23:59", days_of_week=(0, 1, 2, 3, 4), timezone="UTC")
    monday = datetime(2026, 9, 21, 12, tzinfo=UTC)
    assert end_of(weekdays, monday) == datetime(2026, 9, 26, tzinfo=UTC)


def test_a_window_may_be_over_years_later() -> None:
    schedule = between("0 7 * * *", "0 0 29 2 *")
    end = datetime(2028, 2, 28, 23, tzinfo=UTC)
    assert end_of(schedule, datetime(2026, 9, 25, 12, tzinfo=UTC)) == end
