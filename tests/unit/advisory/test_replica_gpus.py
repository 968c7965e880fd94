"""GPUs of a replica in each step: by the spec, by what a step was priced at, by its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.advisory.replica_gpus import ReplicaGpus, Span

NAN = np.nan
STEP = timedelta(minutes=5)
START = datetime(2026, 1, 6, 10, tzinfo=UTC)
LATER = START + timedelta(days=1)


def at(step: float) -> datetime:
    return START + step * STEP


def of_steps(
    gpus: Sequence[float],
    ready: Sequence[float],
    bound: Sequence[float] | None = None,
    *,
    now: int = 2,
    since: datetime = LATER,
    starting: Sequence[Span] = (),
) -> list[float]:
    """What is told of steps in which replicas had so many GPUs."""
    held = np.array(ready if bound is None else bound) * np.array(gpus) * (STEP.seconds / 3600)
    given = ReplicaGpus(now, since, starting)
    return given.of_steps(START.timestamp(), STEP.total_seconds(), np.array(ready), held).tolist()


def test_the_spec_says_it_since_it_was_changed() -> None:
    # nothing else does: nothing was ready, not even known to be
    assert of_steps([2.0] * 3, [0.0, NAN, 0.0], since=START) == [2.0] * 3
    # the step in which it was changed was priced at its end
    found = of_steps([2.0] * 3, [0.0] * 3, since=at(1.5))
    np.testing.assert_array_equal(found, [NAN, 2.0, 2.0])


def test_before_it_what_a_step_was_priced_at_tells_it() -> None:
    assert of_steps([4.0, 4.0, 2.0, 2.0], [3.0, 2.5, 7.0, 7.0]) == [4.0, 4.0, 2.0, 2.0]


def test_a_step_with_starts_under_way_has_what_its_neighbours_agree_on() -> None:
    # one more started through two steps: of one ready replica each would look like two of its GPUs
    starting = [(at(1.2), at(1.8)), (at(1.8), at(2.5))]
    found = of_steps([2.0] * 4, [1.0] * 4, [1.0, 2.0, 2.0, 1.0], starting=starting)
    assert found == [2.0] * 4
    changed = of_steps([4.0, 4.0, 2.0, 2.0], [1.0] * 4, [1.0, 2.0, 2.0, 1.0], starting=starting)
    np.testing.assert_array_equal(changed, [4.0, NAN, NAN, 2.0])


def test_what_no_step_tells_is_not_known() -> None:
    # not whole: replicas started of which no snapshot tells
    found = of_steps([4.0] * 3, [2.0, 2.0, 0.0], [2.3, 2.0, 0.0])
    np.testing.assert_array_equal(found, [NAN, 4.0, NAN])
    np.testing.assert_array_equal(of_steps([4.0] * 2, [NAN, 0.0]), [NAN, NAN])
    assert of_steps([2.0] * 2, [1.0, 0.0]) == [2.0, 2.0], "and since: the spec agrees"


def test_what_started_outside_the_window_matters_as_far_as_it_reaches_into_it() -> None:
    starting = [(at(-3), at(0.5)), (at(2), at(9))]
    found = of_steps([1.0] * 3, [1.0] * 3, [2.0, 1.0, 2.0], now=1, starting=starting)
    np.testing.assert_array_equal(found, [NAN, 1.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(1, 50)), min_size=1, max_size=6),
    st.data(),
)
def test_what_is_told_is_true(runs: list[tuple[int, int]], data: st.DataObject) -> None:
    gpus = [float(n) for n, length in runs for _ in range(length)]
    ready = data.draw(st.lists(st.floats(0.1, 400.0), min_size=len(gpus), max_size=len(gpus)))
    found = of_steps(gpus, ready, now=runs[-1][0])
    assert found == pytest.approx(gpus)
