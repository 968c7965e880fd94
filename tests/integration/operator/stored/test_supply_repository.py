"""The rows of `gpu_supply`, and node start-ups from `pod_starts`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from services.kernel.db import schema
from services.kernel.db.session import unit_of_work
from services.operator.plan.provisioning import Provisioning, attempt, learn_startup
from services.operator.plan.supply import GpusInUse, Resolved, TypeSupply
from services.operator.stored import supply_repository as repository
from services.operator.stored.supply_repository import Confirming
from tests.unit.operator.examples import NOW

pytestmark = pytest.mark.integration

LAW = learn_startup(120.0, ())
TABLE = schema.metadata.tables["gpu_supply"]


def supply(gpu_type: str, ceiling: int | None, state: Provisioning | None = None) -> TypeSupply:
    resolved = Resolved(ceiling, "Detected", "why")
    return TypeSupply(gpu_type, resolved, GpusInUse(8, 4, 16), state or Provisioning(), LAW)


def store(engine: Engine, *supplies: TypeSupply, at: datetime = NOW) -> dict[str, dict[str, Any]]:
    with unit_of_work(engine) as work:
        times = Confirming(at - timedelta(seconds=30), at)
        repository.store_supplies(work.connection, supplies, times)
    with engine.connect() as connection:
        rows = connection.execute(select(TABLE)).mappings()
        return {row["gpu_type"]: dict(row) for row in rows}


def test_rows_follow_what_was_seen(database: Engine) -> None:
    rows = store(database, supply("H100", 64), supply("L4", None))
    assert rows.keys() == {"H100", "L4"}
    assert (rows["H100"]["ceiling"], rows["H100"]["asked_gpus"]) == (64, 12)
    rows = store(database, supply("H100", 32))
    assert rows.keys() == {"H100"}
    assert rows["H100"]["ceiling"] == 32
    assert store(database) == {}


def test_a_row_that_did_not_change_is_confirmed_seldom(database: Engine) -> None:
    store(database, supply("H100", 64))
    soon, later = NOW + timedelta(seconds=10), NOW + timedelta(seconds=40)
    assert store(database, supply("H100", 64), at=soon)["H100"]["observed_at"] == NOW
    assert store(database, supply("H100", 64), at=later)["H100"]["observed_at"] == later


def test_a_state_comes_back_as_it_was(database: Engine) -> None:
    state = Provisioning(2, NOW, NOW + timedelta(seconds=60), why="no capacity")
    store(database, supply("H100", 64, state))
    tried = attempt(state, LAW, NOW + timedelta(seconds=90))
    with unit_of_work(database) as work:
        assert repository.load_states(work.connection) == {"H100": state}
        repository.store_attempt(work.connection, "H100", tried)
        assert repository.load_states(work.connection) == {"H100": tried}


def test_start_ups_are_those_of_new_nodes(database: Engine) -> None:
    starts = [("new", 90, True), ("old", 5, False), ("unknown", 7, None)]
    with database.begin() as connection:
        workload = {
            "namespace": "serving", "name": "llama", "shard": 0, "step_s": 60, "spec": {},
            "created_at": NOW, "updated_at": NOW,
        }  # fmt: skip
        statement = insert(schema.workloads).values(workload).returning(schema.workloads.c.id)
        id_ = connection.execute(statement).scalar_one()
        for uid, waited_s, is_new in starts:
            bound_at = NOW + timedelta(seconds=waited_s)
            connection.execute(
                insert(schema.pod_starts).values(
                    pod_uid=uid, workload_id=id_, gpu_type="H100", requested_at=NOW,
                    observed_at=NOW, bound_at=bound_at, is_new_node=is_new,
                )
            )  # fmt: skip
        found = repository.load_startups(connection, NOW + timedelta(hours=1))
        assert dict(found) == {"H100": [90.0]}
        assert dict(repository.load_startups(connection, NOW + timedelta(days=31))) == {}


def test_counts_and_texts_that_no_column_holds_fail_nothing(database: Engine) -> None:
    """Pods may ask for any number, and pools have a limit that is meant as none."""
    resolved = Resolved(10**12, "Detected", "a\0b")
    huge = TypeSupply("H100", resolved, GpusInUse(2**31, 2**40, 16), Provisioning(why="\0"), LAW)
    row = store(database, huge, supply("L4", 64))["H100"]
    assert (row["ceiling"], row["asked_gpus"], row["node_gpus"]) == (2**31 - 1, 2**31 - 1, 16)
    assert (row["message"], row["refusal"]) == ("ab", "")
