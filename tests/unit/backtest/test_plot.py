"""A whole study: its frontiers, recommendation and plot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.backtest import study as study_module
from services.backtest.plot import plot_study
from services.backtest.run import Trained
from services.backtest.study import run_study
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
    assert found.recommended is not None
    assert document["recommended"]["epsilon"] == found.recommended.epsilon
    assert f"{found.recommended.epsilon:.2%}" in found.advice()
    assert "workload-steps of this replay" in found.advice()
    plot_study(found, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000
