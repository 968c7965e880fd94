"""Requests that wait, from their series to the decision and back, through Postgres."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from tests.integration.decision.measured_loop import OBJECTIVE, STEP_S, Loop, truth

pytestmark = pytest.mark.integration

DEMAND = 50.0
SINCE = 14
"""First step in which requests wait."""
REQUESTS = 0.6 * DEMAND * STEP_S


def newest(deps: DecisionDeps, workload: int) -> Any:
    query = "SELECT * FROM decisions WHERE workload_id = :id ORDER BY origin_at DESC LIMIT 1"
    with deps.engine.connect() as connection:
        return connection.execute(text(query), {"id": workload}).mappings().one()


def test_requests_that_wait_raise_the_count_until_they_are_gone(deps: DecisionDeps) -> None:
    loop = Loop(deps, lambda _t: DEMAND)
    sla = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
    queued, idle, unknown = (loop.add(n, truth(10.0), sla=sla) for n in ("w", "v", "u"))
    believed = loop.add("believed", truth(10.0))
    queued.waiting = believed.waiting = lambda t: REQUESTS if SINCE <= t < SINCE + 3 else 0.0
    unknown.waiting = lambda _t: None
    loop.run(SINCE + 2)

    row = newest(deps, queued.id)
    queue = row["explanation"]["queue"]
    assert queue["requests"] == pytest.approx(REQUESTS)
    assert queue["load"] == pytest.approx(0.6 * DEMAND, rel=0.1)
    without = row["explanation"]["counterfactuals"]["nothing_waiting"]
    assert row["desired_replicas"] >= without + 2
    said = f"1800 requests waiting ({without} replicas without)"
    assert said in row["explanation"]["summary"]
    for other in (idle, unknown, believed):
        assert "queue" not in newest(deps, other.id)["explanation"]
    assert replay(loop.deps, row["id"]).is_identical

    loop.run(4)
    assert "queue" not in newest(deps, queued.id)["explanation"]
    assert abs(queued.count - np.median(idle.counts[-4:])) <= 2
