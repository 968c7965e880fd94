"""What the kubectl plugin prints on a terminal of 80 columns: nothing important is cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from services.admin.decisions.schemas import (
    ActionView,
    DecisionDetail,
    DecisionSummary,
    LastDecision,
    OutcomeView,
    ReplicaView,
    RiskView,
    WorkloadView,
)
from services.cli.kubectl import (
    diff as kubectl_diff,
    explain as kubectl_explain,
    history as kubectl_history,
)

NOW = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
LONG = "a-service-with-a-name-that-is-much-longer-than-any-column"


def shown(what: RenderableType, width: int = 80) -> list[str]:
    console = Console(width=width, record=True, force_terminal=False, file=None, quiet=False)
    with console.capture() as capture:
        console.print(what)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    return lines


def workload(name: str = "llama", current: int | None = 8, **changes: Any) -> WorkloadView:
    decision = LastDecision(
        id=4711, origin_at=NOW, decided_at=NOW - timedelta(minutes=3),
        valid_until=NOW + timedelta(minutes=12), desired_replicas=10, direction="up",
        reason="scale_up_risk", binding_constraint=None, rung="forecast", forecast_rung="model",
        forecast_reason="", model_version="flow-3", action_reason="",
        action_result="awaiting_approval" if changes.get("mode") != "Advisory" else "advisory",
    )  # fmt: skip
    replicas = None
    if current is not None:
        replicas = ReplicaView(observed_at=NOW, spec=current, ready=current, starting=0, pending=0)
    values: dict[str, Any] = {
        "namespace": "serving", "name": name, "mode": "Approval", "is_active": True,
        "managed_by": "kubernetes",
        "is_paused": False, "gpu_type": "H100", "gpus_per_replica": 4, "min_replicas": 1,
        "max_replicas": 40, "price_usd_per_gpu_hour": 2.5, "step_s": 60,
        "demand_indicator": "output_tokens_per_s", "demand_unit": "tokens/s",
        "capacity_per_replica": 2400.0, "replicas": replicas, "last_decision": decision,
        "risk": RiskView(
            kind="TimeFraction", target=0.01, estimated=0.0042, measured=None,
            measured_window_s=86400.0, n_measured_steps=0,
        ),
        "spec_version": 1,
    }  # fmt: skip
    return WorkloadView.model_validate(values | changes)


def decision(**changes: Any) -> DecisionDetail:
    values: dict[str, Any] = {
        "id": 4711, "namespace": "serving", "workload": "llama", "origin_at": NOW,
        "decided_at": NOW, "valid_until": NOW + timedelta(minutes=3), "current_replicas": 8,
        "raw_replicas": 12, "desired_replicas": 10, "direction": "up", "reason": "scale_up_risk",
        "binding_constraint": "rate_limit", "rung": "forecast", "risk_target": 0.01,
        "risk_estimated": 0.0042, "cost_delta_usd_per_h": 20.0, "forecast_id": 1,
        "policy_version": "harmony-1", "model_version": "flow-3", "forecast_rung": "model",
        "forecast_reason": None, "actions": [], "outcomes": [],
        "explanation": {
            "guard_trace": [
                {"guard": "bounds", "before": 12, "after": 12, "detail": ""},
                {"guard": "rate_limit", "before": 12, "after": 10, "detail": "2 pods per minute"},
            ],
            "risk": {"target": 0.01, "before": 0.083, "after": 0.0042},
            "quantiles": {"p10": 7000.0, "p50": 8700.0, "p90": 10400.0, "p99": 12100.0},
            "counterfactuals": {"epsilon_0.001": 13, "zero_lead_time": 12},
        },
    }  # fmt: skip
    return DecisionDetail.model_validate(values | changes)


def test_explain_reads_from_the_headline_down() -> None:
    lines = shown(kubectl_explain.render(decision(), workload(), NOW))
    assert (
        lines[0] == "serving/llama: 8 → 10 replicas, +8 GPUs, +$20.00 per hour  [not acted on yet]"
    )
    text = "\n".join(lines)
    assert "Staying at 8 would put more time out of SLA" in text
    assert "bound by    rate limit" in text
    assert "Estimated if kept at 8: 8.3 %" in text
    assert "p10 7,000  p50 8,700  p90 10.4 k  p99 12.1 k tokens/s" in text
    assert "wanted 12, decided 10" in text
    assert "Rate limit: 12 → 10 (2 pods per minute)" in text
    assert "1 other guard changed nothing" in text
    assert "if replicas started at once: 12 (the same)" in text


def test_explain_says_which_rung_answered_instead_of_the_forecast() -> None:
    detail = decision(
        rung="trailing_percentile", forecast_reason="demand is stale", model_version=None
    )
    text = "\n".join(shown(kubectl_explain.render(detail, workload(), NOW)))
    assert "fallback rung trailing percentile answered: demand is stale" in text


def test_diff_keeps_every_figure_at_80_columns() -> None:
    rows = [kubectl_diff.to_row(workload(LONG), NOW), kubectl_diff.to_row(workload("small"), NOW)]
    lines = shown(kubectl_diff.render(rows, True, NOW))
    assert lines[0].split() == ["WORKLOAD", "NOW", "WANTS", "GPUS", "USD/H", "RISK", "MODE", "AGE"]
    (first,) = [line for line in lines if " +8 " in line and not line.startswith("serving/small")]
    assert first.split()[1:] == ["8", "10", "+8", "+20.00", "0.42", "%", "Approval", "3", "min"]
    assert lines[-1] == "2 of 2 differ: +16 GPUs, +$40.00 per hour"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"last_decision": None}, "no decision yet"),
        ({"current": None}, "has not been seen"),
    ],
)
def test_diff_says_why_nothing_can_be_said(changes: dict[str, Any], problem: str) -> None:
    row = kubectl_diff.to_row(workload(**changes), NOW)
    assert problem in row.problem
    assert (row.delta_gpus, row.delta_usd_per_h, row.is_different) == (None, None, False)
    assert row.to_json()["is_different"] is None
    assert shown(kubectl_diff.render([row], False, NOW))[-1] == ("0 of 1 run as Harmony recommends")


def test_history_keeps_every_figure_at_80_columns() -> None:
    outcomes = [
        OutcomeView(
            namespace="serving", workload="llama", step_at=NOW, decision_id=4711, demand=1.0,
            ready_mean=8.0, needed_replicas=9, violation_ratio=share, shortage=None, gpu_hours=0.5,
            cost_usd=1.0,
        )
        for share in (0.02, None, 0.04)
    ]  # fmt: skip
    summary = DecisionSummary.model_validate(
        decision(action_result="awaiting_approval").model_dump()
    )
    (row,) = kubectl_history.to_rows([summary], outcomes)
    assert (row.measured, row.n_steps, row.gpu_hours) == (pytest.approx(0.03), 2, 1.5)
    lines = shown(kubectl_history.render("serving/llama", [row]))
    assert lines[2].split()[:9] == ["4711", "6", "Jan", "12:00", "8", "→", "10", "waiting", "0.42"]
    assert "3 %" in lines[2]


def test_what_was_not_measured_is_a_dash() -> None:
    (row,) = kubectl_history.to_rows([decision()], [])
    assert (row.measured, row.n_steps, row.gpu_hours) == (None, 0, None)
    assert shown(kubectl_history.render("serving/llama", [row]))[2].split()[7] == "–"


def test_the_operations_page_shows_what_is_printed() -> None:
    chat = workload("chat", mode="Advisory", gpus_per_replica=1)
    action = ActionView(
        id=1, decision_id=4711, namespace="serving", workload="chat", origin_at=NOW, attempt=1,
        from_replicas=8, to_replicas=10, result="advisory", reason="mode Advisory applies nothing",
        applied_at=NOW,
    )  # fmt: skip
    made = decision(
        workload="chat", cost_delta_usd_per_h=5.0, action_result="advisory", actions=[action]
    )
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    row = kubectl_diff.to_row(chat, NOW)
    why = shown(kubectl_explain.render(made, chat, NOW + timedelta(minutes=2)))
    for lines in (shown(kubectl_diff.render([row], False, NOW)), why):
        printed = "\n".join(lines).strip()
        assert f"```\n{printed}\n```" in page, printed
