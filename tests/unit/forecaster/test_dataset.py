"""Origins of windows: none without an outcome, none shared by training and validation."""

from __future__ import annotations

from dataclasses import replace

from forecaster.dataset import min_origin, origins_between, split_origins, validation_start
from tests.unit.forecaster.conftest import make_series, small_config


def test_training_and_validation_do_not_share_outcomes() -> None:
    config = small_config()
    series = [make_series(0), make_series(1, n_steps=300)]
    train, held = split_origins(series, config)
    for i, one in enumerate(series):
        split = validation_start(one, config)
        assert train.position[train.which == i].max() + config.window.horizon < split
        assert held.position[held.which == i].min() + 1 >= split
    assert train.position.min() >= min_origin(config) - 1


def test_origins_need_an_observed_outcome_and_context() -> None:
    config = small_config()
    series = make_series(0)
    seen = series.observed.copy()
    seen[200:210, 0] = False
    origins = origins_between([replace(series, observed=seen)], config, [(0, 500)])
    assert {202, 205} & set(origins.position.tolist()) == set()
    assert {198, 207} <= set(origins.position.tolist())
