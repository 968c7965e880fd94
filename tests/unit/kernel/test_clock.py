"""Time and randomness come from one place and repeat."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from services.kernel.clock import FixedClock, floor_step, last_complete_step, make_rng

AT = datetime(2026, 1, 5, 12, 34, 56, tzinfo=UTC)


def test_same_seed_and_keys_same_numbers() -> None:
    first = make_rng(7, "w", 3).standard_normal(4)
    assert (first == make_rng(7, "w", 3).standard_normal(4)).all()


@pytest.mark.parametrize("other", [(8, "w", 3), (7, "w", 4), (7, "w3"), (7,)])
def test_other_seed_or_keys_other_numbers(other: tuple[int, object]) -> None:
    first = make_rng(7, "w", 3).standard_normal(4)
    assert (first != make_rng(*other).standard_normal(4)).any()


@given(st.integers(0, 2**31), st.sampled_from([1, 60, 300, 600, 3600]))
def test_the_last_complete_step_has_ended(epoch: int, step_s: int) -> None:
    now = datetime.fromtimestamp(epoch, UTC)
    origin = last_complete_step(now, step_s)
    ends = origin + timedelta(seconds=step_s)
    assert ends <= now < ends + timedelta(seconds=step_s)
    assert origin.timestamp() % step_s == 0
    assert floor_step(now, step_s) == ends


def test_fixed_clock_never_runs_backwards() -> None:
    clock = FixedClock(AT.astimezone(timezone(timedelta(hours=2))))
    assert clock.now() == AT
    assert clock.now().tzinfo is UTC
    clock.advance(60)
    assert clock.now() == AT + timedelta(minutes=1)
    with pytest.raises(ValueError, match="must be >= 0"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="timezone-aware"):
        FixedClock(AT.replace(tzinfo=None))
