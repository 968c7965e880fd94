"""What was set over an object is not laid over another one of its name."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from services.operator.stored import controls_audit
from tests.integration.admin.app_client import AppClient
from tests.integration.operator.conftest import Bench
from tests.integration.operator.controls_api import patch_policy, workload

pytestmark = pytest.mark.integration
SPEC = {
    "demand": "rps",
    "indicators": [{"name": "rps", "level": 1}],
    "capacity": {"per_replica": 10},
}


def shown(bench: Bench, api: AppClient, part: str) -> dict[str, Any]:
    return dict(api.get(workload(bench, part)).json())


def set_to_auto_and_paused_in(bench: Bench, api: AppClient) -> None:
    """A watched object that is set to act, but for increases."""
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Advisory")
    bench.reconcile()
    assert patch_policy(bench, api, {"mode": "Auto"}).status_code == 200
    body = {"direction": "ScaleOut", "reason": "migration"}
    assert api.request("PUT", workload(bench, "pause"), json=body).status_code == 200
    bench.reconcile()
    assert shown(bench, api, "policy")["in_force"]["mode"] == "Auto"


def test_a_new_object_of_the_name_begins_with_nothing_set(bench: Bench, api: AppClient) -> None:
    set_to_auto_and_paused_in(bench, api)
    bench.lab.delete_autoscaler("llama")
    bench.reconcile()
    before = shown(bench, api, "policy")["version"]
    bench.lab.autoscale("llama", mode="Advisory")
    bench.reconcile()
    bench.decide("llama", 9)
    bench.reconcile()
    policy, pause = shown(bench, api, "policy"), shown(bench, api, "pause")
    assert (policy["in_force"]["mode"], policy["overrides"], policy["is_in_force"]) == (
        "Advisory", {}, True,
    )  # fmt: skip
    assert pause["is_paused"] is False
    assert policy["version"] == before + 1, "an ETag of before fits no more"
    assert bench.lab.replicas("llama") == 2


def emptied(api: AppClient) -> list[dict[str, Any]]:
    """What the audit log says of controls that were emptied, the newest first."""
    assert api.get("/v1/audit/check").json()["is_intact"] is True
    return list(api.get("/v1/audit", params={"action": "controls.clear"}).json()["items"])


@pytest.mark.parametrize("is_seen_gone", [True, False])
def test_what_was_emptied_is_in_the_audit_log(
    bench: Bench, api: AppClient, is_seen_gone: bool
) -> None:
    set_to_auto_and_paused_in(bench, api)
    former = bench.lab.autoscaler("llama")["metadata"]["uid"]
    bench.lab.delete_autoscaler("llama")
    if is_seen_gone:
        bench.reconcile()
    assert emptied(api) == []
    bench.lab.autoscale("llama", mode="Advisory")
    for _ in range(2):
        bench.reconcile()
    (entry,) = emptied(api)
    present = bench.lab.autoscaler("llama")["metadata"]["uid"]
    assert (entry["actor"], entry["object"]) == (
        "operator",
        f"workload/{bench.lab.namespace}/llama",
    )
    before, after = entry["before"], entry["after"]
    assert (before["object_uid"], after["object_uid"]) == (former, present)
    assert before["policy"]["mode"] == "Auto"
    assert (before["pause"]["direction"], before["pause"]["reason"]) == ("ScaleOut", "migration")
    assert after["reason"] == "another GPUAutoscaler of this name is there"
    assert shown(bench, api, "policy")["overrides"] == {}


def test_nothing_is_told_where_nothing_was_set_any_longer(bench: Bench, api: AppClient) -> None:
    set_to_auto_and_paused_in(bench, api)
    assert patch_policy(bench, api, {"mode": None}).status_code == 200
    assert api.request("DELETE", workload(bench, "pause")).status_code == 200
    bench.lab.delete_autoscaler("llama")
    bench.lab.autoscale("llama", mode="Advisory")
    bench.reconcile()
    assert emptied(api) == []


def test_what_cannot_be_told_is_emptied_by_no_pass(
    bench: Bench, api: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry and the change are one transaction."""
    set_to_auto_and_paused_in(bench, api)
    bench.lab.delete_autoscaler("llama")
    bench.lab.autoscale("llama", mode="Advisory")

    def refuse(*_: Any) -> None:
        raise ConnectionError("the database is gone")

    with monkeypatch.context() as broken:
        broken.setattr(controls_audit, "append_audit", refuse)
        with pytest.raises(ConnectionError):
            bench.reconcile()
    assert shown(bench, api, "policy")["overrides"] == {"mode": "Auto"}
    bench.reconcile()
    assert len(emptied(api)) == 1


