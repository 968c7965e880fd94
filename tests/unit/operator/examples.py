"""Objects that the operator's unit tests start from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.operator.cluster.grace import Grace
from services.operator.plan.plan import Situation, StoredDecision
from services.operator.resource.translate import to_autoscaler

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
STEP = timedelta(seconds=60)


def spec(**changes: Any) -> dict[str, Any]:
    """The spec of a GPUAutoscaler as YAML has it."""
    found: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"},
        "mode": "Auto",
        "minReplicas": 1,
        "maxReplicas": 10,
        "gpuType": "H100",
        "gpusPerReplica": 2,
        "sla": {"risk": {"epsilon": "0.01", "window": "7d"}},
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"perReplica": "12.5"},
    }
    return found | changes


def resource(
    annotations: dict[str, str] | None = None,
    status: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A GPUAutoscaler as the API server gives it."""
    metadata = {
        "namespace": "serving",
        "name": "llama",
        "uid": "u1",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "annotations": annotations or {},
    }
    return {"metadata": metadata, "spec": spec(**changes), "status": status or {}}


def situation(
    replicas: int | None = 4, annotations: dict[str, str] | None = None, **changes: Any
) -> Situation:
    """The situation of that autoscaler with `replicas` in its target."""
    autoscaler = to_autoscaler(resource(annotations, **changes), {})
    assert autoscaler.problem == ""
    return Situation(
        autoscaler.spec,
        replicas,
        target_problem="Deployment/llama does not exist",
        pause=autoscaler.pause,
        approval=autoscaler.approval,
        grace=Grace(60.0, "spec.template.spec.terminationGracePeriodSeconds", True),
    )


def decision(id_: int = 1, desired: int = 6, **changes: Any) -> StoredDecision:
    """A decision made at `NOW`, valid for three steps."""
    values: dict[str, Any] = {
        "id": id_,
        "workload_id": 1,
        "origin_at": NOW - STEP,
        "decided_at": NOW,
        "valid_until": NOW + 3 * STEP,
        "current": 4,
        "raw": desired,
        "desired": desired,
        "direction": "up",
        "reason": "scale_up_risk",
        "rung": "forecast",
        "risk_target": 0.01,
        "risk_estimated": 0.004,
        "cost_delta_usd_per_h": 10.0,
    }
    return StoredDecision(**(values | changes))
