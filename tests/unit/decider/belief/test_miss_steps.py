"""Counts of steps: whole, and chosen across loads."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from decider.belief.miss_steps import MAX_STEPS, steps_across_loads, whole_counts


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
