"""A whole study: its frontiers, recommendation and plot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from services.backtest import study as study_module
from services.backtest.frontier import PolicyFrontier
from services.backtest.plot import plot_study
from services.backtest.predictors import Trained
from services.backtest.study import PromiseResult, Study, run_study
from services.simulator import PolicyScore
from services.simulator.fleet import Fleet


@pytest.fixture(scope="module")
def fleet(fleet: Fleet) -> Fleet:
    """A generated fleet taken as a trace: indicators do not follow from the allocation."""
    return replace(fleet, has_closed_loop=False)


def test_a_study_has_frontiers_a_recommendation_and_a_plot(
    fleet: Fleet, simple: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "train", lambda *_args, **_options: simple)
    found = run_study(fleet, [0.05], policies=["hpa", "kpa"], shortage_usd=50.0)
    assert [one.name for one in found.frontiers] == ["harmony", "hpa", "kpa", "oracle"]
    harmony, *_, oracle = found.frontiers
    # paying more for risk buys more GPUs and less time out of SLA
    assert harmony.cost_usd[-1] > harmony.cost_usd[0]
    assert harmony.rate[-1] < harmony.rate[0]
    assert oracle.cost_usd[0] < harmony.cost_usd[-1]
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert len(document["frontiers"]["harmony"]) == harmony.rate.size
    assert document["runs"][0]["verdict"]
    assert list(document["runs"][0]["policies"])[:2] == ["harmony", "hpa"]
    assert found.recommended is not None
    assert document["recommended"]["epsilon"] == found.recommended.epsilon
    assert f"{found.recommended.epsilon:.2%}" in found.advice()
    assert "workload-steps of this replay" in found.advice()
    plot_study(found, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000


def frontier(name: str, rates: list[float], costs: list[float]) -> PolicyFrontier:
    labels = tuple(str(rate) for rate in rates)
    rate, cost = np.array(rates), np.array(costs)
    return PolicyFrontier(name, labels, rate, cost, rate, rate[:, None], cost[:, None], rate)


def scored(name: str, cost_usd: float, violation_rate: float) -> PolicyScore:
    empty = np.zeros(0)
    figures = (1.0, cost_usd, violation_rate, 0.01, 0, 0.0, 0.5, "", empty, empty, empty, empty)
    return PolicyScore(name, *figures)


def test_the_plot_has_each_policys_curve_and_marks_its_own_runs(
    fleet: Fleet, simple: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_args, **_options: drawn.append(figure))
    results = (
        PromiseResult(0.01, (scored("harmony", 90.0, 0.008), scored("hpa", 100.0, 0.009))),
        PromiseResult(0.05, (scored("harmony", 70.0, 0.04), scored("hpa", 80.0, 0.05))),
    )
    curves = (
        frontier("harmony", [0.01, 0.1], [80.0, 60.0]),
        frontier("hpa", [0.02, 0.2], [95.0, 65.0]),
    )
    plot_study(Study(fleet, simple, results, curves, (), None), tmp_path / "f.png")
    (axis, *_) = drawn[0].axes
    *promises, harmony, own, hpa, rival = (
        [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())] for line in axis.lines
    )
    assert [line[0][0] for line in promises] == [0.01, 0.05]
    assert harmony == [(0.01, 80.0), (0.1, 60.0)]
    assert own == [(0.008, 90.0), (0.04, 70.0)]
    assert hpa == [(0.02, 95.0), (0.2, 65.0)]
    assert rival == [(0.009, 100.0), (0.05, 80.0)]
    assert axis.get_title() == f"{fleet.label.split(':')[0]}, {fleet.replay_hours:g} h"
    assert axis.get_ylabel() == "cost, USD"
