"""The belief about interruptions: conjugate, and within what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider import InterruptionBelief, learn_interruptions
from decider.belief.interruptions import PRIOR_INTERRUPTIONS, PRIOR_NODE_HOURS
from decider.errors import InvalidRequest

counts, hours = st.floats(0, 500), st.floats(0, 1e5)


def test_before_anything_was_seen_the_prior_holds() -> None:
    belief = learn_interruptions(0, 0.0)
    assert belief == InterruptionBelief(PRIOR_INTERRUPTIONS, PRIOR_NODE_HOURS)
    assert belief.draws(4096).mean() == pytest.approx(0.05, rel=0.01)


@given(one=counts, other=counts, early=hours, late=hours)
def test_it_does_not_matter_in_which_parts_it_was_seen(
    one: float, other: float, early: float, late: float
) -> None:
    whole = learn_interruptions(one + other, early + late)
    first = learn_interruptions(one, early)
    assert whole.interruptions == pytest.approx(first.interruptions + other)
    assert whole.node_hours == pytest.approx(first.node_hours + late)


@given(n=counts, more=st.floats(0, 100), seen=hours)
def test_more_interruptions_raise_every_draw(n: float, more: float, seen: float) -> None:
    few, many = (learn_interruptions(each, seen).draws(64) for each in (n, n + more))
    assert np.all(np.diff(few) >= 0)
    assert np.all(many >= few * (1 - 1e-9))


@given(n=counts, seen=hours)
def test_draws_have_the_mean_of_the_law(n: float, seen: float) -> None:
    belief = learn_interruptions(n, seen)
    assert belief.draws(4096).mean() == pytest.approx(
        belief.interruptions / belief.node_hours, rel=0.01
    )


def test_much_that_was_seen_counts_more_than_the_prior() -> None:
    assert learn_interruptions(50, 1000.0).draws(4096).mean() == pytest.approx(0.05, rel=0.05)


def test_no_interruptions_for_certain_are_none() -> None:
    assert not InterruptionBelief(0.0, 10.0).draws(8).any()


@pytest.mark.parametrize(("n", "seen"), [(-1.0, 1.0), (np.inf, 1.0), (1.0, 0.0), (1.0, np.nan)])
def test_impossible_beliefs_are_refused(n: float, seen: float) -> None:
    with pytest.raises(InvalidRequest):
        InterruptionBelief(n, seen)


def test_hours_that_are_negative_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="node_hours=-1"):
        learn_interruptions(0, -1.0)
