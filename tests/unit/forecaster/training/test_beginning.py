"""A fit that begins with the prior: its parameters, less to do, and a better start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.features import build_windows
from forecaster.network.model import ForecastNet, Vocabulary
from forecaster.predict import TrainedModel
from forecaster.pretrain.prior import fit_prior, prior_config, trace_views
from forecaster.training.beginning import (
    EPOCHS,
    LEARNING_RATE,
    MAX_WINDOWS,
    begin_with,
    from_prior,
    suits,
)
from forecaster.training.checkpoint import model_to_bytes
from forecaster.training.fit import fit
from forecaster.types import Series
from tests.unit.forecaster.conftest import make_series, small_config

CONFIG = small_config(epochs=2)


@pytest.fixture(scope="module")
def prior() -> TrainedModel:
    """A prior that has learned from series like the fleet's, but not from those."""
    base = prior_config()
    config = replace(
        base,
        window=CONFIG.window,
        model=CONFIG.model,
        train=replace(base.train, max_windows=600, epochs=12, batch=64),
    )
    traces = list(trace_views([make_series(seed, 900) for seed in range(20, 26)]))
    return fit_prior([], traces, config, 5).model


def test_a_network_that_begins_with_the_prior_answers_as_it_does(prior: TrainedModel) -> None:
    names = Vocabulary(("a", "b"), ("demand",))
    net = ForecastNet(CONFIG, names, torch.Generator().manual_seed(1))
    begin_with(net, prior)
    net.eval().requires_grad_(requires_grad=False)
    unknown = TrainedModel(net, CONFIG, names)
    one = make_series(2)
    alone = replace(
        one, values=one.values[:, :1], observed=one.observed[:, :1],
        indicators=("demand of another name",), levels=(1,), known_ahead=(),
    )  # fmt: skip
    windows = build_windows([alone], CONFIG.window)
    found = [m.predict(windows, 4, 20, np.random.default_rng(2)) for m in (prior, unknown)]
    np.testing.assert_allclose(found[0].quantiles, found[1].quantiles, rtol=1e-4)


def test_it_trains_less_and_nothing_else_changes(prior: TrainedModel) -> None:
    config = prior_config()
    less = from_prior(config)
    assert (less.train.epochs, less.train.max_windows) == (EPOCHS, MAX_WINDOWS)
    assert less.train.learning_rate == LEARNING_RATE
    same = replace(
        less.train,
        epochs=config.train.epochs,
        max_windows=config.train.max_windows,
        learning_rate=config.train.learning_rate,
    )
    assert replace(less, train=same) == config
    assert from_prior(CONFIG).train.max_windows == CONFIG.train.max_windows


def test_one_epoch_from_the_prior_is_better_than_one_from_nothing(
    prior: TrainedModel, fleet: list[Series]
) -> None:
    config = small_config(epochs=1)
    alone, helped = (fit(fleet, config, 3, prior=p).report for p in (None, prior))
    first = [r.history[0].validation_loss for r in (alone, helped)]
    assert first[1] < 0.95 * first[0]


@pytest.mark.slow
def test_a_prior_of_another_size_is_left_out(prior: TrainedModel, fleet: list[Series]) -> None:
    config = replace(CONFIG, model=replace(CONFIG.model, width=8))
    assert suits(prior, CONFIG)
    assert not suits(prior, config)
    assert not suits(prior, replace(CONFIG, window=replace(CONFIG.window, horizon=3)))
    alone, given = (fit(fleet, config, 3, prior=p).model for p in (None, prior))
    assert model_to_bytes(alone) == model_to_bytes(given)
