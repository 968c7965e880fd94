"""A workload's state from its row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.admin.workloads.translate import is_paused
from services.kernel.domain import WorkloadSpec

AT = datetime(2026, 1, 5, 14, 5, tzinfo=UTC)


def spec(**changes: Any) -> WorkloadSpec:
    return WorkloadSpec.model_validate(
        {
            "target": "Deployment/x",
            "demand": "rps",
            "capacity": {"per_replica": 5},
            "indicators": [{"name": "rps", "level": 1}],
            "sla": {"epsilon": 0.01, "window_s": 86400},
        }
        | changes
    )


def test_pauses() -> None:
    assert not is_paused(spec(), AT)
    assert is_paused(spec(paused=True), AT)
    assert is_paused(spec(paused_until="2026-01-05T15:00:00Z"), AT)
    assert not is_paused(spec(paused_until="2026-01-05T14:00:00Z"), AT)
    assert is_paused(spec(paused_until="tomorrow"), AT)
