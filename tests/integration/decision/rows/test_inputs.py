"""A request is made from rows; what was never measured is left as it is."""

from __future__ import annotations

import pytest

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from tests.integration.decision.stored_rows import (
    ORIGIN,
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
