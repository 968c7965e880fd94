"""Steps to learn from: counts made whole, queues left out, loads chosen across."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider.belief.miss_steps import (
    MAX_STEPS,
    behind_a_queue,
    queue_steps,
    steps_across_loads,
    whole_counts,
)
from decider.errors import InvalidRequest

NAN = float("nan")
WAITING = st.floats(0, 1e6) | st.just(NAN)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_any_counts_come_out_whole(missed: float, total: float) -> None:
    one = np.ones(1)
    whole, all_of = whole_counts(one, one * missed, one * total)
    assert whole[0] == round(missed)
    assert all_of[0] >= whole[0]


def test_steps_are_chosen_across_loads_and_newest_first() -> None:
    rng = np.random.default_rng(0)
    load = np.concatenate([rng.uniform(1.0, 2.0, 5000), [9.0, 10.0], rng.uniform(1.0, 2.0, 5000)])
    chosen = steps_across_loads(load)
    assert chosen.size == MAX_STEPS
    assert (np.diff(chosen) > 0).all()
    assert {5000, 5001} <= set(chosen)
    assert np.median(chosen) > 9500
    assert list(steps_across_loads(load[:50])) == list(range(50))
    assert steps_across_loads(np.full(1000, 3.0)).tolist() == list(range(1000 - MAX_STEPS, 1000))


@pytest.mark.parametrize(("step_s", "n"), [(1.0, 61), (15.0, 5), (45.0, 2), (60.0, 2), (300.0, 1)])
def test_a_minute_before_the_last_step_is_looked_at(step_s: float, n: int) -> None:
    assert queue_steps(step_s) == n


@pytest.mark.parametrize("step_s", [0.0, -15.0, NAN, float("inf")])
def test_no_step_has_such_a_length(step_s: float) -> None:
    with pytest.raises(InvalidRequest, match="step_s"):
        queue_steps(step_s)


@pytest.mark.parametrize(
    ("own", "before", "is_left_out"),
    [
        (0.0, [0.0, 0.0], False),
        (20.0, [30.0, 10.0], True),
        (40.0, [30.0, 10.0], False),
        (25.0, [25.0, 0.0], False),
        (26.0, [26.0, 0.0], True),
        (0.0, [0.0, 60.0], True),
        (90.0, [0.0, 60.0], False),
        (NAN, [30.0, 10.0], True),
        (30.0, [NAN, 90.0], True),
        (NAN, [NAN, NAN], False),
        (0.0, [NAN, 5.0], False),
    ],
)
def test_what_waited_before_speaks_for_itself_while_it_does_not_grow(
    own: float, before: list[float], is_left_out: bool
) -> None:
    """Of 100 requests."""
    found = behind_a_queue(np.array([100.0]), np.array([[own, *before]]))
    assert found.tolist() == [is_left_out]


@given(
    st.lists(st.tuples(st.floats(1, 1e6), WAITING, WAITING, WAITING), min_size=1),
    st.floats(0.1, 10.0),
)
def test_steps_are_judged_each_alone_and_by_no_unit(
    steps: list[tuple[float, float, float, float]], unit: float
) -> None:
    total, waiting = np.array([s[0] for s in steps]), np.array([s[1:] for s in steps])
    found = behind_a_queue(total, waiting)
    one_by_one = [
        behind_a_queue(total[i : i + 1], waiting[i : i + 1])[0] for i in range(len(steps))
    ]
    assert found.tolist() == one_by_one
    doubled = 2.0 ** round(unit)  # exact, so that no comparison is rounded
    assert found.tolist() == behind_a_queue(doubled * total, doubled * waiting).tolist()


@pytest.mark.parametrize("shape", [(2,), (2, 1), (3, 2)])
def test_what_waited_must_be_of_the_steps(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest, match="waiting"):
        behind_a_queue(np.ones(2), np.zeros(shape))
