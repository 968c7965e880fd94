"""The prior in the distribution: small, read as any model is, and what its card says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from forecaster import ForecasterConfig, TrainedModel, model_to_bytes, prior_config
from forecaster.features import build_windows
from forecaster.training.beginning import suits
from forecaster.training.checkpoint import digest
from services.cli.models.pretraining import EPOCHS, SEED, TRACES
from services.forecasting.registry.shipped import (
    CARD_FILE,
    PRIOR_FILE,
    shipped_bytes,
    shipped_prior,
)
from tests.unit.forecaster.conftest import make_series

REPO = Path(__file__).parents[4]
CARD = json.loads(shipped_bytes(CARD_FILE))


@pytest.fixture(scope="module")
def prior() -> TrainedModel:
    return shipped_prior()


def test_the_file_is_small(prior: TrainedModel) -> None:
    assert prior.n_parameters <= 4_000_000
    assert len(shipped_bytes(PRIOR_FILE)) <= 16 * 2**20


def test_the_card_agrees_with_the_file(prior: TrainedModel) -> None:
    raw = shipped_bytes(PRIOR_FILE)
    assert CARD["version"] == prior.version == digest(prior)
    assert CARD["n_parameters"] == prior.n_parameters
    assert CARD["n_bytes"] == len(raw)
    assert model_to_bytes(prior) == raw
    train = prior.config.train
    assert CARD["epochs_of_schedule"] == train.epochs
    assert CARD["windows_per_epoch"] == train.max_windows
    assert CARD["fewest_steps"] == train.shortest


def test_the_card_agrees_with_the_command_that_makes_it(prior: TrainedModel) -> None:
    assert (CARD["seed"], CARD["epochs"]) == (SEED, EPOCHS)
    assert CARD["traces"] == dict(TRACES)
    assert prior.config == prior_config()
    allowed = re.compile(r"Apache-2\.0|CC-BY-4\.0|MIT")
    for name, licence in TRACES.items():
        assert allowed.search(licence), name
        assert "gen" not in name  # what it is judged by, and the demo's demand


def test_the_page_says_what_the_card_says() -> None:
    page = (REPO / "docs" / "prior.md").read_text()
    for key in ("version", "n_parameters", "n_bytes", "seed", "n_made_up", "epochs", "command"):
        value = CARD[key]
        assert (f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)) in page, (
            key
        )
    for name, licence in CARD["traces"].items():
        assert f"`{name}`" in page
        assert licence.split(" ")[0] in page


def test_it_suits_the_default_fit(prior: TrainedModel) -> None:
    assert suits(prior, ForecasterConfig())


@pytest.mark.parametrize("n_steps", [8, 60, 400])
def test_it_answers_at_once_and_in_proportion(prior: TrainedModel, n_steps: int) -> None:
    one = make_series(3).head(n_steps)
    found = []
    for factor in (1, 10):
        values = one.values * np.float32(factor)
        series = [type(one)("w", values, one.observed, one.indicators, one.levels, 0, 0, 600)]
        windows = build_windows(series, prior.config.window)
        found.append(prior.predict(windows, 12, 100, np.random.default_rng(5)))
    assert found[0].rung == ("prior",)
    np.testing.assert_allclose(found[1].paths, 10 * found[0].paths, rtol=2e-3, atol=1e-2)
    middle = float(np.median(found[0].paths))
    assert 0.5 * one.values[:, 0].min() < middle < 2 * one.values[:, 0].max()
