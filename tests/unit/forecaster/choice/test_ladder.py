"""The ladder: who answers, and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.choice.baselines import Baseline, BestSimple
from forecaster.choice.ladder import Ladder
from forecaster.features import build_windows
from forecaster.predict import TrainedModel
from forecaster.pretrain.demand import made_up_demand
from forecaster.pretrain.prior import fit_prior, prior_config
from forecaster.training.fit import FitResult
from forecaster.types import Series, Windows
from tests.unit.forecaster.conftest import make_series


def with_demand_seen(windows: Windows, seen: np.ndarray) -> Windows:
    """`windows` with the demand of row i observed only where `seen[i]`."""
    observed = windows.observed.copy()
    observed[:, :, 0] &= seen
    return replace(windows, observed=observed)


@pytest.fixture
def windows(fitted: FitResult, fleet: list[Series]) -> Windows:
    return build_windows([*fleet, make_series(7)], fitted.model.config.window)


def test_each_workload_stands_on_the_rung_its_data_allow(
    fitted: FitResult, windows: Windows, rng: np.random.Generator
) -> None:
    n_steps = windows.observed.shape[1]
    age = np.arange(n_steps)[::-1]
    seen = np.stack([age >= 0, age > 5, age < 10, age < 0])
    simple = BestSimple({"w2": "last_value"}, fitted.model.config.window)
    result = Ladder(fitted.model, simple).predict(with_demand_seen(windows, seen), 4, 20, rng)
    assert result.answered.tolist() == [0, 1, 2]
    assert result.refused == {3: f"no observed demand in the last {n_steps} steps"}
    forecast = result.forecast
    assert forecast is not None
    assert forecast.rung[:2] == ("model", "trailing_percentile")
    assert forecast.rung[2] in ("last_value", "short_history")
    assert forecast.reasons[0] == ""
    assert "stale: last observed 6 steps" in forecast.reasons[1]
    assert "short history: 10 observed" in forecast.reasons[2]
    assert forecast.workloads == windows.workloads[:3]


def test_the_model_answers_whatever_a_simple_forecaster_scored(
    fitted: FitResult, windows: Windows, rng: np.random.Generator
) -> None:
    simple = BestSimple({"w1": "seasonal_naive"}, fitted.model.config.window)
    forecast = Ladder(fitted.model, simple).predict(windows, 4, 20, rng).forecast
    assert forecast is not None
    assert forecast.rung == ("model",) * 4
    assert forecast.reasons == ("",) * 4
    alone = fitted.model.predict(windows, 4, 20, np.random.default_rng(0))
    assert np.array_equal(forecast.quantiles, alone.quantiles)


def test_without_a_model_the_simple_forecasters_answer(
    windows: Windows, fitted: FitResult, rng: np.random.Generator
) -> None:
    ladder = Ladder(None, BestSimple({}, fitted.model.config.window))
    forecast = ladder.predict(windows, 4, 20, rng).forecast
    assert forecast is not None
    assert set(forecast.rung) == {"smoothed"}
    assert set(forecast.reasons) == {"no promoted model"}


def test_a_model_with_broken_numbers_is_replaced_by_name(
    fitted: FitResult, windows: Windows, rng: np.random.Generator
) -> None:
    broken = replace(fitted.model, net=_spoiled(fitted.model))
    simple = BestSimple({"w1": "seasonal_naive"}, fitted.model.config.window)
    forecast = Ladder(broken, simple).predict(windows, 4, 20, rng).forecast
    assert forecast is not None
    assert forecast.rung == ("smoothed", "seasonal_naive", "smoothed", "smoothed")
    assert set(forecast.reasons) == {"the model's output was not finite"}
    alone = Baseline("seasonal_naive", fitted.model.config.window).predict(windows, 4, 20, rng)
    assert np.array_equal(forecast.quantiles[1], alone.quantiles[1])


@pytest.fixture(scope="module")
def prior(fitted: FitResult) -> TrainedModel:
    """A small prior with the windows of the fitted model."""
    base, config = prior_config(), fitted.model.config
    train = replace(base.train, max_windows=128, epochs=1, batch=64, flow_epochs=1)
    small = replace(base, window=config.window, model=config.model, train=train)
    return fit_prior(made_up_demand(12, 3), [], small, 3).model


def test_without_a_model_the_prior_answers_and_is_named(
    windows: Windows, prior: TrainedModel, rng: np.random.Generator
) -> None:
    ladder = Ladder(None, BestSimple({}, prior.config.window), prior=prior)
    forecast = ladder.predict(windows, 4, 20, rng).forecast
    assert forecast is not None
    assert forecast.rung == ("prior",) * 4
    assert set(forecast.reasons) == {"no promoted model"}
    assert forecast.model == f"prior:{prior.version}"


def test_the_prior_answers_where_history_is_too_short_for_the_model(
    fitted: FitResult, windows: Windows, prior: TrainedModel, rng: np.random.Generator
) -> None:
    age = np.arange(windows.observed.shape[1])[::-1]
    seen = np.stack([age >= 0, age < 10, age < 5, age < 10])
    simple = BestSimple({}, prior.config.window)
    ladder = Ladder(fitted.model, simple, prior=prior, simple_only=frozenset({"w7"}))
    forecast = ladder.predict(with_demand_seen(windows, seen), 4, 20, rng).forecast
    assert forecast is not None
    assert forecast.rung[:2] == ("model", "prior")
    assert set(forecast.rung[2:]) <= {"smoothed", "short_history"}
    assert forecast.reasons[1] == "short history: 10 observed steps, the model needs 24"
    assert "the prior needs 6" in forecast.reasons[2]
    assert "prior" not in forecast.reasons[3]


def test_a_prior_with_broken_numbers_is_replaced_by_name(
    windows: Windows, prior: TrainedModel, rng: np.random.Generator
) -> None:
    broken = replace(prior, net=_spoiled(prior))
    ladder = Ladder(None, BestSimple({}, prior.config.window), prior=broken)
    forecast = ladder.predict(windows, 4, 20, rng).forecast
    assert forecast is not None
    assert set(forecast.rung) == {"smoothed"}
    assert set(forecast.reasons) == {"no promoted model; the prior's output was not finite"}


def test_a_row_with_broken_numbers_takes_no_other_off_the_model(
    fitted: FitResult, windows: Windows, rng: np.random.Generator
) -> None:
    own = fitted.model.vocabulary.workloads.index("w1") + 1  # 0 is the unknown one
    broken = replace(fitted.model, net=_spoiled(fitted.model, own))
    simple = BestSimple({"w1": "seasonal_naive"}, fitted.model.config.window)
    forecast = Ladder(broken, simple).predict(windows, 4, 20, rng).forecast
    assert forecast is not None
    at = windows.workloads.index("w1")
    assert [i for i, rung in enumerate(forecast.rung) if rung != "model"] == [at]
    assert forecast.rung[at] == "seasonal_naive"
    reasons = ["" if i != at else "the model's output was not finite" for i in range(len(windows))]
    assert list(forecast.reasons) == reasons
    others = [i for i in range(len(windows)) if i != at]
    alone = fitted.model.predict(windows, 4, 20, np.random.default_rng(0)).quantiles[others]
    np.testing.assert_allclose(
        forecast.quantiles[others], alone, rtol=1e-3, atol=0.01
    )  # of another batch


def _spoiled(model: TrainedModel, workload: int | None = None) -> torch.nn.Module:
    """Its network with numbers that are none, for all or for one workload of its vocabulary."""
    from forecaster.training.checkpoint import model_from_bytes, model_to_bytes

    net = model_from_bytes(model_to_bytes(model)).net
    with torch.no_grad():
        if workload is None:
            net.head.net.outer.bias.fill_(float("nan"))
        else:
            net.encoder.workload.weight[workload] = float("nan")
    return net
