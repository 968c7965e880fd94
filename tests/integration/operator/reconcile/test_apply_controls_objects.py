"""What was set over an object is not laid over another one of its name."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

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


def test_what_cannot_be_read_of_a_former_object_does_not_hold_the_new_one(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    statement = text(
        "INSERT INTO workload_controls (workload_id, body, version, updated_by, updated_at) "
        "VALUES (:id, '{\"quota\": 3}', 1, 'ada', :now)"
    )
    values = {"id": bench.workload_id("llama"), "now": bench.clock.now()}
    with bench.deps.engine.begin() as connection:
        connection.execute(statement, values)
    bench.lab.delete_autoscaler("llama")
    bench.lab.autoscale("llama")
    bench.decide("llama", 5)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5
