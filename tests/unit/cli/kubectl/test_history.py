"""Histories of decisions on a terminal of 80 columns: nothing important is cut."""

from __future__ import annotations

import pytest

from services.admin.decisions.schemas import (
    DecisionSummary,
    OutcomeView,
)
from services.cli.kubectl.history import render_history, to_history_rows
from tests.unit.cli.kubectl.views import NOW, decision, shown


def test_history_keeps_every_figure_at_80_columns() -> None:
    outcomes = [
        OutcomeView(
            cluster="default", namespace="serving", workload="llama",
            step_at=NOW, decision_id=4711, demand=1.0,
            ready_mean=8.0, needed_replicas=9, violation_ratio=felt if felt else share,
            measured_ratio=felt, believed_ratio=share, sli_requests=None, sli_miss_low=None,
            sli_miss_high=None, is_final=True, shortage=None, gpu_hours=0.5, cost_usd=1.0,
        )
        for share, felt in ((0.02, None), (None, None), (0.04, 0.5))
    ]  # fmt: skip
    summary = DecisionSummary.model_validate(
        decision(action_result="awaiting_approval").model_dump()
    )
    (row,) = to_history_rows([summary], outcomes)
    assert (row.believed, row.n_steps, row.gpu_hours) == (pytest.approx(0.03), 2, 1.5)
    assert (row.measured, row.n_measured_steps) == (0.5, 1)
    lines = shown(render_history("serving/llama", [row]))
    assert lines[2].split()[:9] == ["4711", "6", "Jan", "12:00", "8", "→", "10", "waiting", "0.42"]
    assert lines[2].split()[9:13] == ["%", "50", "%", "3"]


def test_what_was_not_measured_is_a_dash() -> None:
    (row,) = to_history_rows([decision()], [])
    assert (row.measured, row.believed, row.n_steps, row.gpu_hours) == (None, None, 0, None)
    assert (row.n_measured_steps, row.n_steps) == (0, 0)
    assert shown(render_history("serving/llama", [row]))[2].split()[7] == "–"
