"""The true response: homogeneous, monotone, and what Harmony is told when it knows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.lab.bench.loads.response import LEAST_SHARING, MOST_SHARING, TOLERATED, drawn

USUAL = np.array([[40.0, 20_000.0, 3_000.0], [5.0, 100.0, 900.0]])
RESPONSE = drawn(USUAL, np.random.default_rng(7))
WHO = np.array([0, 1])


def test_a_load_alone_at_its_capacity_is_all_of_the_use() -> None:
    for load in range(3):
        alone = np.zeros((2, 3))
        alone[:, load] = RESPONSE.capacity[:, load]
        assert RESPONSE.use(alone, WHO) == pytest.approx(1.0)
        expected = RESPONSE.floor + (1 - RESPONSE.floor) * TOLERATED
        assert RESPONSE.mean(alone, WHO) == pytest.approx(expected)


def test_shares_at_the_usual_composition_add_up_to_a_whole() -> None:
    assert (USUAL / RESPONSE.capacity).sum(axis=1) == pytest.approx(1.0)
    assert ((RESPONSE.sharing >= LEAST_SHARING) & (RESPONSE.sharing <= MOST_SHARING)).all()


@given(st.floats(1e-3, 1e3), st.floats(1.001, 3.0))
def test_the_use_is_homogeneous_and_misses_never_fall_with_load(scale: float, more: float) -> None:
    use = RESPONSE.use(USUAL, WHO)
    assert RESPONSE.use(scale * USUAL, WHO) == pytest.approx(scale * use)
    low, high = RESPONSE.mean(scale * USUAL, WHO), RESPONSE.mean(more * scale * USUAL, WHO)
    assert (high >= low).all()


def test_no_load_misses_the_floor_alone_and_no_replica_misses_all() -> None:
    assert RESPONSE.mean(np.zeros((2, 3)), WHO) == pytest.approx(RESPONSE.floor)
    one_sided = np.array([[0.0, np.inf, np.inf], [np.inf, np.inf, np.inf]])
    assert RESPONSE.mean(one_sided, WHO) == pytest.approx(1.0)


def test_who_is_told_knows_the_misses_of_every_composition() -> None:
    rng = np.random.default_rng(3)
    for w in (0, 1):
        compositions = USUAL[w] * np.exp(rng.normal(0, 0.4, (50, 3)))
        told = RESPONSE.draws(w, 100.0)
        assert told.n_further == 2
        assert told.miss(compositions)[0] == pytest.approx(
            RESPONSE.mean(compositions, np.full(50, w))
        )
