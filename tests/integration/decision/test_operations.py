"""Replays that were asked for through the API."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.decision.decide import operations as service_operations, service
from services.decision.decide.service import Deps
from services.kernel.db.operations import insert_operation
from tests.integration.decision.stored_rows import NOW, ORIGIN, decisions, one_workload

pytestmark = pytest.mark.integration


def test_a_replay_stores_whether_the_bytes_are_the_same(deps: Deps) -> None:
    one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    with deps.engine.begin() as connection:
        asked, hopeless = (
            insert_operation(connection, "replay_decision", {"decision_id": id_}, "ada", NOW)
            for id_ in (row["id"], row["id"] + 1)
        )
    for operation in (asked, hopeless):
        service_operations.replay_as_asked(deps, operation, deps.clock)
    with deps.engine.connect() as connection:
        query = text("SELECT status, message, result, progress FROM operations ORDER BY id")
        done, failed = connection.execute(query).all()
    assert (done.status, done.progress) == ("succeeded", 1)
    assert done.result["is_identical"] is True
    assert done.result["decision"]["final"] == row["desired_replicas"]
    assert (failed.status, failed.result) == ("failed", None)
    assert "does not exist" in failed.message
