"""Time passes, jumps over what is idle, and stands still at its limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.lab.bench.fleet.replay_time import ReplayTime

START = datetime(2026, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Told:
    def __init__(self) -> None:
        self.at = START

    def set(self, at: datetime) -> None:
        self.at = at


class Wall:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def test_it_passes_with_the_wall_and_at_a_speed() -> None:
    told, wall = Told(), Wall()
    time = ReplayTime(told, START, wall)
    wall.s += 30
    assert time.now() == START + MINUTE / 2
    time.pace(4.0, None)
    wall.s += 15
    assert time.now() == START + 1.5 * MINUTE
    time.tell()
    assert told.at == time.now()


def test_a_jump_is_told_at_once_and_never_goes_back() -> None:
    told, wall = Told(), Wall()
    time = ReplayTime(told, START, wall)
    time.jump(START + MINUTE)
    assert told.at == time.now() == START + MINUTE
    time.jump(START)
    assert time.now() == START + MINUTE


def test_at_its_limit_it_stands_still_and_what_is_late_is_known() -> None:
    told, wall = Told(), Wall()
    time = ReplayTime(told, START, wall)
    time.pace(1.0, START + MINUTE)
    wall.s += 90
    assert (time.now(), time.passed()) == (START + MINUTE, START + 1.5 * MINUTE)
    time.pace(1.0, START + 2 * MINUTE)
    assert time.passed() == START + MINUTE


def test_the_clock_is_told_from_a_thread_until_it_is_closed() -> None:
    told, wall = Told(), Wall()
    time = ReplayTime(told, START, wall)
    wall.s += 60
    time.run()
    assert told.at == START + MINUTE
    time.close()
    wall.s += 60
    assert told.at == START + MINUTE
