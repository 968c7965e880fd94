"""Joint paths: values stay what they were, loads go together, and who cannot be answered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.choice.baselines import BestSimple
from forecaster.choice.joint_paths import joint_paths
from forecaster.choice.ladder import Ladder
from forecaster.errors import ShapeError
from forecaster.features import build_windows
from forecaster.training.fit import FitResult
from forecaster.types import Forecast, Series, Windows
from tests.unit.forecaster.conftest import NAMES

FURTHER = (NAMES[1:], (), NAMES[1:2])
HORIZON = 3


@pytest.fixture
def windows(fitted: FitResult, fleet: list[Series]) -> Windows:
    return build_windows(fleet, fitted.model.config.window)


def forecast_of(ladder: Ladder, windows: Windows) -> Forecast:
    found = ladder.predict(windows, HORIZON, 20, np.random.default_rng(1)).forecast
    assert found is not None
    return found


@pytest.mark.parametrize("has_model", [True, False])
def test_without_a_joint_law_further_loads_rank_as_the_demand(
    fitted: FitResult, windows: Windows, rng: np.random.Generator, has_model: bool
) -> None:
    ladder = Ladder(fitted.model if has_model else None, BestSimple({}, fitted.model.config.window))
    forecast = forecast_of(ladder, windows)
    first, none, last = joint_paths(ladder, windows, FURTHER, forecast, rng)
    assert none is None
    assert first is not None
    assert last is not None
    assert first.further.shape == (2, 20, HORIZON)
    assert last.further.shape == (1, 20, HORIZON)
    for one, row in ((first, 0), (last, 2)):
        assert not one.is_joint
        assert np.array_equal(one.demand, forecast.paths[row])
        order = np.argsort(one.demand, axis=0)[None]
        assert (np.diff(np.take_along_axis(one.further, order, axis=1), axis=1) >= 0).all()


def test_a_further_load_that_was_never_seen_is_unknown_and_harms_no_other(
    fitted: FitResult, windows: Windows
) -> None:
    ladder = Ladder(fitted.model, BestSimple({}, fitted.model.config.window))
    observed = windows.observed.copy()
    observed[0, :, 2] = False
    hidden = replace(windows, observed=observed)
    forecast = forecast_of(ladder, hidden)
    found = joint_paths(ladder, hidden, FURTHER, forecast, np.random.default_rng(1))
    assert found[0] is None
    assert found[2] is not None
    unknown = (("nothing_like_it",), *FURTHER[1:])
    assert joint_paths(ladder, hidden, unknown, forecast, np.random.default_rng(1))[0] is None


def test_other_rows_are_refused(
    fitted: FitResult, windows: Windows, rng: np.random.Generator
) -> None:
    ladder = Ladder(fitted.model, BestSimple({}, fitted.model.config.window))
    forecast = forecast_of(ladder, windows)
    with pytest.raises(ShapeError, match="3 windows, 1 sets"):
        joint_paths(ladder, windows, FURTHER[:1], forecast, rng)
