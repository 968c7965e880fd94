"""Recurring windows of a workload: what holds at a moment, in the schedule's own time zone.

A window has days with a time of begin and end, or lies between two cron expressions. It is read off
the wall clock of its zone. On the night when clocks go back, it begins and ends when the hour is
there first, so one that contains that hour lasts an hour longer. On the night when they go forward,
a begin or end in the skipped hour is where that hour was, and a window that lies in it as a whole
comes as long after it. One that begins each hour does so in whatever hours there are.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.kernel.domain.cron import read_cron
from services.kernel.domain.wall_clock import Skip, shown_once, skipped
from services.kernel.domain.workload import ScheduleSpec, WorkloadSpec

_LAST_MINUTE = "23:59"
_MINUTE = timedelta(minutes=1)
_WEEK_AND_A_DAY = 9
"""Days, today among them, of which one ends a window unless it holds on all of them."""
_CHANGE_MINUTES = 181
"""By which a clock is put forward or back at most."""
_FURTHEST_MINUTES = 8 * 366 * 24 * 60
"""As far as a cron expression is looked for."""


def is_in_force(schedule: ScheduleSpec, now: datetime) -> bool:
    """Check whether a window holds `now`; one that ends before it starts runs past midnight.

    One that ends at 23:59 ends with the day: there is no other way to write that.

    Args:
        schedule: The window.
        now: Aware.
    """
    try:
        return _holds(schedule, _clock(schedule, now.astimezone(ZoneInfo(schedule.timezone))))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _clock(schedule: ScheduleSpec, local: datetime) -> datetime:
    """The wall clock that a window is read off, naive, by the minute.

    Raises:
        ValueError: A cron expression cannot be read.
    """
    if schedule.start and read_cron(schedule.start).is_hourly:
        return local.replace(tzinfo=None, fold=0, second=0, microsecond=0)
    skip = skipped(local)
    if skip is not None and _is_skipped(schedule, skip):
        return skip.clock
    return shown_once(local)


def _is_skipped(schedule: ScheduleSpec, skip: Skip) -> bool:
    """Whether a window that would hold by the clock before began and ended while it was skipped."""
    outside = (skip.first - _MINUTE, skip.after)
    return _holds(schedule, skip.clock) and not any(_holds(schedule, one) for one in outside)


def _holds(schedule: ScheduleSpec, at: datetime) -> bool:
    """Whether the window holds while the clock shows `at`.

    Raises:
        ValueError: A cron expression cannot be read.
    """
    if schedule.start:
        return _is_between(schedule, at)
    clock = f"{at:%H:%M}"
    today = at.weekday() in schedule.days_of_week
    if schedule.start_time < schedule.end_time:
        is_before_end = clock < schedule.end_time or schedule.end_time == _LAST_MINUTE
        return today and schedule.start_time <= clock and is_before_end
    yesterday = (at - timedelta(days=1)).weekday() in schedule.days_of_week
    return (today and clock >= schedule.start_time) or (yesterday and clock < schedule.end_time)


def _is_between(schedule: ScheduleSpec, clock: datetime) -> bool:
    """Whether the window began after it last ended; where both are at once it is over."""
    began, ended = (read_cron(one).last_before(clock) for one in (schedule.start, schedule.end))
    return began is not None and (ended is None or began > ended)


def end_of(schedule: ScheduleSpec, now: datetime) -> datetime | None:
    """When a window that holds `now` is over, in UTC; None: it has no end that can be told.

    Args:
        schedule: The window.
        now: Aware.
    """
    try:
        local = now.astimezone(ZoneInfo(schedule.timezone))
        clock = _clock(schedule, local)
        end = _cron_end(schedule.end, clock) if schedule.start else _day_end(schedule, clock)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    if end is None:
        return None
    at = min(end.replace(tzinfo=local.tzinfo, fold=fold).astimezone(UTC) for fold in (0, 1))
    at = max(at, now.astimezone(UTC).replace(second=0, microsecond=0))
    # a wall clock shows some minutes twice, and some never
    later = (at + n * _MINUTE for n in range(_CHANGE_MINUTES))
    return next((one for one in later if not is_in_force(schedule, one)), None)


def _day_end(schedule: ScheduleSpec, clock: datetime) -> datetime | None:
    """The first end on the wall clock after `clock` at which the window is over."""
    is_whole_day = schedule.start_time < schedule.end_time == _LAST_MINUTE
    end = time(0, 0) if is_whole_day else time.fromisoformat(schedule.end_time)
    for n_days in range(_WEEK_AND_A_DAY):
        at = datetime.combine(clock.date() + timedelta(days=n_days), end)
        if at > clock and not _holds(schedule, at):
            return at
    return None


def _cron_end(expression: str, clock: datetime) -> datetime | None:
    """The first time of an expression after `clock`: how far it is never falls with the time."""
    cron = read_cron(expression)

    def is_past(n_minutes: int) -> bool:
        found = cron.last_before(clock + n_minutes * _MINUTE)
        return found is not None and found > clock

    far = 60
    while far < _FURTHEST_MINUTES and not is_past(far):
        far *= 2
    if not is_past(far):
        return None
    near = bisect_left(range(far), True, key=is_past)
    return clock + near * _MINUTE


def is_paused_at(*, paused: bool, until: str | None, now: datetime) -> bool:
    """True where nothing may be applied at `now`; a pause whose end cannot be read has no end.

    Args:
        paused: There is a pause.
        until: Its end, RFC 3339, which makes one too; None or empty: it has none.
        now: Aware.
    """
    if not until:
        return paused
    try:
        end = datetime.fromisoformat(until)
    except ValueError:
        return True
    return end.tzinfo is None or now < end


def bounds_at(spec: WorkloadSpec, now: datetime) -> tuple[int, int]:
    """Replicas allowed `now`: the strictest window wins, none leaves the workload's own bounds."""
    active = [schedule for schedule in spec.schedules if is_in_force(schedule, now)]
    lows = [s.min_replicas for s in active if s.min_replicas is not None]
    highs = [s.max_replicas for s in active if s.max_replicas is not None]
    low = _clamped(max(lows), spec) if lows else spec.min_replicas
    high = _clamped(min(highs), spec) if highs else spec.max_replicas
    return min(low, high), high


def _clamped(count: int, spec: WorkloadSpec) -> int:
    return min(max(count, spec.min_replicas), spec.max_replicas)


def freeze_at(spec: WorkloadSpec, now: datetime) -> tuple[Literal["ScaleDown", "Both"], str] | None:
    """Freeze in force `now` and the name of its schedule; None: there is none."""
    found = [s for s in spec.schedules if s.freeze is not None and is_in_force(s, now)]
    for schedule in sorted(found, key=lambda s: s.freeze != "Both"):
        assert schedule.freeze is not None, "only those that freeze are found"
        return schedule.freeze, schedule.name
    return None
