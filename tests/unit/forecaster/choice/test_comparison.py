"""The model beside the simple forecasters: losses, ratios, and who is the best of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.choice.baselines import POOLS, Baseline
from forecaster.choice.comparison import MODEL, TAIL_LEVELS, Score, compare, compared
from forecaster.errors import HistoryTooShort
from forecaster.training.fit import FitResult
from forecaster.types import Forecast, Series, Windows
from tests.unit.forecaster.conftest import make_series, small_config


def test_a_comparison_scores_all_on_the_last_steps_of_each_workload(
    fitted: FitResult, fleet: list[Series], rng: np.random.Generator
) -> None:
    found = compare(fleet, fitted.model, fitted.model.config, rng, n_last=60)
    assert set(found.scores) == set(found.ratios) == {"w0", "w1", "w2"}
    for workload, row in found.scores.items():
        assert set(row) == {MODEL, *POOLS}
        best = found.best_simple(workload, "none")
        assert row[best].loss == min(row[name].loss for name in POOLS)
        assert found.ratios[workload] == pytest.approx(row[MODEL].loss / row[best].loss)
        assert set(row[MODEL].coverage) == set(TAIL_LEVELS)
        assert row[MODEL].tail > 0
    assert min(found.ratios.values()) <= 1 - found.skill <= max(found.ratios.values())
    assert 0 < found.crps_model < found.crps_simple < 1


def test_tails_are_compared_too() -> None:
    sharp = Score(crps=1.0, tail=0.5, coverage={})
    blunt = Score(crps=0.9, tail=0.7, coverage={})
    found = compared({"w": {MODEL: blunt, "blend": sharp, "last_value": Score(2.0, 1.0, {})}})
    assert found.ratios == {"w": pytest.approx(1.6 / 1.5)}
    assert found.skill == pytest.approx(1 - 1.6 / 1.5)
    assert (found.crps_model, found.crps_simple) == (0.9, 1.0)
    assert found.best_simple("w", "none") == "blend"
    assert found.best_simple("dead", "none") == "none"
    assert found.picks == {"w": "blend"}


def test_another_predictor_enters_no_figure_of_the_model() -> None:
    def row(model: float, simple: float, prior: float) -> dict[str, Score]:
        names = {MODEL: model, "blend": simple, "prior": prior}
        return {name: Score(loss, 0.0, {}) for name, loss in names.items()}

    found = compared({"a": row(0.5, 1.0, 0.2), "b": row(0.5, 1.0, 1.4)})
    assert found.skill == pytest.approx(0.5)
    assert found.skill_of("prior") == pytest.approx(0.2)
    assert found.simple_only("prior") == ["b"]
    assert found.best_simple("a", "none") == "blend"


def test_the_skill_weighs_workloads_by_their_loss() -> None:
    def row(model: float, simple: float) -> dict[str, Score]:
        return {MODEL: Score(model, 0.0, {}), "blend": Score(simple, 0.0, {})}

    found = compared({"small": row(0.2, 0.1), "large": row(0.9, 1.9)})
    assert found.ratios == {"small": pytest.approx(2.0), "large": pytest.approx(0.9 / 1.9)}
    assert found.skill == pytest.approx(1 - 1.1 / 2.0)
    assert (found.crps_model, found.crps_simple) == (pytest.approx(0.55), pytest.approx(1.0))


def test_one_workload_of_huge_losses_does_not_judge_for_the_others() -> None:
    """A wrong sample, or a burst on an idle service: all are off by tens of its usual errors."""

    def row(model: float, simple: float) -> dict[str, Score]:
        return {MODEL: Score(model, 0.0, {}), "blend": Score(simple, 0.0, {})}

    usual = {f"w{i}": row(0.6, 0.8) for i in range(8)}
    assert compared({**usual, "still": row(1e-9, 0.0)}).skill == pytest.approx(0.25)
    beside = compared({**usual, "odd": row(60.0, 50.0)})
    assert beside.skill == pytest.approx(1 - (8 * 0.6 + 4 * 0.8 * 1.2) / (12 * 0.8))
    assert beside.ratios["odd"] == pytest.approx(1.2)


class RoundedBlend(Baseline):
    """A simple forecaster, a millionth of a request too high."""

    def predict(
        self, windows: Windows, horizon: int, n_paths: int, rng: np.random.Generator
    ) -> Forecast:
        found = super().predict(windows, horizon, n_paths, rng)
        return replace(found, quantiles=found.quantiles + np.float32(1e-6))


def test_workloads_without_any_demand_outweigh_no_other(rng: np.random.Generator) -> None:
    config = small_config()
    busy, other = make_series(0, n_steps=200), make_series(1, n_steps=200)
    idle = replace(other, values=np.zeros_like(other.values))
    model = RoundedBlend("blend", config.window)
    alone = compare([busy], model, config, rng, n_last=60)
    both = compare([busy, idle], model, config, rng, n_last=60)
    assert both.skill == pytest.approx(alone.skill, abs=1e-4)
    assert both.simple_only(MODEL) == ["w0", "w1"]


def test_a_comparison_needs_outcomes(
    fitted: FitResult, fleet: list[Series], rng: np.random.Generator
) -> None:
    with pytest.raises(HistoryTooShort, match="last 3 steps"):
        compare(fleet, fitted.model, fitted.model.config, rng, n_last=3)
