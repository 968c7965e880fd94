"""Quantiles of further loads are those that their paths are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from forecaster.choice.baselines import BestSimple
from forecaster.choice.joint_paths import further_quantiles, joint_paths
from forecaster.choice.ladder import Ladder
from forecaster.features import build_windows
from forecaster.training.fit import FitResult
from forecaster.types import Series

LOADS = (("input_tps", "output_tps"), ("output_tps", "input_tps"), ("output_tps",), ())


@pytest.mark.parametrize("has_model", [True, False])
def test_paths_are_drawn_from_them(
    fitted_jointly: FitResult, loaded: list[Series], has_model: bool
) -> None:
    model = fitted_jointly.model
    ladder = Ladder(model if has_model else None, BestSimple({}, model.config.window))
    windows = build_windows(loaded, model.config.window)
    rng = np.random.default_rng(1)
    forecast = ladder.predict(windows, 4, 1000, rng).forecast
    assert forecast is not None
    quantiles = further_quantiles(ladder, windows, LOADS, forecast)
    assert [one is None for one in quantiles] == [False, False, False, True]
    levels = forecast.quantile_levels
    inner = (levels >= 0.05) & (levels <= 0.95)
    for own, one in zip(quantiles, joint_paths(ladder, windows, LOADS, forecast, rng), strict=True):
        if own is None or one is None:
            assert own is one
            continue
        assert one.is_joint == has_model
        drawn = np.quantile(one.further, levels[inner], axis=1).swapaxes(0, 1)
        spread = own[:, -1] - own[:, 0]
        assert (np.abs(drawn - own[:, inner]) <= 0.02 * spread[:, None] + 1e-6).all()
