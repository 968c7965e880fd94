"""What was counted, when it is looked at, and a posterior at its mean."""

from __future__ import annotations

import numpy as np
import pytest

from decider import MissDraws, MissPrior
from services.lab.bench.loads.evidence import LoadSteps, at_mean, equivalent_past, is_due


def test_steps_that_are_too_old_are_forgotten_but_counted() -> None:
    steps = LoadSteps.none(2).with_step(0.0, np.array([1.0, 2.0]), 2.0, 100.0)
    later = steps.with_step(86_400.0, np.array([1.1, 2.1]), 0.0, 100.0)
    assert later.load.tolist() == [[1.0, 2.0], [1.1, 2.1]]
    last = later.with_step(2 * 86_400.0 + 1.0, np.array([1.2, 2.2]), 5.0, 100.0)
    assert last.load.tolist() == [[1.1, 2.1], [1.2, 2.2]]
    assert last.n_seen == 3


@pytest.mark.parametrize("further", [(), (7.0, 300.0)])
def test_a_posterior_at_its_mean_is_one_draw_in_the_middle(further: tuple[float, ...]) -> None:
    prior = MissPrior.stated(3.0, 0.0, 0.05, further)
    mean = at_mean(prior.draws(400), np.array([3.0, *further]))
    middle: MissDraws = prior.at(np.zeros((1, prior.mean.size)))
    assert mean.capacity.shape == (1,)
    assert mean.to_array() == pytest.approx(middle.to_array(), rel=0.05)
    assert at_mean(mean, np.array([3.0, *further])).to_array() == pytest.approx(mean.to_array())


def test_looks_are_many_at_first_then_in_turn() -> None:
    assert [n for n in range(17) if is_due(n, 0, 24)] == [1, 2, 4, 8, 16]
    later = [[n for n in range(17, 100) if is_due(n, w, 24)] for w in (0, 1)]
    assert later == [[24, 48, 72, 96], [23, 47, 71, 95]]


def test_past_loads_become_one_demand_and_what_is_unknown_stays_so() -> None:
    response = MissDraws.from_array(np.array([[2.0, 10.0, 0.0, 50.0, 1.0, 100.0]]))
    past = np.array([[1.0, 50.0], [np.nan, np.nan], [2.0, 0.0]])
    assert equivalent_past(response, past) == pytest.approx([2.0, np.nan, 2.0], nan_ok=True)
