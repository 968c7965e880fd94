"""Recurring windows of a workload: what holds at a moment, in the schedule's own time zone.

A window has days with a time of begin and end, or lies between two cron expressions. It is read off
the wall clock of its zone. On the night when clocks go back, a window that contains the repeated
hour lasts an hour longer; on the night when they go forward, what would lie in the skipped hour
does not happen.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.kernel.domain.cron import read_cron
from services.kernel.domain.workload import ScheduleSpec, WorkloadSpec

_LAST_MINUTE = "23:59"


def is_in_force(schedule: ScheduleSpec, now: datetime) -> bool:
    """Check whether a window holds `now`; one that ends before it starts runs past midnight.

    One that ends at 23:59 ends with the day: there is no other way to write that.

    Args:
        schedule: The window.
        now: Aware.
    """
    try:
        local = now.astimezone(ZoneInfo(schedule.timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    if schedule.start:
        return _is_between(schedule, local)
    clock = f"{local:%H:%M}"
    today = local.weekday() in schedule.days_of_week
    if schedule.start_time < schedule.end_time:
        is_before_end = clock < schedule.end_time or schedule.end_time == _LAST_MINUTE
        return today and schedule.start_time <= clock and is_before_end
    yesterday = (local - timedelta(days=1)).weekday() in schedule.days_of_week
    return (today and clock >= schedule.start_time) or (yesterday and clock < schedule.end_time)


def _is_between(schedule: ScheduleSpec, local: datetime) -> bool:
    """Whether the window began after it last ended; where both are at once it is over."""
    clock = local.replace(tzinfo=None, second=0, microsecond=0)
    try:
        began, ended = (read_cron(one).last_before(clock) for one in (schedule.start, schedule.end))
    except ValueError:
        return False
    return began is not None and (ended is None or began > ended)


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
