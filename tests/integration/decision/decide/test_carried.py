"""Scale-in beyond what replicas have carried, in a closed loop through Postgres."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sqlalchemy import text

from decider.planning.guards import CARRIED_RISE
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from tests.integration.decision.measured_loop import OBJECTIVE, Loop, truth

pytestmark = pytest.mark.integration

DEMAND = 48.0
N_FIRST, KNEE, STATED = 12, 10.0, 40.0
"""Replicas at first, what each carries, and what was stated of it: four times too much."""
SLA = {"kind": "DemandFraction", "epsilon": 0.05, "objective": OBJECTIVE}
NOISE = 1.1
"""Demand of a step over the mean, at most."""


@pytest.mark.slow
def test_a_capacity_stated_far_too_large_is_found_out_a_quarter_at_a_time(
    deps: DecisionDeps,
) -> None:
    """It went from twelve replicas to two at once, where five are needed, and all missed."""
    loop = Loop(deps, lambda _t: DEMAND)
    one = loop.add("w", truth(KNEE), sla=SLA, capacity={"per_replica": STATED})
    one.count = N_FIRST
    loop.run(40)
    falls = [(a, b) for a, b in pairwise(one.counts) if b < a]
    assert falls, "what is not needed is let go"
    most = 0.0
    for t, (before, after) in enumerate(pairwise(one.counts)):
        most = max(most, DEMAND / before)
        assert after >= before or DEMAND / after <= CARRIED_RISE * most * NOISE**2, f"step {t}"
    assert min(one.counts) >= 5, "four cannot carry it"
    assert np.mean(one.is_bad) <= 0.1
    assert one.counts[-1] <= 7


def test_a_decision_says_what_holds_it_and_is_made_again(deps: DecisionDeps) -> None:
    loop = Loop(deps, lambda _t: DEMAND)
    one = loop.add("w", truth(KNEE), sla=SLA, capacity={"per_replica": STATED})
    one.count = N_FIRST
    loop.run(20)
    query = "SELECT id, explanation FROM decisions WHERE workload_id = :id ORDER BY origin_at"
    with deps.engine.connect() as connection:
        rows = connection.execute(text(query), {"id": one.id}).mappings().all()
    held = [
        row
        for row in rows
        if any("seen to carry" in step["detail"] for step in row["explanation"]["guard_trace"])
    ]
    assert held
    assert all(replay(loop.deps, row["id"]).is_identical for row in held)
