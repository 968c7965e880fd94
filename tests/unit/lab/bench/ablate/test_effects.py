"""What counts as a gain of a corrector."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.ablate.effects import BARS, Effect, decisions, forecasts
from services.lab.bench.ablate.report import verdict_rows
from tests.unit.lab.bench.ablate.documents import EPSILON, decided, document

NAMES = [f"set{k}" for k in range(4)]


def effect(*by_set: float, noise: float = 0.1) -> Effect:
    """One figure on several sets, with resamples around it."""
    rng = np.random.default_rng(3)
    rows = [np.concatenate([[v], v + noise * rng.standard_normal(400)]) for v in by_set]
    return Effect(np.stack(rows))


def test_an_arm_on_the_same_trade_costs_nothing_at_its_rate() -> None:
    documents = [document(n, no_pacing=(0.1, 1.0), no_floor=(0.01, 2.2)) for n in NAMES]
    found = decisions(documents, EPSILON)
    cheaper, dearer = found["no_pacing"], found["no_floor"]
    assert cheaper.effects["cost"].mean == pytest.approx(0.0)
    assert cheaper.effects["gap"].mean == pytest.approx(9.0)
    assert cheaper.cost == pytest.approx(np.full(4, 0.5))
    assert dearer.effects["cost"].mean == pytest.approx(100 * np.log(1.1))
    assert dearer.effects["gap"].mean == pytest.approx(0.0)
    assert (cheaper.n_differ, found["no_floor"].n_differ) == (4, 4)


def test_churn_is_told_beside_the_figures_that_decide() -> None:
    one = document("set", no_change_costs=(0.01, 2.0))
    one["decide"]["no_change_costs"] = decided(0.01, 2.0, churn=10.0)
    found = decisions([one], EPSILON)["no_change_costs"]
    assert found.churn == pytest.approx([2.5])
    one["decide"]["harmony"] = decided(0.01, 2.0, churn=0.0)
    assert np.isnan(decisions([one], EPSILON)["no_change_costs"].churn).all()


def test_an_arm_that_decides_the_same_changes_no_set() -> None:
    found = decisions([document(n, no_floor=(0.01, 2.0)) for n in NAMES], EPSILON)["no_floor"]
    assert found.n_differ == 0
    assert not any(found.effects[name].is_gain(BARS[name]) for name in found.effects)


def test_a_gain_over_all_sets_needs_size_and_an_interval_above_zero() -> None:
    bar = BARS["cost"]
    assert effect(0.6, 0.7, 0.6, 0.7).is_gain(bar)
    assert not effect(0.4, 0.4, 0.4, 0.4).is_gain(bar)
    assert not effect(0.6, 0.6, noise=5.0).is_gain(bar)
    assert not effect(-0.6, -0.7, -0.6, -0.7).is_gain(bar)


def test_two_sets_with_clear_gains_are_enough() -> None:
    bar = BARS["gap"]
    assert not effect(0.9, -0.5, -0.5, -0.5).is_gain(bar)
    two = effect(0.9, 0.8, -1.0, -1.0)
    assert two.is_gain(bar)
    assert (two.sets_above(bar), two.sets_below(bar)) == (2, 2)


def test_forecasts_are_compared_by_losses_and_by_distance_of_coverage() -> None:
    found = forecasts([document(n) for n in NAMES])["uncalibrated"]
    assert found["crps"].mean == pytest.approx(100 * np.log(0.99))
    assert found["tail"].mean == pytest.approx(100 * np.log(1.03))
    assert found["coverage_95"].mean == pytest.approx(1.0)
    assert found["coverage_99"].mean == pytest.approx(0.0)


def test_the_verdict_names_the_figures_that_an_arm_earns_its_place_by() -> None:
    arms = {"no_floor": (0.01, 2.2), "no_pacing": (0.01, 1.8)}
    rows = {r["arm"]: r["it earns"] for r in verdict_rows([document(n, **arms) for n in NAMES])}
    assert rows["no_floor"] == "cost at its rate, % at 1 %"
    assert rows["no_pacing"] == "nothing"
    assert rows["uncalibrated"] == "99 % loss, %; off 95 %, points"
