"""Workloads with their live state as a client reads them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from services.admin.workloads.schemas import (
    FurtherLoadView,
    LastDecision,
    PartView,
    ReplicaView,
    RiskView,
    TrustView,
    WorkloadView,
)
from tests.unit.admin.shapes import documented, nullable, optional, through

AT = "2026-01-05T12:00:00Z"
REPLICAS: dict[str, Any] = {
    "observed_at": AT,
    "spec": 8,
    "ready": 7,
    "starting": 1,
    "pending": 0,
    "schedulable_gpus": 12,
}
RISK: dict[str, Any] = {
    "kind": "TimeFraction",
    "target": 0.01,
    "estimated": 0.004,
    "source": "measured",
    "violation_ratio": 0.002,
    "measured_ratio": 0.002,
    "measured_low_ratio": 0.001,
    "measured_high_ratio": 0.4,
    "believed_ratio": 0.001,
    "window_s": 604800.0,
    "n_steps": 2016,
    "budget_remaining": 0.8,
    "budget_remaining_high": 0.9,
    "budget_remaining_low": -39.0,
    "sli_status": "Measured",
    "sli_message": "",
    "demand_censored_message": "",
    "goal_unreachable_message": "",
    "not_capacity_message": "",
}
DECISION: dict[str, Any] = {
    "id": 7,
    "origin_at": AT,
    "decided_at": AT,
    "valid_until": AT,
    "desired_replicas": 10,
    "direction": "up",
    "reason": "scale_up_risk",
    "binding_constraint": "risk",
    "rung": "forecast",
    "forecast_rung": "model",
    "forecast_reason": "",
    "model_version": "harmony-flow-3",
    "action_result": "applied",
    "action_reason": "mode Auto",
}
TRUST: dict[str, Any] = {"is_trusted": True, "reason": "cheaper", "n_looks": 12, "decided_at": AT}
LOAD: dict[str, Any] = {
    "indicator": "offered_kv_tokens",
    "unit": "tokens",
    "per_replica": 90000.0,
    "counts": "arrives",
}
PART: dict[str, Any] = {
    "name": "decode",
    "gpu_type": "L4",
    "gpus_per_replica": 1,
    "price_usd_per_gpu_hour": 0.5,
    "replicas": 10,
    "desired_replicas": 16,
}
WORKLOAD: dict[str, Any] = {
    "cluster": "default",
    "namespace": "prod",
    "name": "llama-70b",
    "mode": "Auto",
    "is_active": True,
    "is_paused": False,
    "gpu_type": "H100",
    "gpus_per_replica": 4,
    "min_replicas": 2,
    "max_replicas": 24,
    "price_usd_per_gpu_hour": 2.5,
    "step_s": 300,
    "demand_indicator": "output_tokens_per_s",
    "demand_unit": "tokens/s",
    "demand": 9000.0,
    "demand_at": AT,
    "capacity_per_replica": 1800.0,
    "further_loads": [LOAD],
    "replicas": REPLICAS,
    "parts": [PART],
    "held_gpus": {"H100": 32},
    "risk": RISK,
    "last_decision": DECISION,
    "trust": TRUST,
    "gpu_hours": 812.5,
    "cost_usd": 2031.25,
    "cost_window_s": 86400.0,
    "spec_version": 3,
    "managed_by": "kubernetes",
    "object_uid": "6f1c2b3a-0000-4000-8000-000000000001",
}
NOT_YET = {
    *("demand", "demand_at", "replicas", "held_gpus", "last_decision", "trust"),
    *("gpu_hours", "cost_usd", "object_uid"),
}
UNMEASURED = {
    *("estimated", "source", "violation_ratio", "measured_ratio", "believed_ratio"),
    *("budget_remaining", "sli_status", "demand_censored_message"),
    *("measured_low_ratio", "measured_high_ratio"),
    *("budget_remaining_low", "budget_remaining_high"),
    "not_capacity_message",
}
NO_COUNT = {"replicas", "desired_replicas"}
UNANSWERED = {
    "binding_constraint",
    "forecast_rung",
    "forecast_reason",
    "model_version",
    "action_result",
    "action_reason",
}
SHAPES: list[tuple[type[BaseModel], dict[str, Any], set[str], set[str]]] = [
    (ReplicaView, REPLICAS, {"schedulable_gpus"}, {"schedulable_gpus"}),
    (RiskView, RISK, UNMEASURED | {"sli_message", "goal_unreachable_message"}, UNMEASURED),
    (LastDecision, DECISION, set(), UNANSWERED),
    (TrustView, TRUST, set(), set()),
    (FurtherLoadView, LOAD, set(), set()),
    (PartView, PART, NO_COUNT, NO_COUNT),
    (WorkloadView, WORKLOAD, NOT_YET | {"cost_window_s", "further_loads", "parts"}, NOT_YET),
]


@pytest.mark.parametrize(("model", "body", "may_lack", "may_be_null"), SHAPES)
def test_a_workloads_state_comes_through_whole(
    model: type[BaseModel], body: dict[str, Any], may_lack: set[str], may_be_null: set[str]
) -> None:
    assert through(model, body) == body
    assert optional(model, body) == may_lack
    assert nullable(model, body) == may_be_null


def test_a_workload_that_was_just_registered_has_no_state_but_its_cost_is_of_a_day() -> None:
    bare = {k: v for k, v in WORKLOAD.items() if k not in NOT_YET | {"cost_window_s"}}
    assert through(WorkloadView, bare) == WORKLOAD | dict.fromkeys(NOT_YET)
    assert WorkloadView.model_validate(bare).cost_window_s == 24 * 3600


def test_a_workload_follows_its_object_or_was_made_over_rest() -> None:
    assert through(WorkloadView, WORKLOAD | {"managed_by": "api"})["managed_by"] == "api"
    with pytest.raises(ValidationError, match="managed_by"):
        WorkloadView.model_validate(WORKLOAD | {"managed_by": "helm"})


def test_a_promise_is_measured_or_believed() -> None:
    with pytest.raises(ValidationError, match="source"):
        RiskView.model_validate(RISK | {"source": "guessed"})
    with pytest.raises(ValidationError, match="sli_status"):
        RiskView.model_validate(RISK | {"sli_status": "Guessed"})


def test_a_decision_goes_up_or_down_or_holds() -> None:
    with pytest.raises(ValidationError, match="direction"):
        LastDecision.model_validate(DECISION | {"direction": "Up"})


def test_the_documented_state_is_one_that_can_be() -> None:
    for model, body, _, _ in SHAPES:
        assert documented(model).items() <= body.items(), model
    replicas, risk = documented(ReplicaView), documented(RiskView)
    assert replicas["spec"] == sum(replicas[name] for name in ("ready", "starting", "pending"))
    assert risk["n_steps"] * WORKLOAD["step_s"] == risk["window_s"]
