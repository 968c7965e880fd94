"""Token buckets and addresses, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from services.kernel.security.limits import Limit, take_token

LIMIT = Limit("x", rate_per_s=2.0, burst=5, message="slow down")


def test_a_full_bucket_then_one_each_half_second() -> None:
    bucket, waits = None, []
    for _ in range(7):
        bucket, wait_s = take_token(bucket, LIMIT, 100.0)
        waits.append(wait_s)
    assert waits == [0, 0, 0, 0, 0, 0.5, 0.5]
    bucket, wait_s = take_token(bucket, LIMIT, 100.4)
    assert wait_s == pytest.approx(0.1)
    bucket, wait_s = take_token(bucket, LIMIT, 100.5)
    assert wait_s == 0
    bucket, wait_s = take_token(bucket, LIMIT, 1000.0, cost=5)
    assert wait_s == 0
    bucket, _ = take_token(bucket, LIMIT, 1000.0, cost=-9)  # never more than full
    assert bucket == (5, 1000.0)


times = st.lists(st.floats(0, 10, allow_nan=False), min_size=1, max_size=60)


@given(times, st.floats(0.1, 20), st.integers(1, 10))
def test_no_more_pass_than_the_limit_says(gaps: list[float], rate: float, burst: int) -> None:
    limit = Limit("x", rate, burst, "")
    now_s, n_passed, bucket = 0.0, 0, None
    for gap_s in gaps:
        now_s += gap_s
        before = bucket
        bucket, wait_s = take_token(bucket, limit, now_s)
        n_passed += wait_s == 0
        if wait_s > 0:  # who waits as long as it is told passes
            assert take_token(before, limit, now_s + wait_s + 1e-6)[1] == 0
    assert n_passed <= burst + rate * (now_s - gaps[0]) + 1e-6


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket, _ = take_token(None, LIMIT, 100.0, cost=5)
    assert take_token(bucket, LIMIT, 50.0)[1] == 0.5
