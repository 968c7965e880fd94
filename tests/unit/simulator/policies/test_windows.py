"""Statistics over trailing windows, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.windows import window_max, window_mean

NAN = float("nan")


@pytest.mark.parametrize(
    ("window_s", "mean", "largest"),
    [
        (6, 3.0, 3.0),  # within the last step
        (60, 3.0, 3.0),
        (90, (30 * 5 + 60 * 3) / 90, 5.0),
        (120, 4.0, 5.0),
        (180, 9.0, 19.0),
        (9000, 9.0, 19.0),  # newer than the window
    ],
)
def test_windows_of_minutes(window_s, mean, largest):
    demand = np.array([[19.0, 5.0, 3.0]])
    assert window_mean(demand, 60.0, window_s) == pytest.approx([mean])
    assert window_max(demand, 60.0, window_s) == [largest]


def test_each_workload_has_its_own_gaps():
    demand = np.array([[9.0, NAN, 3.0], [NAN, NAN, NAN], [1.0, 2.0, NAN]])
    np.testing.assert_allclose(window_mean(demand, 60.0, 180), [6.0, NAN, 1.5])
    np.testing.assert_allclose(window_max(demand, 60.0, 180), [9.0, NAN, 2.0])


def test_no_step_yet():
    assert np.isnan(window_mean(np.zeros((2, 0)), 60.0, 60)).all()
    assert np.isnan(window_max(np.zeros((2, 0)), 60.0, 60)).all()


@given(step_s=st.sampled_from([0.1, 2.0, 7.0, 60.0]), n=st.integers(1, 30))
def test_a_window_of_whole_steps_is_their_mean(step_s, n):
    demand = np.arange(40.0)[None] ** 2
    assert window_mean(demand, step_s, n * step_s)[0] == pytest.approx(demand[0, -n:].mean())
    assert window_max(demand, step_s, n * step_s)[0] == 39.0**2
