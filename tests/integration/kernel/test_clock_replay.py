"""Simulated time is shared through Redis."""

from datetime import UTC, datetime

import pytest
import redis

from services.kernel.clock import ReplayClock, SystemClock, make_clock

pytestmark = pytest.mark.integration


def test_every_process_sees_the_drivers_time(redis_url: str) -> None:
    at = datetime(2000, 1, 3, tzinfo=UTC)
    driver = ReplayClock(redis.Redis.from_url(redis_url))
    other = make_clock("replay", redis_url)
    assert other.now().year >= 2026  # before the driver has set it: the wall clock
    driver.set(at)
    assert other.now() == at
    with pytest.raises(ValueError, match="timezone-aware"):
        driver.set(at.replace(tzinfo=None))
    assert isinstance(make_clock("system", redis_url), SystemClock)
