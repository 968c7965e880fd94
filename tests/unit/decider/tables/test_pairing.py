"""What scenarios are made of."""

from __future__ import annotations

import numpy as np
import pytest

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
