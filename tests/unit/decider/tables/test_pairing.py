"""What scenarios are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider.tables.pairing import Spreading, paired_draws
from tests.unit.decider.shards import noisy


def test_draws_are_taken_about_equally_often() -> None:
    counts = np.bincount(paired_draws(8, 60))
    assert counts.min() >= 7
    assert counts.sum() == 60


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spreading_keeps_the_mean_of_a_step_and_a_certain_forecast(dtype: type) -> None:
    paths = np.stack([noisy(100.0), np.full((200, 6), 7.0)]).astype(dtype)
    found = Spreading(3, 0.5).scenarios(paths)
    assert found.dtype == dtype
    assert found.shape == (2, 600, 6)
    assert found.mean(axis=1) == pytest.approx(paths.mean(axis=1), rel=1e-4)
    assert found[1] == pytest.approx(7.0)
    assert found[0].std() > paths[0].std()
    assert np.array_equal(Spreading(1, 0.5).scenarios(paths), paths)
    assert np.array_equal(Spreading(2).scenarios(paths), np.repeat(paths, 2, axis=1))


@given(
    seed=st.integers(0, 999),
    spread=st.floats(0.0, 3.0),
    share_of_nothing=st.sampled_from([0.0, 0.3, 0.95]),
    n_pairs=st.integers(2, 5),
    sigma=st.floats(0.05, 1.0),
)
@settings(max_examples=80, deadline=None)
def test_what_falls_below_zero_does_not_raise_the_mean(
    seed: int, spread: float, share_of_nothing: float, n_pairs: int, sigma: float
) -> None:
    rng = np.random.default_rng(seed)
    paths = rng.lognormal(3.0, spread, (2, 100, 4))
    paths[rng.random(paths.shape) < share_of_nothing] = 0.0
    found = Spreading(n_pairs, sigma).scenarios(paths)
    assert found.min() >= 0
    np.testing.assert_allclose(found.mean(axis=1), paths.mean(axis=1), rtol=1e-9, atol=1e-12)
    alone = Spreading(n_pairs, sigma).scenarios(paths[1:])
    np.testing.assert_array_equal(found[1:], alone, "no workload depends on its company")


def test_a_step_of_which_nothing_falls_below_zero_is_as_before() -> None:
    """To the last bit, beside one that is scaled back; before, that one's mean rose by 2 %."""
    rng = np.random.default_rng(0)
    paths = np.stack([rng.uniform(90, 110, 4000), rng.lognormal(0, 1.0, 4000)], axis=1)[None]
    now = Spreading(3, 0.5).scenarios(paths)
    before = Spreading(3, 0.5, keeps_mean=False).scenarios(paths)
    np.testing.assert_array_equal(now[:, :, 0], before[:, :, 0])
    assert now[:, :, 1].mean() == pytest.approx(paths[:, :, 1].mean(), rel=1e-12)
    assert before[:, :, 1].mean() > 1.015 * paths[:, :, 1].mean()