def test_one_that_is_replaced_between_two_passes_is_another(bench: Bench, api: AppClient) -> None:
    """Nothing of the former is laid over it in the very pass that sees it first."""
    set_to_auto_and_paused_in(bench, api)
    bench.lab.delete_autoscaler("llama")
    bench.lab.autoscale("llama", mode="Advisory")
    bench.reconcile()
    policy = shown(bench, api, "policy")
    assert (policy["in_force"]["mode"], policy["overrides"]) == ("Advisory", {})
    assert bench.lab.condition("llama", "Paused")["status"] == "False"


def test_one_that_is_out_of_sight_for_a_while_keeps_what_was_set(
    bench: Bench, api: AppClient
) -> None:
    set_to_auto_and_paused_in(bench, api)
    with bench.deps.engine.begin() as connection:
        connection.execute(text("UPDATE workloads SET is_active = false"))
    bench.reconcile()
    assert shown(bench, api, "policy")["in_force"]["mode"] == "Auto"
    assert shown(bench, api, "pause")["is_in_force"] is True


@pytest.mark.parametrize(("is_there", "mode"), [(True, "Auto"), (False, "Advisory")])
def test_what_an_earlier_release_stored_is_of_the_object_that_is_there(
    bench: Bench, api: AppClient, is_there: bool, mode: str
) -> None:
    """Which object it was is not stored of it: one that was gone was another."""
    set_to_auto_and_paused_in(bench, api)
    with bench.deps.engine.begin() as connection:
        forget = text("UPDATE workloads SET object_uid = NULL, is_active = :is_there")
        connection.execute(forget, {"is_there": is_there})
    bench.reconcile()
    policy = shown(bench, api, "policy")
    assert (policy["in_force"]["mode"], policy["is_in_force"]) == (mode, True)
    assert bool(policy["overrides"]) is is_there


def test_a_workload_made_over_rest_has_nothing_set_and_so_has_an_object_that_takes_it_over(
    bench: Bench, api: AppClient
) -> None:
    """A pause of the former object showed for ever there, and could not be lifted."""
    set_to_auto_and_paused_in(bench, api)
    bench.lab.delete_autoscaler("llama")
    bench.reconcile()
    body = {"namespace": bench.lab.namespace, "name": "llama", "spec": SPEC}
    assert api.post("/v1/workloads", json=body).status_code == 201
    assert shown(bench, api, "pause")["is_paused"] is False
    assert shown(bench, api, "policy")["overrides"] == {}
    assert api.get("/v1/pauses").json()["items"] == []
    bench.lab.autoscale("llama", mode="Advisory")
    bench.reconcile()
    policy = shown(bench, api, "policy")
    assert (policy["in_force"]["mode"], policy["overrides"]) == ("Advisory", {})
    (entry,) = emptied(api)
    assert (entry["before"]["object_uid"], entry["before"]["policy"]["mode"]) == (None, "Auto")


@pytest.mark.parametrize("body", ['{"quota": 3}', "[3]", '"word"'])
def test_what_cannot_be_read_of_a_former_object_does_not_hold_the_new_one(
    bench: Bench, api: AppClient, body: str
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    statement = text(
        "INSERT INTO workload_controls (workload_id, body, version, updated_by, updated_at) "
        "VALUES (:id, CAST(:body AS jsonb), 1, 'ada', :now)"
    )
    values = {"id": bench.workload_id("llama"), "body": body, "now": bench.clock.now()}
    with bench.deps.engine.begin() as connection:
        connection.execute(statement, values)
    bench.lab.delete_autoscaler("llama")
    bench.lab.autoscale("llama")
    bench.decide("llama", 5)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5
    (entry,) = emptied(api)
    assert entry["before"]["unreadable"][:9] == body[:9]
