"""Replays that were asked for through the API."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.decision.decide import operations, service
from services.decision.wiring import DecisionDeps
from services.kernel.db.operations import insert_operation
from tests.integration.decision.stored_rows import NOW, ORIGIN, decisions, one_workload

pytestmark = pytest.mark.integration


def test_a_replay_stores_whether_the_bytes_are_the_same(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    with deps.engine.begin() as connection:
        asked, hopeless = (
            insert_operation(connection, "replay_decision", {"decision_id": id_}, "ada", NOW)
            for id_ in (row["id"], row["id"] + 1)
        )
    for operation in (asked, hopeless):
        operations.run_replay(deps, operation, deps.clock)
    with deps.engine.connect() as connection:
        query = text("SELECT status, message, result, progress FROM operations ORDER BY id")
        done, failed = connection.execute(query).all()
    assert (done.status, done.progress) == ("succeeded", 1)
    assert done.result["is_identical"] is True
    assert done.result["decision"]["final"] == row["desired_replicas"]
    assert (failed.status, failed.result) == ("failed", None)
    assert "does not exist" in failed.message
