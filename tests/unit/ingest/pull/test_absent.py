"""Steps that a source has nothing of, and the time from which that means zero."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from services.ingest.pull.absent import SeriesQuery, absent_steps, zeros_between
from services.ingest.pull.queries import to_range_query
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.known_series import SeriesRef
from services.ingest.series.samples import SECOND_US, make_samples, to_us

T0 = datetime(2026, 1, 5, tzinfo=UTC)
STEP_US = 60 * SECOND_US
QUERY = "sum(rate(requests_total[$step]))"
ZERO = IndicatorRef("load_rps", False, False, QUERY, is_absent_zero=True)
UNKNOWN = IndicatorRef("other_rps", False, False, QUERY)
WORKLOAD = WorkloadRef(1, "shop", "llama", 0, 60, {"load_rps": ZERO, "other_rps": UNKNOWN})


def at(*minutes: int) -> list[int]:
    return [to_us(T0) + minute * STEP_US for minute in minutes]


@pytest.mark.parametrize(
    ("known", "since", "absent"),
    [
        ((0, 1, 2, 3, 4), -10, ()),
        ((), -10, (0, 1, 2, 3, 4)),
        ((0, 3), -10, (1, 2, 4)),
        ((2,), 2, (3, 4)),
    ],
)
def test_each_step_of_the_query_without_a_value_is_absent(
    known: tuple[int, ...], since: int, absent: tuple[int, ...]
) -> None:
    query = to_range_query(ZERO, T0, T0 + timedelta(minutes=5), 60)
    assert absent_steps(query, at(*known), at(since)[0]) == at(*absent)


def test_a_history_begins_with_its_first_value() -> None:
    query = to_range_query(ZERO, T0, T0 + timedelta(minutes=6), 60)
    asked = [
        SeriesQuery(number, SeriesRef(WORKLOAD, ref), query)
        for number, ref in enumerate((ZERO, UNKNOWN))
    ]
    found = make_samples([0, 0, 1], at(2, 4, 2), [1.0, 2.0, 3.0])
    zeros = zeros_between(asked, found)
    assert zeros.at_us.tolist() == at(3, 5)
    assert zeros.series.tolist() == [0, 0]  # never of the indicator that does not say so
    assert np.all(zeros.value == 0.0)
    nothing = make_samples([], [], [])
    assert len(zeros_between(asked, nothing)) == 0
