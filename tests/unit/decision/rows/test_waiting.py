"""What the requests that wait are of the demand, and when that is not known."""

from __future__ import annotations

import numpy as np
import pytest

from decider import History, SliSteps
from services.decision.rows.waiting import RequestQueue, queue_of

STEP_S = 60.0
STARTS_S = 6000.0 + STEP_S * np.arange(5)
UNTIL_S = 6000.0 + STEP_S * 5
NAN = float("nan")


def measured(requests: list[float], silent: tuple[int, ...] = ()) -> SliSteps:
    zero = np.zeros(len(requests))
    is_silent = np.isin(np.arange(len(requests)), silent)
    return SliSteps(np.array(requests), zero, zero, is_silent)


def queue(
    waiting: list[float], requests: list[float], silent: tuple[int, ...] = ()
) -> RequestQueue | None:
    return queue_of(np.array(waiting), measured(requests, silent), STARTS_S)


def load(found: RequestQueue | None, demand: list[float], until_s: float = UNTIL_S) -> float | None:
    assert found is not None
    return found.load(History(np.array(demand), until_s), STEP_S)


def test_a_request_is_as_much_demand_as_those_of_usual_steps() -> None:
    """Whatever the unit: 3000 requests a step are 50 requests, or 15,000 tokens, a second."""
    found = queue([0.0, 0.0, 0.0, 0.0, 300.0], [3000.0] * 5)
    assert load(found, [50.0] * 7) == pytest.approx(5.0)
    assert load(found, [15000.0] * 7) == pytest.approx(1500.0)


def test_steps_that_could_not_be_served_do_not_make_a_request_larger() -> None:
    found = queue([0.0, 0.0, 0.0, 600.0, 900.0], [3000.0, 3000.0, 3000.0, 300.0, 900.0], (4,))
    assert load(found, [50.0] * 5) == pytest.approx(15.0)


def test_steps_are_matched_by_their_start() -> None:
    found = queue([1.0] * 5, [NAN, NAN, NAN, NAN, 1000.0])
    assert load(found, [1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(0.005)
    assert load(found, [4.0, 5.0, 6.0], UNTIL_S + STEP_S) == pytest.approx(0.005)
    assert load(found, [4.0, 5.0], UNTIL_S - STEP_S) is None


@pytest.mark.parametrize(
    ("waiting", "is_there"),
    [
        ([5.0, 5.0, 5.0, 5.0, 0.0], True),
        ([5.0, 5.0, NAN, NAN, NAN], False),
        ([NAN] * 5, False),
        ([0.0, 0.0, 7.0, NAN, NAN], True),
        ([0.0, 0.0, 0.0, 0.0, -1.0], False),
    ],
)
def test_a_queue_is_known_if_a_newest_step_says_so(waiting: list[float], is_there: bool) -> None:
    assert (queue(waiting, [100.0] * 5) is not None) == is_there


@pytest.mark.parametrize(
    ("requests", "demand"),
    [([NAN] * 5, [50.0] * 5), ([0.0] * 5, [50.0] * 5), ([9.0] * 5, [NAN] * 5), ([9.0] * 5, [])],
)
def test_where_no_step_tells_what_a_request_is_nothing_is_said(
    requests: list[float], demand: list[float]
) -> None:
    assert load(queue([3.0] * 5, requests), demand) is None
    assert load(queue([0.0] * 5, requests), demand) == 0.0
