"""A request is good when it meets both goals; one that was never served missed both."""

from __future__ import annotations

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals, missed_goals
from services.lab.arena.requests import ServedRequests

NEVER = float("nan")


def test_each_goal_is_judged_and_either_counts() -> None:
    ttft = np.array([2000.0, 2000.1, 100.0, NEVER, 100.0])
    tpot = np.array([100.0, 50.0, 100.1, NEVER, NEVER])
    found = missed_goals(ServedRequests(ttft, tpot, ttft), RequestGoals(2000, 100))
    assert found.ttft.tolist() == [False, True, False, True, False]
    assert found.tpot.tolist() == [False, False, True, True, False]
    assert found.either.tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_goal_that_nothing_meets_is_refused(value: float) -> None:
    with pytest.raises(InvalidInput, match=r"ttft_ms=.* must be > 0"):
        RequestGoals(value, 100)
