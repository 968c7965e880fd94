"""What every forecaster answers with."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from services.lab.bench.forecast.arm import LEVELS, Prediction


def test_levels_rise_and_are_the_same_from_either_end() -> None:
    assert (np.diff(LEVELS) > 0).all()
    assert 0 < LEVELS[0] < LEVELS[-1] < 1
    assert pytest.approx(1 - LEVELS[::-1]) == LEVELS


def test_median_and_tails_are_among_the_levels() -> None:
    for level in (0.1, 0.5, 0.9, 0.99):
        assert np.isclose(LEVELS, level).any()


def test_an_answer_may_have_no_paths_and_never_changes() -> None:
    quantiles = np.zeros((3, 1, LEVELS.size, 12), dtype=np.float32)
    answer = Prediction(quantiles)
    assert answer.quantiles is quantiles
    assert answer.paths is None
    paths = np.zeros((3, 5, 12), dtype=np.float32)
    assert Prediction(quantiles, paths).paths is paths
    with pytest.raises(FrozenInstanceError):
        answer.paths = paths  # type: ignore[misc]
