"""What is measured of a run: how fresh decisions are."""

from __future__ import annotations

import pytest

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel import telemetry
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    one_workload,
)

pytestmark = pytest.mark.integration


def test_how_fresh_decisions_are_is_measured_once_for_each(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    name = "harmony_decision_freshness_seconds"

    def measured() -> tuple[float, float]:
        found = [telemetry.REGISTRY.get_sample_value(f"{name}_{end}") for end in ("count", "sum")]
        return found[0] or 0.0, found[1] or 0.0

    before = measured()
    service.decide_shard(deps, 0, ORIGIN)
    service.decide_shard(deps, 0, ORIGIN)
    count, total = measured()
    late_s = (NOW - ORIGIN - STEP).total_seconds()
    assert (count - before[0], total - before[1]) == (1, pytest.approx(late_s))
