"""Paths come back from their bytes as they were, to the bit, and take fewer of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from services.kernel.domain.path_bytes import (
    HALF,
    pack_halves,
    pack_loads,
    to_halves,
    unpack_halves,
    unpack_loads,
)


@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=30)))
def test_whatever_the_bits_they_come_back(bits: np.ndarray) -> None:
    halves = bits.view(HALF)  # infinities and NaN of any kind among them
    found = unpack_halves(pack_halves(halves), *halves.shape)
    assert found.dtype == HALF
    assert found.tobytes() == halves.tobytes()


@pytest.mark.parametrize("spread", [0.02, 0.05, 0.2, 0.5, 1.5])
def test_paths_take_few_bytes_however_far_they_spread(spread: float) -> None:
    rng = np.random.default_rng(7)
    moves = rng.normal(0.0, spread / np.sqrt(12), (200, 12)).cumsum(axis=1)
    near = len(pack_halves(to_halves(1234.5 * np.exp(moves))[0]))
    apart = len(pack_halves(to_halves(1234.5 * np.exp(rng.normal(0.0, spread, (200, 12))))[0]))
    print(f"spread {spread}: {near} bytes of 4,800, {apart} where steps know nothing of each other")
    assert near < 1500
    assert apart < 1900


POSITIVE = st.floats(0.0, 1e9, width=32).map(lambda one: one if one > 1e-9 else 0.0)


@pytest.mark.slow
@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=30), elements=POSITIVE))
def test_what_is_rounded_off_is_a_part_of_the_spread(paths: np.ndarray) -> None:
    halves, scale = to_halves(paths)
    back = halves.astype(np.float64) * scale
    assert np.float32(scale) == scale, "as the column holds it"
    ordered, first = np.sort(paths.astype(np.float64), axis=0), len(paths) // 4
    spread = ordered[len(paths) - 1 - first] - ordered[first]
    spread = spread[spread > 0]
    grid = spread.min() / 4 if spread.size else 0.0
    grid = max(grid, float(paths.max(initial=0.0)) * 2.0**-11 if grid == 0 else 0.0)
    grid = max(grid, float(paths.max(initial=0.0)) * 2.0**-20)
    assert (np.abs(back - paths) <= 1.001 * grid + 2.0**-11 * paths).all()
    assert ((back > 0) == (paths > 0)).all(), "nothing comes from nothing, and nothing is lost"
    order = np.argsort(paths, axis=0, kind="stable")
    assert (np.diff(np.take_along_axis(back, order, axis=0), axis=0) >= 0).all()


def test_rounding_adds_little_to_what_is_spread() -> None:
    rng = np.random.default_rng(3)
    paths = 500.0 * np.exp(rng.normal(0.0, 0.3, (20_000, 4)))
    halves, scale = to_halves(paths)
    ratio = (halves.astype(np.float64) * scale).std(axis=0) / paths.std(axis=0)
    assert (np.abs(ratio - 1) < 0.005).all()  # 200 paths know it to 5 %


def test_what_the_release_before_packed_is_read() -> None:
    packed = bytes.fromhex("789cab2860662dce6260f81ffabf130018c704aa")
    halves = np.frombuffer(bytes.fromhex("003c003a0000003855351000"), dtype=HALF).reshape(2, 3)
    assert unpack_halves(packed, 2, 3).tobytes() == halves.tobytes()


def test_several_loads_come_back_packed_or_as_they_were() -> None:
    rng = np.random.default_rng(5)
    few = rng.random((2, 3, 2)).astype(HALF)
    many = np.stack([to_halves(rng.gamma(9.0, 10.0, (200, 12)))[0] for _ in range(2)])
    for loads in (few, many):
        assert unpack_loads(pack_loads(loads), *loads.shape).tobytes() == loads.tobytes()
        assert unpack_loads(loads.tobytes(), *loads.shape).tobytes() == loads.tobytes()
    assert len(pack_loads(few)) == few.nbytes
    assert len(pack_loads(many)) < 0.4 * many.nbytes
    with pytest.raises(ValueError, match="no packed paths"):
        unpack_loads(b"123", 1, 2, 3)


def test_bytes_of_other_paths_are_refused() -> None:
    packed = pack_halves(np.ones((4, 3), dtype=HALF))
    with pytest.raises(ValueError, match="reshape"):
        unpack_halves(packed, 4, 2)
