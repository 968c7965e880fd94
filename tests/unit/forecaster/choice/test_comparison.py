"""The model beside the simple forecasters: losses, ratios, and who is the best of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.choice.baselines import POOLS, Baseline
from forecaster.choice.comparison import (
    MODEL,
    N_BLOCKS,
    TAIL_LEVELS,
    Score,
    Skill,
    compare,
    compared,
)
from forecaster.errors import HistoryTooShort
from forecaster.training.fit import FitResult
from forecaster.types import Forecast, Series, Windows
from tests.unit.forecaster.conftest import make_series, small_config


def scored(crps: float, tail: float = 0.0) -> Score:
    """The same in every block of time."""
    return Score(crps, tail, {}, np.full(N_BLOCKS, crps + tail))


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
    sharp = scored(1.0, 0.5)
    blunt = scored(0.9, 0.7)
    found = compared({"w": {MODEL: blunt, "blend": sharp, "last_value": scored(2.0, 1.0)}})
    assert found.ratios == {"w": pytest.approx(1.6 / 1.5)}
    assert found.skill == pytest.approx(1 - 1.6 / 1.5)
    assert (found.crps_model, found.crps_simple) == (0.9, 1.0)
    assert found.best_simple("w", "none") == "blend"
    assert found.best_simple("dead", "none") == "none"
    assert found.picks == {"w": "blend"}


def test_another_predictor_enters_no_figure_of_the_model() -> None:
    def row(model: float, simple: float, prior: float) -> dict[str, Score]:
        names = {MODEL: model, "blend": simple, "prior": prior}
        return {name: scored(loss) for name, loss in names.items()}

    found = compared({"a": row(0.5, 1.0, 0.2), "b": row(0.5, 1.0, 1.4)})
    assert found.skill == pytest.approx(0.5)
    assert found.skill_of("prior").value == pytest.approx(0.2)
    assert found.simple_only("prior") == ["b"]
    assert found.best_simple("a", "none") == "blend"


def test_the_skill_weighs_workloads_by_their_loss() -> None:
    def row(model: float, simple: float) -> dict[str, Score]:
        return {MODEL: scored(model), "blend": scored(simple)}

    found = compared({"small": row(0.2, 0.1), "large": row(0.9, 1.9)})
    assert found.ratios == {"small": pytest.approx(2.0), "large": pytest.approx(0.9 / 1.9)}
    assert found.skill == pytest.approx(1 - 1.1 / 2.0)
    assert (found.crps_model, found.crps_simple) == (pytest.approx(0.55), pytest.approx(1.0))


def test_one_workload_of_huge_losses_does_not_judge_for_the_others() -> None:
    """A wrong sample, or a burst on an idle service: all are off by tens of its usual errors."""

    def row(model: float, simple: float) -> dict[str, Score]:
        return {MODEL: scored(model), "blend": scored(simple)}

    usual = {f"w{i}": row(0.6, 0.8) for i in range(8)}
    assert compared({**usual, "still": row(1e-9, 0.0)}).skill == pytest.approx(0.25)
    beside = compared({**usual, "odd": row(60.0, 50.0)})
    assert beside.skill == pytest.approx(1 - (8 * 0.6 + 4 * 0.8 * 1.2) / (12 * 0.8))
    assert beside.ratios["odd"] == pytest.approx(1.2)


def test_what_every_block_shows_is_sure_and_what_one_shows_is_not() -> None:
    """A tenth better in each of ten, and all of a tenth in one of them."""
    steady = compared({"w": {MODEL: scored(0.9), "blend": scored(1.0)}}).skill_of(MODEL)
    assert steady.least_lead() == pytest.approx(0.1)
    lucky = np.full(N_BLOCKS, 0.9)
    lucky[3] = 1.0  # without the block in which it lost nothing
    model = Score(0.9, 0.0, {}, lucky)
    once = compared({"w": {MODEL: model, "blend": scored(1.0)}}).skill_of(MODEL)
    assert once.value == pytest.approx(0.1)
    assert once.least_lead() < 0
    assert once.least_lead(once) == pytest.approx(0.0), "of both the same is luck"
    assert once.least_lead(steady) < 0


@pytest.mark.parametrize("edge", [0.0, 0.1])
def test_nine_of_ten_leads_hold(edge: float) -> None:
    """Blocks of independent losses: the least lead is above the true one in a tenth of draws."""
    rng = np.random.default_rng(5)
    above = 0
    for _ in range(500):
        simple, model = 1.0 + 0.1 * rng.standard_normal((2, N_BLOCKS))
        model = model - edge
        left, left_simple = ((x.sum() - x) / (N_BLOCKS - 1) for x in (model, simple))
        found = Skill(1 - model.mean() / simple.mean(), 1 - left / left_simple)
        above += found.least_lead() > edge
    assert 35 <= above <= 65


def test_of_neighbouring_origins_whole_blocks_are_left_out(
    fitted: FitResult, fleet: list[Series], rng: np.random.Generator
) -> None:
    found = compare(fleet, fitted.model, fitted.model.config, rng, n_last=60)
    for row in found.scores.values():
        for one in row.values():
            assert one.without.shape == (N_BLOCKS,)
            assert one.without.min() <= one.loss <= one.without.max()
    skill = found.skill_of(MODEL)
    assert skill.value == found.skill
    assert 0 < skill.least_lead() < skill.value
    few = compare(fleet, fitted.model, fitted.model.config, rng, n_last=12)
    assert all(np.ptp(row[MODEL].without) == 0 for row in few.scores.values())
    assert few.skill_of(MODEL).least_lead() == pytest.approx(few.skill)


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
