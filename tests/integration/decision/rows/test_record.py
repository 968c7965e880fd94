"""A stored decision is made again from its inputs, and a changed one is not."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from tests.integration.decision.stored_rows import (
    ORIGIN,
    TOKENS,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
    bound_by_tokens,
    decisions,
    one_workload,
)

pytestmark = pytest.mark.integration


def test_a_stored_decision_replays_to_the_same_bytes(deps: DecisionDeps) -> None:
    one_workload(deps.engine, ready=9)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)

    report = replay(deps, row["id"])

    assert report.is_identical
    assert report.record["final"] == row["desired_replicas"]
    assert row["inputs"] is None
    assert stored_bytes(deps) < 1200, "paths and quantiles are those of the forecast"


def stored_bytes(deps: DecisionDeps) -> int:
    with deps.engine.connect() as connection:
        return connection.execute(
            text("SELECT octet_length(inputs) FROM decision_inputs")
        ).scalar_one()


def test_a_tampered_decision_does_not_replay(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    with deps.engine.begin() as connection:
        connection.execute(
            text('UPDATE decisions SET explanation = explanation || \'{"sha256": "0"}\'')
        )
    assert not replay(deps, decisions(deps.engine)[0]["id"]).is_identical


def test_a_decision_by_further_loads_takes_them_from_its_forecast(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", **bound_by_tokens())
    add_demand(deps.engine, workload, [95.0] * 30)
    add_demand(deps.engine, workload, [4000.0] * 30, indicator=TOKENS)
    add_state(deps.engine, workload, 9)
    add_forecast(deps.engine, workload, 100.0, further={TOKENS: 4000.0})
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)

    report = replay(deps, row["id"])

    assert report.is_identical
    assert report.record["final"] == row["desired_replicas"] >= 20
    assert row["explanation"]["bound_by"][TOKENS] == 1.0


def test_what_a_replica_was_believed_to_carry_is_kept(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    believed = {"per_replica": 10.0, "source": "stated", "unit": ""}
    assert row["explanation"]["capacity"] == believed


def test_of_several_loads_no_single_capacity_is_kept(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", **bound_by_tokens())
    add_demand(deps.engine, workload, [95.0] * 30)
    add_state(deps.engine, workload, 9)
    add_forecast(deps.engine, workload, 90.0)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert "capacity" not in row["explanation"]
