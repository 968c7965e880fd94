"""A posterior at its mean is one draw, in the middle of the draws."""

from __future__ import annotations

import numpy as np
import pytest

from decider import MissDraws
from services.lab.bench.loads.posterior import at_mean


def draws(n: int = 200, *, n_further: int) -> MissDraws:
    rng = np.random.default_rng(1)
    columns = [np.exp(0.2 * rng.normal(size=n)) for _ in range(2)]
    own = [3.0 * columns[0], 12.0 * columns[1], np.full(n, 0.002), np.full(n, 100.0)]
    if n_further == 0:
        return MissDraws.from_array(np.stack(own, axis=1))
    sharing = 1.0 + np.exp(rng.normal(size=n))
    further = 7.0 * np.exp(0.2 * rng.normal(size=(n, n_further)))
    return MissDraws.from_array(np.column_stack([*own, sharing, further]))


@pytest.mark.parametrize("n_further", [0, 2])
def test_it_is_one_draw_in_the_middle(n_further: int) -> None:
    whole = draws(n_further=n_further)
    mean = at_mean(whole, 0.05)
    assert mean.capacity.shape == (1,)
    assert mean.n_further == n_further
    middle = np.median(whole.to_array(), axis=0)
    assert mean.to_array()[0] == pytest.approx(middle, rel=0.15)


def test_the_knee_is_averaged_not_the_capacity() -> None:
    whole = draws(n_further=0)
    knee = np.log(whole.load_within(0.05)).mean()
    assert np.log(at_mean(whole, 0.05).load_within(0.05))[0] == pytest.approx(knee)


@pytest.mark.parametrize("n_further", [0, 2])
def test_one_draw_is_its_own_mean(n_further: int) -> None:
    one = draws(1, n_further=n_further)
    assert at_mean(one, 0.05).to_array() == pytest.approx(one.to_array())


def test_sharing_of_one_stays_one() -> None:
    one = MissDraws.from_array(np.array([[1.0, 10.0, 0.0, 50.0, 1.0, 2.0]]))
    assert at_mean(one, 0.05).sharing == pytest.approx([1.0], abs=1e-5)
