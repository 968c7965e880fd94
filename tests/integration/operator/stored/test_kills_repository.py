"""Killed pods are those of a scaling in that was applied just before they were told to end."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert

from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.session import CopyTarget, copy_rows, unit_of_work
from services.operator.cluster.kills import KilledPod, Kills
from services.operator.stored.kills_repository import load_kills, store_kills
from tests.unit.operator.examples import NOW

pytestmark = pytest.mark.integration
TABLE = schema.metadata.tables["killed_pods"]
SECOND = timedelta(seconds=1)


def add_workload(connection: Connection) -> int:
    row = {
        "namespace": "serving", "name": "llama", "shard": 0, "step_s": 60, "spec": {},
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    made = insert(schema.workloads).values(row).returning(schema.workloads.c.id)
    return int(connection.execute(made).scalar_one())


def add_action(connection: Connection, workload_id: int, decision_id: int, **changes: Any) -> None:
    row = {
        "id": decision_id, "origin_at": NOW - 60 * SECOND, "decision_id": decision_id,
        "workload_id": workload_id, "attempt": 1, "from_replicas": 4, "to_replicas": 2,
        "result": "applied", "reason": "scale_down_cost", "applied_at": NOW, "parts": None,
    } | changes  # fmt: skip
    ensure_partitions(connection, "actions", NOW, NOW)
    columns = tuple(row)
    copy_rows(connection, CopyTarget(schema.actions, columns), [tuple(row.values())])


def killed(uid: str, told_at: datetime = NOW + SECOND, grace_s: float = 30.0) -> KilledPod:
    ends_at = told_at + timedelta(seconds=grace_s)
    return KilledPod(uid, "serving", f"pod-{uid}", told_at, ends_at, grace_s)


def test_a_kill_is_of_the_scaling_in_before_it_and_stored_once(database: Engine) -> None:
    with unit_of_work(database) as work:
        id_ = add_workload(work.connection)
        add_action(work.connection, id_, 7, applied_at=NOW - 50 * SECOND)
        add_action(work.connection, id_, 8)
        assert store_kills(work.connection, [killed("a"), killed("b")], [id_, id_]) == [id_, id_]
        assert store_kills(work.connection, [killed("a")], [id_]) == []
        assert store_kills(work.connection, [], []) == []
        rows = work.connection.execute(TABLE.select()).mappings().all()
    assert {(row["pod"], row["decision_id"], row["requests"]) for row in rows} == {
        ("pod-a", 8, None),
        ("pod-b", 8, None),
    }


@pytest.mark.parametrize(
    ("changes", "is_stored"),
    [
        ({}, True),
        ({"from_replicas": 2, "to_replicas": 4}, False),
        ({"result": "failed"}, False),
        ({"applied_at": NOW - 70 * SECOND}, False),
        ({"applied_at": NOW + 10 * SECOND}, False),
        (
            {"to_replicas": 5, "parts": json.dumps([{"name": "l4", "from": 3, "to": 1}])},
            True,
        ),
    ],
)
def test_pods_that_went_otherwise_are_left_out(
    database: Engine, changes: dict[str, Any], is_stored: bool
) -> None:
    with unit_of_work(database) as work:
        id_ = add_workload(work.connection)
        add_action(work.connection, id_, 7, **changes)
        assert store_kills(work.connection, [killed("a")], [id_]) == [id_] * is_stored


def test_the_requests_are_those_that_were_read_while_it_ended(database: Engine) -> None:
    pods = schema.metadata.tables["pod_requests"]
    with unit_of_work(database) as work:
        id_ = add_workload(work.connection)
        add_action(work.connection, id_, 7)
        by_pod = {"pod-a": 3.0, "pod-idle": 0.0, "pod-late": 5.0}
        row = {"workload_id": id_, "by_pod": by_pod, "observed_at": NOW + 4 * SECOND}
        work.connection.execute(insert(pods).values(row))
        late = killed("late", told_at=NOW + 20 * SECOND)
        found = [killed("a"), killed("idle"), killed("new"), late]
        store_kills(work.connection, found, [id_] * 4)
        rows = work.connection.execute(TABLE.select()).mappings().all()
        recent = load_kills(work.connection, [id_], NOW)
        assert load_kills(work.connection, [id_ + 1], NOW) == {}
        assert load_kills(work.connection, [id_], NOW + timedelta(days=1)) == {}
    assert {row["pod_uid"]: row["requests"] for row in rows} == {
        "a": 3.0, "idle": 0.0, "new": None, "late": None,
    }  # fmt: skip
    assert recent == {id_: Kills(3, 30.0, NOW + 50 * SECOND, 3.0)}
