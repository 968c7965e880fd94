"""Memory of policies: columns not seen yet, records that are young enough."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.history import (
    NEVER_S,
    distinct_values,
    duration_text,
    largest_by_setting,
    nothing_recent,
    unseen_columns,
)
from tests.unit.simulator.policies.grid_views import see

NAN = float("nan")


def test_a_policy_reads_each_column_once() -> None:
    view = see([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(unseen_columns(view, NEVER_S), view.demand)
    assert unseen_columns(view, view.now_s - view.step_s).tolist() == [[3.0]]
    assert unseen_columns(view, view.now_s).shape == (1, 0)
    assert unseen_columns(view, view.now_s - 99 * view.step_s).shape == (1, 3)
    with pytest.raises(ValueError, match="which was already seen"):
        unseen_columns(view, view.now_s + view.step_s)


def test_old_records_go_and_the_newest_always_counts() -> None:
    recent = nothing_recent(1, 2)
    for at_s, values in ((0.0, (9.0, 1.0)), (60.0, (2.0, NAN)), (120.0, (3.0, NAN))):
        recent = recent.add(at_s, np.array([values]), keep_s=120.0)
    assert recent.at_s.tolist() == [60.0, 120.0]
    np.testing.assert_array_equal(recent.largest(0, 120.0), [3.0, NAN])
    np.testing.assert_array_equal(recent.largest(0, 0.0), [3.0, NAN])


def test_each_setting_has_the_largest_of_its_row_and_window() -> None:
    recent = nothing_recent(2, 1)
    for at_s, values in ((0.0, (5.0, 1.0)), (60.0, (2.0, 4.0))):
        recent = recent.add(at_s, np.array(values)[:, None], keep_s=600.0)
    rows, windows_s = np.array([0, 0, 1]), np.array([60.0, 120.0, 120.0])
    assert largest_by_setting(recent, rows, windows_s, 3).tolist() == [[2.0], [5.0], [4.0]]


def test_distinct_values_of_a_knob() -> None:
    values, which = distinct_values([3.0, 1.0, 3.0])
    assert (values.tolist(), which.tolist()) == ([1.0, 3.0], [1, 0, 1])


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90 s"), (900, "15 min"), (43_200, "12 h"), (5400, "1.5 h")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
