"""A service whose goals or GPUs changed is learned as a new one is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from services.decision.wiring import DecisionDeps
from tests.integration.decision.measured_loop import OBJECTIVE, STEP, Loop, truth
from tests.integration.decision.stored_rows import ORIGIN

pytestmark = [pytest.mark.slow, pytest.mark.integration]
GOALS = [{"metric": "ttft", "threshold_s": 0.4}]


def of_requests(**changes: Any) -> dict[str, Any]:
    return {"kind": "DemandFraction", "epsilon": 0.05, "objective": OBJECTIVE | changes}


@pytest.mark.parametrize("change", [{"sla": of_requests(goals=GOALS)}, {"gpu_type": "H200"}])
def test_a_change_does_not_scale_in_by_what_is_stated(
    deps: DecisionDeps, change: dict[str, Any]
) -> None:
    """A replica is stated to bear 10 and truly bears half; that was learned, and says no more."""
    loop = Loop(deps, lambda _t: 50.0)
    one = loop.add("llama", truth(5.0), sla=of_requests(), mode="Auto")
    loop.run(25)
    learned = one.count
    assert learned >= 9
    with deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = spec || CAST(:s AS jsonb), updated_at = :at"),
            {"s": json.dumps(change), "at": ORIGIN + loop.at * STEP},
        )
    loop.run(7)
    assert set(one.counts[25:]) == {learned}
    loop.run(15)
    assert min(one.counts[25:]) > 7, "it is known again before anything is scaled in"
