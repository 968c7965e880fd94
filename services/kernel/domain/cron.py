"""Cron expressions of five fields: minute, hour, day of the month, month, day of the week. Pure.

Lists, ranges, steps and English names of months and days are read; 0 and 7 are Sunday. Where both a
day of the month and a day of the week are given, either is enough, as cron itself has it. Times are
those of a wall clock: the time zone is the caller's.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

_NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "day of the week": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
)
_ITEM = re.compile(r"(\*|\w+(?:-\w+)?)(?:/(\d+))?")
_HOURS = 24
_FURTHEST_MONTHS = 12 * 8
"""29 February comes after eight years at the latest."""
_CALENDAR = range(date(2001, 1, 1).toordinal(), date(2029, 1, 1).toordinal())
"""Days after which dates fall on the same days of the week again."""
_MOST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression that was read.

    Attributes:
        minutes: Minutes of an hour, ascending.
        hours: Hours of a day, ascending.
        days: Days of the month.
        months: Months of the year.
        weekdays: Days of the week, 0 is Monday.
        is_either_day: A day of the month or of the week is enough; else both must hold.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either_day: bool

    @property
    def is_hourly(self) -> bool:
        """Whether it comes in each hour of its days."""
        return len(self.hours) == _HOURS

    def is_on(self, day: date) -> bool:
        """Whether the day is one of its days."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.weekday() in self.weekdays
        return of_month or of_week if self.is_either_day else of_month and of_week

    def last_before(self, clock: datetime) -> datetime | None:
        """The newest time at or before `clock`, a naive wall clock; None: there was none for years.

        Args:
            clock: Naive.
        """
        today = clock.date()
        day = self._last_day(today)
        if day == today:
            at = self._last_until(clock.hour, clock.minute)
            if at is not None:
                return datetime.combine(today, at)
            day = self._last_day(today - timedelta(days=1))
        return None if day is None else datetime.combine(day, self._last_of_day())

    def has_day(self) -> bool:
        """Whether it has any day at all: 31 April has none, in no year."""
        longest = max(_MOST_DAYS[month - 1] for month in self.months)
        return self.is_either_day or min(self.days) <= longest

    def is_within(self, other: Cron) -> bool:
        """Whether the other one comes at each of its times."""
        if not (set(self.minutes) <= set(other.minutes) and set(self.hours) <= set(other.hours)):
            return False
        days = map(date.fromordinal, _CALENDAR)
        return all(other.is_on(day) for day in days if self.is_on(day))

    def _last_day(self, until: date) -> date | None:
        """The newest of its days up to one of them, looked for by months; None: none for years."""
        if not self.has_day():
            return None
        newest = until.year * 12 + until.month - 1
        for n_months in range(newest, newest - _FURTHEST_MONTHS - 1, -1):
            year, month = n_months // 12, n_months % 12 + 1
            if month not in self.months:
                continue
            last = until.day if n_months == newest else monthrange(year, month)[1]
            own = range(1, last + 1) if self.is_either_day else sorted(self.days)
            days = (date(year, month, number) for number in reversed(own) if number <= last)
            found = next((day for day in days if self.is_on(day)), None)
            if found is not None:
                return found
        return None

    def _last_of_day(self) -> time:
        return time(self.hours[-1], self.minutes[-1])

    def _last_until(self, hour: int, minute: int) -> time | None:
        """The last time of a day up to one of its minutes; None: all come later."""
        if hour in self.hours:
            past = [one for one in self.minutes if one <= minute]
            if past:
                return time(hour, past[-1])
        before = [one for one in self.hours if one < hour]
        return time(before[-1], self.minutes[-1]) if before else None


@lru_cache(maxsize=4096)
def read_cron(expression: str) -> Cron:
    """Read an expression.

    Raises:
        ValueError: It is none; the text names the field and what would be right.
    """
    parts = expression.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"{expression!r} must have five fields: minute, hour, day of the month, month, day of "
            "the week, e.g. '0 7 * * 1-5'"
        )
    read = [_values(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = read
    return Cron(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        frozenset(days),
        frozenset(months),
        frozenset((day - 1) % 7 for day in weekdays),
        is_either_day=not parts[2].startswith("*") and not parts[4].startswith("*"),
    )


def check_cron(expression: str) -> None:
    """Check that an expression can be read and has a day; one that was stored may have none.

    Raises:
        ValueError: It cannot, or has none; the text names it and what would be right.
    """
    if not read_cron(expression).has_day():
        _, _, days, months, _ = expression.split()
        raise ValueError(
            f"{expression!r} never comes: no month of {months!r} has a day of {days!r}; give a day "
            "that one of its months has"
        )


@lru_cache(maxsize=4096)
def check_window(start: str, end: str) -> None:
    """Check that a window between two expressions ever holds: where both come at once it is over.

    Raises:
        ValueError: It never does; the text names both and what would be right.
    """
    if read_cron(start).is_within(read_cron(end)):
        raise ValueError(
            f"start={start!r} and end={end!r}: the window never holds, it ends whenever it begins; "
            "give an end that comes later, e.g. '0 7 * * *' and '0 19 * * *'"
        )


def _values(part: str, name: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for item in part.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{name}: {item!r} must be *, a number, a range a-b, each with /step")
        span, step = match[1], int(match[2] or 1)
        if step < 1:
            raise ValueError(f"{name}: the step of {item!r} must be at least 1")
        first, _, last = span.partition("-")
        start = low if span == "*" else _number(first, name, low, high)
        end = high if span == "*" or (match[2] and not last) else start
        end = _number(last, name, low, high) if last else end
        if end < start:
            raise ValueError(f"{name}: {span!r} must not end before it starts")
        found |= set(range(start, end + 1, step))
    return found


def _number(word: str, name: str, low: int, high: int) -> int:
    names = _NAMES.get(name, [])
    if word.lower() in names:
        return names.index(word.lower()) + low
    if not word.isdigit() or not low <= int(word) <= high:
        raise ValueError(f"{name}: {word!r} must lie between {low} and {high}")
    return int(word)
