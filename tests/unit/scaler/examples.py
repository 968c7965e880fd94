"""Facts that the tests vary."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec
from services.scaler.plan import Newest, ObservedTarget, WorkloadFacts

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEP = timedelta(seconds=60)


def spec(**changes: Any) -> WorkloadSpec:
    return WorkloadSpec(
        target="Deployment/llama",
        demand="request_rate_rps",
        indicators=(IndicatorSpec(name="request_rate_rps", level=1),),
        capacity=CapacitySpec(per_replica=10),
        **{"min_replicas": 1, "max_replicas": 20} | changes,
    )


def facts(
    desired: int | None = 9, replicas: int | None = 4, result: str = "", **changes: Any
) -> WorkloadFacts:
    """Facts of a workload; None: no decision, or a target that was never seen."""
    parts = {"a": desired or 0, "b": 1}
    decision = Newest(7, desired or 0, NOW + 3 * STEP, result, "as told", parts)
    seen = ObservedTarget(replicas or 0, NOW, NOW + 3 * STEP, {"a": replicas or 0, "b": 1})
    return WorkloadFacts(
        "serving",
        "llama",
        spec(**changes),
        None if desired is None else decision,
        None if replicas is None else seen,
    )


def unseen_since(found: WorkloadFacts, minutes: int) -> WorkloadFacts:
    """The same, where the operator saw the target last so many minutes ago."""
    assert found.seen is not None
    at = NOW - timedelta(minutes=minutes)
    return replace(found, seen=replace(found.seen, observed_at=at, valid_until=at + 3 * STEP))
