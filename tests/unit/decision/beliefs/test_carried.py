"""Which loads replicas have been seen to carry within the promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider import MissPrior
from services.decision.beliefs.miss_data import CARRIED, MissSteps, largest_of, summary_of
from services.decision.beliefs.miss_view import MissView
from services.decision.rows.responses import LearnedResponse
from tests.unit.decision.beliefs.test_miss_data import bound, member

SHARE = 0.05


def steps(load: Any, missed: Any = 0.0, step_s: float = 60.0) -> MissSteps:
    load = np.asarray(load, dtype=float)
    n = len(load)
    return MissSteps(
        step_s * np.arange(n), load, np.broadcast_to(missed, n).astype(float), np.full(n, 100.0)
    )


def most(found: np.ndarray[Any, Any]) -> float:
    return float(found.max(initial=0.0))


def test_the_largest_load_that_kept_the_promise() -> None:
    missed = [0, 0, 0, 20, 20, 0]
    found = steps([4, 9, 5, 12, 6, 3], missed).carried(SHARE, 60.0)
    assert most(found) == 9.0, "what missed a fifth was not carried, nor the minute before it"


def test_a_minute_is_judged_with_the_one_after_it() -> None:
    """A request is counted in the step that it ends in."""
    assert most(steps([4, 30, 5], [0, 0, 60]).carried(SHARE, 60.0)) == 4.0
    assert most(steps([4, 5, 30]).carried(SHARE, 60.0)) == 5.0, "it is not known yet"


def test_short_steps_are_averaged_over_a_minute() -> None:
    """One step of fifteen seconds is as high as chance makes it."""
    load = [4.0] * 8 + [16.0] + [4.0] * 8
    assert most(steps(load, step_s=15.0).carried(SHARE, 15.0)) == pytest.approx(7.0)
    assert most(steps([4.0] * 7, step_s=15.0).carried(SHARE, 15.0)) == 0.0


def test_long_steps_are_judged_alone() -> None:
    assert most(steps([4, 9], [0, 5], 300.0).carried(SHARE, 300.0)) == 9.0
    assert most(steps([4, 9], [0, 6], 300.0).carried(SHARE, 300.0)) == 4.0


def test_a_gap_is_no_minute() -> None:
    torn = steps([4, 30, 5, 6])
    torn = replace(torn, steps_s=np.array([0.0, 60.0, 600.0, 660.0]))
    assert most(torn.carried(SHARE, 60.0)) == 5.0


def test_without_requests_nothing_was_carried() -> None:
    idle = replace(steps([4, 5, 6]), total=np.zeros(3))
    assert idle.carried(SHARE, 60.0).size == 0
    assert MissSteps.none(2).carried(SHARE, 60.0).shape == (0, 3)


def test_of_several_loads_the_largest_of_each_is_kept() -> None:
    loads = np.array([[1, 9], [5, 2], [4, 8], [2, 2], [1, 1]], dtype=float)
    found = steps(loads).carried(SHARE, 60.0)
    assert {tuple(row) for row in found.tolist()} == {(1, 9), (5, 2), (4, 8)}


@given(st.lists(st.floats(0.1, 100.0), min_size=1, max_size=40))
def test_whoever_keeps_the_largest_keeps_it_again(load: list[float]) -> None:
    column = np.array(load)[:, None]
    assert most(largest_of(column)) == max(load)
    half = len(load) // 2
    apart = np.concatenate([largest_of(column[:half]), largest_of(column[half:])])
    assert most(largest_of(apart)) == max(load)


def view(stored: MissSteps | None, since: MissSteps) -> MissView:
    one = member(sla={"epsilon": 0.05, "objective": OBJECTIVE, "kind": "DemandFraction"})
    row: Any = None
    if stored is not None:
        row = {"summary": summary_of(MissPrior.stated(10.0, 0.0, 0.05).draws(64), one, stored)}
    return MissView(one, row, since)


OBJECTIVE = {"goals": [{"metric": "ttft", "threshold_s": 0.5}], "share": 0.95}


def test_what_was_carried_outlives_the_steps_that_were_learned_from() -> None:
    assert most(view(None, steps([4, 9, 5])).carried()) == 9.0
    assert most(view(steps([4, 9, 5]), steps([3, 3])).carried()) == 9.0
    assert most(view(steps([4, 9, 5]), steps([30, 30])).carried()) == 30.0
    assert most(view(steps([4, 9, 5]), MissSteps.none()).carried()) == 9.0


def test_a_summary_of_an_earlier_release_says_nothing_of_it() -> None:
    one = view(steps([4, 9, 5]), steps([3, 3]))
    assert one.stored is not None
    del one.stored["summary"][CARRIED]
    assert most(one.carried()) == 3.0


def response(loads: Any, n_further: int = 0) -> LearnedResponse:
    owner = bound("tokens") if n_further else member()
    draws = MissPrior.stated(10.0, 0.0, 0.05, (200.0,) * n_further).draws(64)
    made = LearnedResponse.of(draws, owner.spec, 100.0)
    return replace(made, carried=np.asarray(loads, dtype=float))


def test_a_decision_is_told_the_largest_demand() -> None:
    assert response([[4.0], [9.0]]).carried_demand(member().spec) == 9.0
    assert response(np.zeros((0, 1))).carried_demand(member().spec) is None


def test_further_loads_count_as_the_demand_that_they_are_worth() -> None:
    """As the history counts them, or one would be held against the other."""
    told = response([[1.0, 100.0]], 1).carried_demand(bound("tokens").spec)
    assert told is not None
    assert told > 4.0, "half of the tokens that a replica carries are half of its demand"


def test_a_pool_is_told_nothing() -> None:
    """Whose misses a step has is not known well enough (decision record 0125)."""
    whole = response([[1.0, 100.0], [3.0, 50.0]], 1)
    assert whole.to_pool([1], member().spec).carried_demand(member().spec) is None
