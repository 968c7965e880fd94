"""The response is found again from what it made; its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.use_fit import FitData, UseResponse, fit_use

TRUE = UseResponse(np.array([3.0, 900.0]), 2.0, 8.0, 0.004, 200.0)


def drawn(n: int = 400) -> FitData:
    rng = np.random.default_rng(5)
    loads = TRUE.capacity * np.exp(rng.uniform(-1.5, 0.4, (n, 2)))
    share = TRUE.miss(loads)
    shares = rng.beta(share * TRUE.concentration, (1 - share) * TRUE.concentration)
    return FitData(loads, rng.binomial(2000, shares), np.full(n, 2000))


def test_what_was_drawn_is_found_again() -> None:
    found = fit_use(drawn())
    assert found.capacity == pytest.approx(TRUE.capacity, rel=0.04)
    assert found.sharing == pytest.approx(2.0, rel=0.2)
    assert found.slope == pytest.approx(8.0, rel=0.1)
    assert found.floor == pytest.approx(0.004, abs=0.002)
    assert found.concentration == pytest.approx(200, rel=0.3)


def test_a_given_sharing_is_kept() -> None:
    assert fit_use(drawn(), math.inf).sharing == math.inf
    assert fit_use(drawn(), 1.0).sharing == 1.0


def test_use_lies_between_the_tightest_load_and_their_sum() -> None:
    loads = np.array([[1.5, 450.0], [3.0, 1.0]])
    shares = loads / TRUE.capacity
    tight = UseResponse(TRUE.capacity, math.inf, 8.0, 0.0, 1.0).log_use(loads)
    added = UseResponse(TRUE.capacity, 1.0, 8.0, 0.0, 1.0).log_use(loads)
    assert np.exp(tight) == pytest.approx(shares.max(1))
    assert np.exp(added) == pytest.approx(shares.sum(1))
    assert (tight <= TRUE.log_use(loads)).all()
    assert (TRUE.log_use(loads) <= added).all()


def test_too_few_points_are_refused() -> None:
    data = drawn(6)
    with pytest.raises(InvalidInput, match="6 points are too few"):
        fit_use(data)
