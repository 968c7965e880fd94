"""The report finds the loads by which a table was made, and calls the others worse."""

from __future__ import annotations

import pytest

from services.lab.arena import response_report as module
from services.lab.arena.response_report import ResponseArm, response_report
from tests.unit.lab.arena.made_table import made_table

BOTH = ("input_tokens_per_s", "output_tokens_per_s")
ARMS = (
    ResponseArm("both", BOTH),
    ResponseArm("output", BOTH[1:]),
    ResponseArm("by goal", BOTH, is_by_goal=True),
)


@pytest.mark.slow
def test_the_loads_that_made_it_explain_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ARMS", ARMS)
    monkeypatch.setattr(module, "N_SPLITS", 1)
    found = response_report(made_table(), 7)
    whole, within = found["parts"].values()
    assert whole["points"] == 160
    assert within["points"] < 160
    both, output, by_goal = whole["arms"]
    assert both["explained"] > 0.97
    assert both["mae"] < 0.03
    assert output["mae"] > 2 * both["mae"]
    (response,) = both["responses"]
    assert response["sharing"] < 1.4
    assert response["capacity"]["output_tokens_per_s"] == pytest.approx(300, rel=0.15)
    assert len(by_goal["responses"]) == 2
    assert by_goal["explained"] > 0.95


def test_several_replicas_and_minutes_are_judged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ARMS", ARMS[1:2])
    monkeypatch.setattr(module, "N_SPLITS", 1)
    found = response_report(made_table(n_pooled=40), 7)
    assert found["pooled"]["replicas"] == 4
    assert found["pooled"]["points"] == 40
    minutes = found["minutes"]
    assert minutes["standard_deviation"] == pytest.approx(
        minutes["of_independent_requests"], rel=0.25
    )
    assert response_report(made_table(n_pooled=0), 7)["pooled"] is None
