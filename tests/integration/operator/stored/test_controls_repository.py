"""Controls, freezes and verdicts as the operator reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, insert, text

from services.kernel.db import schema_control
from services.operator.stored import controls_repository as repository
from services.operator.stored.objects_repository import store_objects
from tests.integration.decision.stored_rows import NOW, ORIGIN, add_workload

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)


def add_controls(database: Engine, name: str, body: dict[str, object]) -> int:
    workload = add_workload(database, name)
    row = {"workload_id": workload, "body": body, "version": 1, "updated_by": "ada",
           "updated_at": NOW}  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(schema_control.workload_controls).values(row))
    return workload


def test_controls_are_those_of_workloads_that_have_some(database: Engine) -> None:
    add_workload(database, "free")
    with database.begin() as connection:
        assert repository.load_controls(connection) == []
    add_controls(database, "w", {"pause": None})
    add_controls(database, "emptied", {})
    with database.begin() as connection:
        (found,) = repository.load_controls(connection)
    assert dict(found) == {
        "namespace": "demo", "name": "w", "body": {"pause": None}, "object_uid": None,
    }  # fmt: skip


def test_controls_are_of_the_object_that_the_workload_follows(database: Engine) -> None:
    ids = {name: add_controls(database, name, {"pause": {}}) for name in ("a", "gone", "rest")}
    with database.begin() as connection:
        store_objects(connection, {ids["a"]: "uid-a"})
        connection.execute(
            text(
                "UPDATE workloads SET is_active = name <> 'gone', "
                "managed_by = CASE name WHEN 'rest' THEN 'api' ELSE 'kubernetes' END"
            )
        )
        found = repository.load_controls(connection)
    assert {row["name"]: row["object_uid"] for row in found} == {"a": "uid-a", "gone": ""}


def test_controls_that_are_taken_back_keep_their_row_and_get_a_later_version(
    database: Engine,
) -> None:
    ids = [add_controls(database, name, {"pause": {}}) for name in ("a", "b")]
    query = text("SELECT body, version, updated_by FROM workload_controls ORDER BY workload_id")
    with database.begin() as connection:
        told = [repository.clear_controls(connection, ids[:1], NOW) for _ in range(2)]
        found = [tuple(row) for row in connection.execute(query)]
    assert found == [({}, 2, "operator"), ({"pause": {}}, 1, "ada")]
    assert [[dict(row) for row in each] for each in told] == [
        [{"workload_id": ids[0], "body": '{"pause": {}}'}],
        [],
    ]


def test_a_freeze_is_in_force_from_its_beginning_until_before_its_end(database: Engine) -> None:
    common = {"direction": "Both", "created_by": "ada", "created_at": NOW - 2 * HOUR}
    freezes = [
        ("begins", NOW, NOW + HOUR, None),
        ("ends", NOW - HOUR, NOW, None),
        ("lifted", NOW - HOUR, NOW + HOUR, NOW),
        ("coming", NOW + HOUR, NOW + 2 * HOUR, None),
        ("in force", NOW - HOUR, NOW + HOUR, None),
    ]
    rows = [
        {"reason": reason, "from_at": from_at, "until_at": until_at, "lifted_at": lifted_at}
        for reason, from_at, until_at, lifted_at in freezes
    ]
    with database.begin() as connection:
        connection.execute(insert(schema_control.freezes), [row | common for row in rows])
        found = repository.load_freezes(connection, NOW)
    assert [row["reason"] for row in found] == ["begins", "in force"]
    assert (found[0]["direction"], found[0]["namespace"], found[0]["name"]) == ("Both", None, None)


def test_the_newest_verdict_on_an_active_workload_in_mode_approval_is_read(
    database: Engine,
) -> None:
    ids = {
        name: add_workload(database, name, mode=mode)
        for name, mode in (("w", "Approval"), ("auto", "Auto"), ("gone", "Approval"))
    }
    add_workload(database, "unjudged", mode="Approval")
    verdicts = [(1, "w", "approved"), (3, "w", "rejected"), (2, "w", "approved"),
                (4, "auto", "approved"), (5, "gone", "approved")]  # fmt: skip
    rows = [
        {"decision_id": number, "origin_at": ORIGIN, "workload_id": ids[name], "actor": "ada",
         "verdict": verdict, "decided_at": NOW}
        for number, name, verdict in verdicts
    ]  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(schema_control.approvals), rows)
        connection.execute(text("UPDATE workloads SET is_active = name <> 'gone'"))
        found = [dict(row) for row in repository.load_verdicts(connection)]
    assert found == [
        {"namespace": "demo", "name": "w", "decision_id": 3, "verdict": "rejected", "actor": "ada"}
    ]
