"""The quality gate: who is better, where, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest

from forecaster.choice.backtest import MODEL, Score, backtest, is_clear, judge
from forecaster.choice.baselines import POOLS, Baseline
from forecaster.errors import HistoryTooShort
from forecaster.training.fit import FitResult
from forecaster.types import Series


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
