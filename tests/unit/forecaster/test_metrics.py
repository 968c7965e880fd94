"""Scores: CRPS, pinball loss and the variogram score."""

from __future__ import annotations

import numpy as np
import pytest

from forecaster.config import QUANTILE_LEVELS
from forecaster.metrics import (
    below_shares,
    crps_of_quantiles,
    crps_of_samples,
    pinball,
    variogram_score,
)
from forecaster.quantiles import (
    crps_weights,
)

LEVELS = np.array(QUANTILE_LEVELS)


def test_crps_weights_sum_to_one_and_crps_matches_samples() -> None:
    assert crps_weights(LEVELS).sum() == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    samples = rng.gamma(2.0, 3.0, (1, 20_000)).astype(np.float32)
    levels = np.linspace(0.005, 0.995, 100)
    q = np.quantile(samples, levels, axis=1).T[..., None].astype(np.float32)
    for actual in (0.5, 6.0, 25.0):
        y = np.array([[actual]], dtype=np.float32)
        by_quantiles = crps_of_quantiles(q, levels, y)[0, 0]
        assert by_quantiles == pytest.approx(crps_of_samples(samples, y[0])[0], rel=0.02)


def test_pinball_has_no_factor_two() -> None:
    q = np.array([[[1.0, 1.0], [3.0, 3.0]]], dtype=np.float32)
    levels = np.array([0.1, 0.9])
    actual = np.array([[2.0, 9.0]], dtype=np.float32)
    assert pinball(q, levels, actual)[0, :, 0].tolist() == pytest.approx([0.1, 0.1])
    assert pinball(q, levels, actual)[0, :, 1].tolist() == pytest.approx([0.8, 5.4])


def test_the_variogram_score_prefers_the_right_dependence() -> None:
    rng = np.random.default_rng(2)
    walk = np.cumsum(rng.normal(size=(50, 400, 6)), axis=2).astype(np.float32)
    truth = np.cumsum(rng.normal(size=(50, 6)), axis=1).astype(np.float32)
    loose = walk.copy()
    for h in range(6):
        loose[:, :, h] = loose[:, rng.permutation(400), h]
    assert variogram_score(walk, truth).mean() < variogram_score(loose, truth).mean()


def test_a_value_equal_to_the_quantile_counts_as_its_level() -> None:
    q = np.array([[[0.0], [0.0], [3.0]]], dtype=np.float32)
    levels = np.array([0.1, 0.5, 0.9])
    for actual, shares in ((0.0, [0.1, 0.5, 1.0]), (3.0, [0.0, 0.0, 0.9]), (9.0, [0.0] * 3)):
        value = np.array([[actual]], dtype=np.float32)
        assert below_shares(q, levels, value)[0, :, 0].tolist() == shares
