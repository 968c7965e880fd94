"""What is refused, and why."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.ingest.series.samples import (
    ANCIENT,
    FUTURE,
    IMPLAUSIBLE,
    NEGATIVE,
    NOT_FINITE,
    OUT_OF_RANGE,
    Bounds,
    Rejections,
    allows_negative,
    from_us,
    make_samples,
    screen,
    show_us,
    sort_unique,
    to_us,
)

BOUNDS = Bounds(
    np.array([100, 100]), np.array([200, 300]), np.array([False, True]), np.array([2e18, 5.0])
)
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize(
    ("series", "at_us", "value", "reason"),
    [
        (0, 150, float("nan"), NOT_FINITE),
        (0, 150, float("-inf"), NOT_FINITE),
        (0, 150, 9.223372036854776e18, OUT_OF_RANGE),
        (0, 150, -0.5, NEGATIVE),
        (0, 150, 2.5e18, IMPLAUSIBLE),
        (1, 150, 5.5, IMPLAUSIBLE),
        (0, 201, 1.0, FUTURE),
        (0, 99, 1.0, ANCIENT),
        (0, 99, float("nan"), NOT_FINITE),
    ],
)
def test_each_reason(series: int, at_us: int, value: float, reason: str) -> None:
    accepted, refused = screen(make_samples([series], [at_us], [value]), BOUNDS)
    assert len(accepted) == 0
    assert {key: found.tolist() for key, found in refused.items()} == {reason: [0]}


@pytest.mark.parametrize(
    ("series", "at_us", "value"),
    [(0, 100, 0.0), (0, 200, 1e18), (1, 300, 1.0), (1, 150, -4.0), (1, 150, 5.0), (0, 150, -0.0)],
)
def test_what_is_usable(series: int, at_us: int, value: float) -> None:
    accepted, refused = screen(make_samples([series], [at_us], [value]), BOUNDS)
    assert (len(accepted), refused) == (1, {})


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 300), ANY_FLOAT)))
def test_every_sample_is_accepted_or_refused_once(rows: list[tuple[int, int, float]]) -> None:
    columns = list(zip(*rows, strict=True)) or [[], [], []]
    accepted, refused = screen(make_samples(*columns), BOUNDS)
    assert len(accepted) + sum(map(len, refused.values())) == len(rows)
    assert np.isfinite(accepted.value).all()
    assert (accepted.value[accepted.series == 0] >= 0).all()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.floats(0, 9))))
def test_the_last_of_equal_keys_stays(rows: list[tuple[int, int, float]]) -> None:
    columns = list(zip(*rows, strict=True)) or [[], [], []]
    found = sort_unique(make_samples(*columns))
    keys = list(zip(found.series.tolist(), found.at_us.tolist(), strict=True))
    assert dict(zip(keys, found.value.tolist(), strict=True)) == {
        (series, at_us): value for series, at_us, value in rows
    }
    assert keys == sorted(keys)


@given(st.datetimes())
def test_microseconds_are_exact(naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC)
    assert from_us(to_us(at)) == at


def test_any_time_can_be_shown() -> None:
    assert show_us(10**18) == "1e+12 s after the epoch"
    assert show_us(0) == "1970-01-01T00:00:00+00:00"


def test_only_named_units_may_be_negative() -> None:
    assert allows_negative("Celsius")
    assert not allows_negative("requests/s")
    assert not allows_negative("")


def test_rejections_keep_the_first_example() -> None:
    rejections = Rejections()
    rejections.add(FUTURE, 2, "first")
    rejections.add(FUTURE, 3, "second")
    rejections.add(NEGATIVE, 0, "none")
    (only,) = rejections.as_tuple()
    assert (only.reason, only.count, only.example) == (FUTURE, 5, "first")
    assert rejections.n_rejected == 5
