"""The ladder and the quality gate: who answers, and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.choice.backtest import MODEL, Score, backtest, is_clear, judge
from forecaster.choice.baselines import POOLS, Baseline, BestSimple
from forecaster.choice.ladder import Ladder
from forecaster.errors import HistoryTooShort
from forecaster.features import build_windows
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


def test_the_gate_sends_a_workload_to_its_rung(
    fitted: FitResult, windows: Windows, rng: np.random.Generator
) -> None:
    simple = BestSimple({}, fitted.model.config.window)
    ladder = Ladder(fitted.model, simple, {"w1": "seasonal_naive"}, {"w1": "ratio 1.300"})
    forecast = ladder.predict(windows, 4, 20, rng).forecast
    assert forecast is not None
    assert forecast.rung == ("model", "seasonal_naive", "model", "model")
    assert forecast.reasons == ("", "ratio 1.300", "", "")
    alone = Baseline("seasonal_naive", fitted.model.config.window).predict(windows, 4, 20, rng)
    assert np.array_equal(forecast.quantiles[1], alone.quantiles[1])


def test_without_a_model_the_simple_forecasters_answer(
    windows: Windows, fitted: FitResult, rng: np.random.Generator
) -> None:
    ladder = Ladder(None, BestSimple({}, fitted.model.config.window))
    forecast = ladder.predict(windows, 4, 20, rng).forecast
    assert forecast is not None
    assert set(forecast.rung) == {"blend"}
    assert set(forecast.reasons) == {"no promoted model"}


def test_a_model_with_broken_numbers_is_replaced_by_name(
    fitted: FitResult, windows: Windows, rng: np.random.Generator
) -> None:
    broken = replace(fitted.model, net=_spoiled(fitted))
    forecast = (
        Ladder(broken, BestSimple({}, fitted.model.config.window))
        .predict(windows, 4, 20, rng)
        .forecast
    )
    assert forecast is not None
    assert set(forecast.rung) == {"blend"}
    assert set(forecast.reasons) == {"the model's output was not finite"}


def _spoiled(fitted: FitResult) -> torch.nn.Module:
    from forecaster.training.checkpoint import from_bytes, to_bytes

    net = from_bytes(to_bytes(fitted.model)).net
    with torch.no_grad():
        net.members[0].head.net.outer.bias.fill_(float("nan"))
    return net


def test_a_backtest_chooses_per_workload_and_says_why(
    fitted: FitResult, fleet: list[Series], rng: np.random.Generator
) -> None:
    config = fitted.model.config
    simple = {name: Baseline(name, config.window) for name in POOLS}
    gate = backtest(fleet, {MODEL: fitted.model, **simple}, config, rng, n_last=60)
    assert set(gate.rungs) == {"w0", "w1", "w2"}
    for workload, row in gate.scores.items():
        best = min((n for n in row if n != MODEL), key=lambda n: row[n].gate)
        ratio = row[MODEL].gate / row[best].gate
        is_beaten = is_clear(row[MODEL].by_block, row[best].by_block)
        assert gate.rungs[workload] == (best if is_beaten else MODEL)
        assert row[MODEL].gate == pytest.approx(np.mean(row[MODEL].by_block), rel=0.05)
        assert f"{ratio:.3f}" in gate.reasons[workload]
    without = backtest(fleet, simple, config, rng, n_last=60)
    assert MODEL not in without.rungs.values()
    assert np.isnan(without.crps_model)


def test_the_gate_compares_tails_too() -> None:
    sharp = Score(crps=1.0, tail=0.5, coverage={}, by_block=(1.4, 1.6, 1.5))
    blunt = Score(crps=0.9, tail=0.7, coverage={}, by_block=(1.5, 1.7, 1.6))
    gate = judge({"w": {MODEL: blunt, "blend": sharp}}, ["w", "dead"])
    assert gate.rungs == {"w": "blend"}
    assert gate.reasons["dead"] == "no observed outcome to back-test on"
    assert gate.skill < 0
    assert judge({"w": {MODEL: sharp, "blend": blunt}}, ["w"]).rungs == {"w": MODEL}


@pytest.mark.parametrize(
    ("loss", "lower", "expected"),
    [
        ([2.0, 2.1, 1.9, 2.0], [1.0, 1.1, 1.0, 1.0], True),
        ([2.0, 2.1, 1.9, 2.0], [1.99, 2.09, 1.89, 1.99], False),
        ([1.0, 1.0, 1.0, 9.0], [1.1, 1.1, 1.1, 1.1], False),
        ([1.0, 1.0], [2.0, 2.0], False),
        ([2.0], [1.0], False),
    ],
    ids=["steady", "within tolerance", "one burst", "worse", "one block is no evidence"],
)
def test_only_a_steady_lead_is_clear(loss: list, lower: list, expected: bool) -> None:
    assert is_clear(loss, lower) is expected


def test_a_backtest_needs_outcomes(
    fitted: FitResult, fleet: list[Series], rng: np.random.Generator
) -> None:
    with pytest.raises(HistoryTooShort, match="last 3 steps"):
        backtest(fleet, {MODEL: fitted.model}, fitted.model.config, rng, n_last=3)
