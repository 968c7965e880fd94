"""Controls as they are stored: one row a workload, with a version that grows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from services.admin.controls import repository
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
LLAMA, MIXTRAL, SDXL = "llama-70b-chat", "mixtral-agents", "sdxl-turbo"


def save(
    connection: Connection, workload_id: int, body: dict[str, Any], by: str = "ada", seen: int = 0
) -> int | None:
    values = {"body": body, "updated_by": by, "updated_at": NOW}
    return repository.save_controls(connection, workload_id, seen, values)


def names(connection: Connection, what: str, limit: int = 9, **filters: Any) -> list[str]:
    rows = repository.load_page_controlled(connection, {"what": what, **filters}, limit)
    return [row["name"] for row in rows]


def test_a_workload_without_controls_has_version_0(database: Engine) -> None:
    with database.connect() as connection:
        row = repository.load_controlled(connection, "llm-prod", LLAMA)
        assert repository.load_controlled(connection, "diffusion", LLAMA) is None
    assert row is not None
    assert (row["id"], row["version"], row["body"], row["updated_by"]) == (1, 0, {}, None)


def test_each_change_replaces_the_controls_and_raises_their_version(database: Engine) -> None:
    with database.begin() as connection:
        assert save(connection, 1, {"policy": {"max_replicas": 4}}) == 1
        assert save(connection, 1, {"policy": {}}, by="bob", seen=1) == 2
        assert save(connection, 2, {}) == 1
        row = repository.load_controlled(connection, "llm-prod", LLAMA, is_locked=True)
    assert row is not None
    assert (row["version"], row["body"], row["updated_by"]) == (2, {"policy": {}}, "bob")
    assert row["updated_at"] == NOW


def test_controls_that_have_changed_since_they_were_read_are_not_replaced(
    database: Engine,
) -> None:
    with database.begin() as connection:
        save(connection, 1, {"policy": {"max_replicas": 4}})
        assert save(connection, 1, {"policy": {}}, by="bob", seen=0) is None
        row = repository.load_controlled(connection, "llm-prod", LLAMA)
    assert row is not None
    assert (row["version"], row["updated_by"]) == (1, "ada")


def test_who_waited_for_another_reads_what_that_one_wrote(database: Engine) -> None:
    """Its lock was waited for with the controls of before already read."""
    with database.connect() as first, database.connect() as second, ThreadPoolExecutor(1) as pool:
        repository.load_controlled(first, "llm-prod", LLAMA, is_locked=True)
        process = second.execute(text("SELECT pg_backend_pid()")).scalar_one()
        waiting = pool.submit(repository.load_controlled, second, "llm-prod", LLAMA, is_locked=True)
        with database.connect() as watching:
            blocked = text("SELECT cardinality(pg_blocking_pids(:process)) > 0")
            while not watching.execute(blocked, {"process": process}).scalar_one():
                assert not waiting.done()
        save(first, 1, {"pause": {"reason": "incident"}})
        first.commit()
        row = waiting.result()
    assert row is not None
    assert (row["version"], row["body"]) == (1, {"pause": {"reason": "incident"}})


def test_a_locked_workload_is_not_locked_by_another(database: Engine) -> None:
    query = text("SELECT id FROM workloads WHERE id = ANY(:ids) FOR UPDATE SKIP LOCKED")
    with database.connect() as one, database.connect() as other:
        repository.load_controlled(one, "llm-prod", LLAMA, is_locked=True)
        repository.load_controlled(one, "llm-prod", MIXTRAL)
        assert other.execute(query, {"ids": [1, 2]}).scalars().all() == [2]


def test_pauses_are_those_set_here_or_in_the_spec(database: Engine) -> None:
    with database.begin() as connection:
        assert names(connection, "pause") == []
        until = (NOW + timedelta(hours=1)).isoformat()
        save(connection, 1, {"pause": {"until_at": until}})
        save(connection, 2, {"pause": None})
        assert names(connection, "pause") == [LLAMA]
        for flag in ("paused", "scale_in_only", "scale_out_only"):
            change = text(
                "UPDATE workloads SET spec = spec || jsonb_build_object(CAST(:flag AS text), "
                "id = 3) || jsonb_build_object('was', CAST(:flag AS text))"
            )
            connection.execute(change, {"flag": flag})
            assert names(connection, "pause") == [SDXL, LLAMA]
            connection.execute(text("UPDATE workloads SET spec = spec - (spec ->> 'was')"))
        assert names(connection, "pause", namespace="diffusion") == []


def test_schedules_are_listed_where_there_are_some_and_policies_everywhere(
    database: Engine,
) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = spec || CASE WHEN id = 2 THEN "
                "'{\"schedules\": [{}]}'::jsonb ELSE '{\"schedules\": []}'::jsonb END "
                "WHERE id < 3"
            )
        )
        assert names(connection, "schedules") == [MIXTRAL]
        assert names(connection, "policy", limit=3) == [SDXL, LLAMA, MIXTRAL]
        assert names(connection, "policy", after=("llm-prod", LLAMA, 1)) == [MIXTRAL]
        assert names(connection, "policy", namespaces=["llm-prod"]) == [LLAMA, MIXTRAL]
        connection.execute(text("UPDATE workloads SET is_active = id = 3"))
        assert names(connection, "policy") == [SDXL]


def test_freezes_are_those_that_cover_a_workload_and_are_not_over(database: Engine) -> None:
    hour = timedelta(hours=1)
    made = [
        ("fleet", None, None, NOW + hour, None),
        ("namespace", "llm-prod", None, NOW + hour, None),
        ("one", "llm-prod", LLAMA, NOW + hour, None),
        ("another", "llm-prod", MIXTRAL, NOW + hour, None),
        ("elsewhere", "diffusion", None, NOW + hour, None),
        ("over", "llm-prod", None, NOW, None),
        ("lifted", "llm-prod", None, NOW + hour, NOW - hour),
    ]
    insert = text(
        "INSERT INTO freezes (reason, namespace, name, until_at, lifted_at, direction, from_at, "
        "created_by, created_at) VALUES (:reason, :namespace, :name, :until, :lifted, 'Both', "
        ":at, 'ada', :at)"
    )
    names = ("reason", "namespace", "name", "until", "lifted")
    with database.begin() as connection:
        rows = [dict(zip(names, each, strict=True)) | {"at": NOW - 2 * hour} for each in made]
        connection.execute(insert, rows)
        one = repository.load_controlled(connection, "llm-prod", LLAMA)
        other = repository.load_controlled(connection, "llm-prod", MIXTRAL)
        assert one is not None
        assert other is not None
        found = repository.load_freezes(connection, [one["id"], other["id"]], NOW)
        assert {id_: [row["reason"] for row in each] for id_, each in found.items()} == {
            one["id"]: ["fleet", "namespace", "one"],
            other["id"]: ["fleet", "namespace", "another"],
        }
        connection.execute(text("UPDATE workloads SET managed_by = 'api'"))
        assert repository.load_freezes(connection, [one["id"]], NOW) == {}
