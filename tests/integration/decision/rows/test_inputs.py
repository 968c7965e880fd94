"""A request is made from rows; what was never measured is left as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from tests.integration.decision.stored_rows import (
    ORIGIN,
    STEP,
    add_demand,
    add_forecast,
    add_workload,
    decisions,
)

pytestmark = pytest.mark.integration


def test_without_a_replica_state_nothing_is_changed(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", min_replicas=3)
    add_demand(deps.engine, workload, [95.0] * 30)
    add_forecast(deps.engine, workload, 100.0)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert (row["desired_replicas"], row["reason"]) == (3, "hold_unknown_replicas")


def test_what_somebody_else_scales_follows_demand_without_a_report(deps: DecisionDeps) -> None:
    """The last decision counts as carried out, step after step."""
    workload = add_workload(
        deps.engine, "w", target="External/w", mode="Advisory", max_replicas=200
    )
    add_demand(deps.engine, workload, [950.0] * 30)
    for step in range(3):
        origin_at = ORIGIN + step * STEP
        add_forecast(deps.engine, workload, 1000.0, forecast_id=step + 1, origin_at=origin_at)
        then = replace(deps, clock=FixedClock(origin_at + STEP))
        service.decide_shard(then, 0, origin_at)
    first, *later = decisions(deps.engine)
    assert first["desired_replicas"] > 5
    assert first["reason"] != "hold_unknown_replicas"
    assert [row["current_replicas"] for row in later] == [
        row["desired_replicas"] for row in (first, *later[:-1])
    ]
