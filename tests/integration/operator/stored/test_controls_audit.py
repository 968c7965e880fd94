"""What the operator empties, in the audit log: whose, of which objects, and in which cluster."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.clusters import add_cluster
from services.kernel.domain.controls import Controls, PauseControl
from services.kernel.security.audit import verify_audit
from services.operator.stored.controls_audit import ClearedControls, audit_cleared
from tests.integration.decision.stored_rows import NOW

pytestmark = pytest.mark.integration
PAUSED = Controls(pause=PauseControl(reason="load test")).model_dump_json()
NOTHING = Controls().model_dump_json()


def cleared(body: str, name: str = "llama") -> ClearedControls:
    return ClearedControls("prod", name, body, "uid-a", "uid-b")


def entries(database: Engine, *given: ClearedControls, cluster: str = "default") -> Any:
    query = text("SELECT actor, action, object, before, after FROM audit ORDER BY id")
    with database.begin() as connection:
        audit_cleared(connection, given, cluster)
        assert verify_audit(connection).is_intact
        return [dict(row) for row in connection.execute(query).mappings()]


def test_each_workload_has_an_entry(database: Engine) -> None:
    first, second = entries(database, cleared(PAUSED), cleared(PAUSED, "qwen"))
    assert (first["actor"], first["action"]) == ("operator", "controls.clear")
    assert [first["object"], second["object"]] == ["workload/prod/llama", "workload/prod/qwen"]
    assert first["before"]["pause"]["reason"] == "load test"
    assert (first["before"]["object_uid"], first["after"]["object_uid"]) == ("uid-a", "uid-b")


def test_what_set_nothing_has_none(database: Engine) -> None:
    assert entries(database, cleared(NOTHING), cleared('{"pause": null}')) == []


@pytest.mark.parametrize("body", ['{"quota": 3}', "[1]", '{"pause": 1e400}', "3"])
def test_what_cannot_be_read_is_told_as_its_text(database: Engine, body: str) -> None:
    (entry,) = entries(database, cleared(body))
    assert entry["before"] == {"object_uid": "uid-a", "unreadable": body}


def test_much_that_cannot_be_read_is_cut_off(database: Engine) -> None:
    (entry,) = entries(database, cleared(f'"{"x" * 9999}"'))
    assert len(entry["before"]["unreadable"]) == 2000


def test_another_cluster_than_the_first_is_named(database: Engine) -> None:
    with database.begin() as connection:
        add_cluster(connection, "eu-west", NOW)
    (entry,) = entries(database, cleared(PAUSED), cluster="eu-west")
    assert entry["object"] == "workload/prod/llama@eu-west"
