"""Paths come back from their bytes as they were, to the bit, and take fewer of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from services.kernel.domain.path_bytes import HALF, pack_halves, unpack_halves


@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=30)))
def test_whatever_the_bits_they_come_back(bits: np.ndarray) -> None:
    halves = bits.view(HALF)  # infinities and NaN of any kind among them
    found = unpack_halves(pack_halves(halves), *halves.shape)
    assert found.dtype == HALF
    assert found.tobytes() == halves.tobytes()


@pytest.mark.parametrize(("spread", "most"), [(0.05, 0.6), (0.2, 0.72), (0.5, 0.83)])
def test_paths_that_go_on_near_where_they_were_take_fewer_bytes(spread: float, most: float) -> None:
    rng = np.random.default_rng(7)
    moves = rng.normal(0.0, spread / np.sqrt(12), (200, 12)).cumsum(axis=1)
    paths = np.exp(moves)
    halves = (paths / paths.max()).astype(HALF)
    assert len(pack_halves(halves)) < most * 2 * halves.size


def test_bytes_of_other_paths_are_refused() -> None:
    packed = pack_halves(np.ones((4, 3), dtype=HALF))
    with pytest.raises(ValueError, match="reshape"):
        unpack_halves(packed, 4, 2)
