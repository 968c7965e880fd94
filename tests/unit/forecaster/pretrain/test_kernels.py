"""Samples of Gaussian processes: unit variance, the roughness asked for, cycles that close."""

from __future__ import annotations

import numpy as np
import pytest

from forecaster.config import DAY_S
from forecaster.pretrain.kernels import (
    Grid,
    composed,
    cycle,
    log_uniform,
    matern,
    power_law,
)

GRID = Grid(4000, 600, 0)


def spread(make: object, n: int = 60) -> float:
    """Root mean square over many samples."""
    rng = np.random.default_rng(3)
    return float(np.sqrt(np.mean([make(rng) ** 2 for _ in range(n)])))  # type: ignore[operator]


def test_samples_have_unit_variance() -> None:
    assert spread(lambda rng: matern(rng, GRID, 7200.0, 1)) == pytest.approx(1, abs=0.1)
    assert spread(lambda rng: matern(rng, GRID, 7200.0, 3)) == pytest.approx(1, abs=0.1)
    assert spread(lambda rng: power_law(rng, GRID, 0.5)) == pytest.approx(1, abs=0.1)
    assert spread(lambda rng: cycle(rng, GRID, DAY_S)) == pytest.approx(1, abs=0.1)


def test_a_higher_order_is_smoother() -> None:
    rng = np.random.default_rng(5)
    rough, smooth = (np.diff(matern(rng, GRID, 7200.0, order)).std() for order in (1, 3))
    assert rough > 3 * smooth


def test_a_cycle_comes_back_after_its_period() -> None:
    wave = cycle(np.random.default_rng(7), GRID, DAY_S)
    np.testing.assert_allclose(wave[:-144], wave[144:], atol=1e-6)


def test_a_composed_sample_is_finite_and_of_its_seed() -> None:
    first, again, other = (composed(np.random.default_rng(seed), GRID) for seed in (1, 1, 2))
    assert first.shape == (4000,)
    assert np.isfinite(first).all()
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_log_uniform_stays_between_its_ends() -> None:
    rng = np.random.default_rng(0)
    drawn = [log_uniform(rng, 0.1, 10.0) for _ in range(500)]
    assert 0.1 <= min(drawn) < 0.2
    assert 5 < max(drawn) <= 10
    assert np.median(drawn) == pytest.approx(1, rel=0.5)
