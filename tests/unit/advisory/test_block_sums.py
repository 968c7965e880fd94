"""Sums over blocks of time: each step counts in the block that it begins in."""

from __future__ import annotations

import numpy as np

from services.advisory.block_sums import block_length_s, block_sums
from services.advisory.counterfactual import CarriedOut
from tests.unit.advisory.test_counterfactual import NAN, stored


def test_a_day_is_resampled_or_a_tenth_of_less() -> None:
    assert block_length_s(28 * 86_400.0) == 86_400.0
    assert block_length_s(7 * 86_400.0) == 7 * 8_640.0


def test_steps_are_summed_by_the_block_that_they_begin_in() -> None:
    steps = stored([2.0, NAN, 2.0, 2.0])  # of ten minutes
    steps.believed[:] = [0.5, 1.0, NAN, 0.25]
    carried = CarriedOut(
        np.array([2.0, NAN, 3.0, 4.0]), np.zeros(4), np.array([0.0, NAN, 1.0, 1.0])
    )
    found = block_sums(steps, carried, from_s=-600.0, block_s=1200.0, n_blocks=3)
    expected = [
        [1 / 6, 1 / 6, 1 / 6],  # hours: the second step was not decided
        [4.0, 4.0, 4.0],
        [2.0, 3.0, 4.0],
        [1 / 6, 0.0, 1 / 6],  # known hours
        [1 / 12, 0.0, 1 / 24],
        [0.0, 0.0, 1 / 6],
    ]
    np.testing.assert_allclose(np.stack(found.columns()), expected)
