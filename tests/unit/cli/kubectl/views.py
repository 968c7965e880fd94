"""Views of a workload and of a decision to print, and what a terminal of 80 columns shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console, RenderableType

from services.admin.decisions.schemas import DecisionDetail
from services.admin.workloads.schemas import LastDecision, ReplicaView, RiskView, WorkloadView

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
        "cluster": "default", "namespace": "serving", "name": name, "mode": "Approval",
        "is_active": True,
        "managed_by": "kubernetes",
        "is_paused": False, "gpu_type": "H100", "gpus_per_replica": 4, "min_replicas": 1,
        "max_replicas": 40, "price_usd_per_gpu_hour": 2.5, "step_s": 60,
        "demand_indicator": "output_tokens_per_s", "demand_unit": "tokens/s",
        "capacity_per_replica": 2400.0, "replicas": replicas, "last_decision": decision,
        "risk": RiskView(
            kind="TimeFraction", target=0.01, estimated=0.0042, window_s=86400.0, n_steps=0,
        ),
        "spec_version": 1,
    }  # fmt: skip
    return WorkloadView.model_validate(values | changes)


def decision(**changes: Any) -> DecisionDetail:
    values: dict[str, Any] = {
        "id": 4711, "cluster": "default", "namespace": "serving", "workload": "llama",
        "origin_at": NOW,
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


def pools(**desired: int | None) -> list[dict[str, Any]]:
    """Two prefill replicas of 8 H100 and ten decode replicas of one L4 run."""
    return [
        {
            "name": "prefill", "gpu_type": "H100", "gpus_per_replica": 8,
            "price_usd_per_gpu_hour": 4.0, "replicas": 2,
            "desired_replicas": desired.get("prefill", 2),
        },
        {
            "name": "decode", "gpu_type": "L4", "gpus_per_replica": 1,
            "price_usd_per_gpu_hour": 0.5, "replicas": 10,
            "desired_replicas": desired.get("decode", 10),
        },
    ]  # fmt: skip
