"""CapacityBuffers on the simulated cluster: made, resized, read and removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.lab.cluster.nodes.definitions import (
    BUFFER_GROUP,
    BUFFERS,
    buffer_definition,
    definitions as pool_definitions,
)
from tests.integration.operator.conftest import GROUP_PATH, Bench

pytestmark = pytest.mark.integration

BUDGETS, POOLS = f"{GROUP_PATH}/gpubudgets", "/apis/karpenter.sh/v1/nodepools"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(params=["v1beta1", "v1alpha1"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def held(bench: Bench) -> Iterator[Bench]:
    """An operator that may hold headroom, of a service on one H100 of sixteen."""
    bench.deps.settings.operator_headroom = True
    bench.deps.settings.operator_supply = True
    bench.deps.settings.lease_namespace = bench.lab.namespace
    bench.lab.deploy("llama", replicas=1, median_s=20)
    bench.lab.autoscale("llama")
    yield bench
    for path in (BUDGETS, POOLS, f"{CRDS}/{BUFFERS}.{BUFFER_GROUP}"):
        bench.lab.http.delete(path)
    bench.lab.advance(bench.lab.now() + timedelta(seconds=20))  # the pool takes its nodes with it


def add_pool(bench: Bench, startup: str = "30s") -> None:
    """A NodePool of H100 machines with eight GPUs that come within half a minute."""
    for definition in pool_definitions():
        bench.lab.define(definition)
    given = {"node-gpus": "8", "node-startup-median": startup}
    requirement = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["H100"]}
    metadata = {
        "name": "hopper",
        "annotations": {f"lab.harmony.dev/{name}": value for name, value in given.items()},
    }
    spec = {
        "template": {"spec": {"requirements": [requirement]}},
        "limits": {"nvidia.com/gpu": "64"},
        "disruption": {"consolidateAfter": "0s"},
    }
    bench.lab.post(POOLS, {"metadata": metadata, "spec": spec})


def serve(bench: Bench, version: str = "v1beta1") -> None:
    bench.lab.define(buffer_definition(version))


def ask(bench: Bench, mode: str = "apply", ceiling: int = 80, risk: str | None = None) -> None:
    headroom = {"mode": mode} | ({} if risk is None else {"risk": risk})
    supply = {"mode": "provisioned", "ceiling": ceiling, "headroom": headroom}
    spec = {"gpuType": "H100", "gpus": 1000, "supply": supply}
    if bench.lab.http.get(f"{BUDGETS}/hopper").status_code == 404:
        bench.lab.post(BUDGETS, {"metadata": {"name": "hopper"}, "spec": spec})
        return
    answer = bench.lab.http.patch(f"{BUDGETS}/hopper", json={"spec": spec}, headers=MERGE)
    assert answer.status_code == 200, answer.text


def advise(bench: Bench, gpus: int, free: int = 0) -> None:
    """What the decision service says of H100 now."""
    row = {"gpus": gpus, "free": free, "at": bench.clock.now()}
    with bench.engine.begin() as connection:
        connection.execute(text("DELETE FROM gpu_headroom"))
        statement = (
            "INSERT INTO gpu_headroom VALUES (1, 'H100', 0.01, :gpus, :gpus, 8, :free, 0.2, 0.01, "
            "40, false, 1, 0, 0, 0.5, 0, :at, :at)"
        )
        connection.execute(text(statement), row)


def buffers(bench: Bench, version: str = "v1beta1") -> list[dict[str, Any]]:
    path = f"/apis/{BUFFER_GROUP}/{version}/namespaces/{bench.lab.namespace}/{BUFFERS}"
    return list(bench.lab.http.get(path).json()["items"])


def templates(bench: Bench) -> list[dict[str, Any]]:
    return list(bench.lab.object("core/v1/podtemplates")["items"])


def places(template: dict[str, Any]) -> dict[str, list[str]]:
    """Values of the label that nodes for a buffer's pods have to have."""
    affinity = template["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    (expression,) = term["matchExpressions"]
    assert expression["operator"] == "In"
    return {expression["key"]: expression["values"]}


def ready(bench: Bench) -> dict[str, Any]:
    status = bench.lab.http.get(f"{BUDGETS}/hopper").json()["status"]
    found: dict[str, Any] = {each["type"]: each for each in status["conditions"]}["HeadroomReady"]
    return found


def nodes(bench: Bench) -> int:
    selector = {"labelSelector": "karpenter.sh/nodepool=hopper"}
    return len(bench.lab.http.get("/api/v1/nodes", params=selector).json()["items"])


def test_nodes_are_held_and_let_go_of(held: Bench, version: str) -> None:
    serve(held, version)
    add_pool(held)
    ask(held)
    held.reconcile()
    assert buffers(held, version) == []  # nothing is advised yet
    advise(held, 24)
    held.step()
    (buffer,) = buffers(held, version)
    assert buffer["spec"]["replicas"] == 3
    (template,) = templates(held)
    assert buffer["spec"]["podTemplateRef"] == {"name": template["metadata"]["name"]}
    pod = template["template"]["spec"]
    assert places(template) == {"karpenter.sh/nodepool": ["hopper"]}
    assert pod["containers"][0]["resources"]["requests"] == {"nvidia.com/gpu": "8"}
    assert ready(held)["reason"] == "Provisioning"
    assert ready(held)["message"].endswith(" asks for 24")
    for _ in range(2):
        advise(held, 24)
        held.step()
    assert nodes(held) == 3
    supply = held.rows("gpu_supply")[0]
    assert supply["node_gpus"] - supply["asked_gpus"] >= 24
    ask(held, mode="advise")
    held.reconcile()
    assert (buffers(held, version), templates(held)) == ([], [])
    held.step()
    assert nodes(held) == 0


def test_it_rises_at_once_and_falls_when_less_was_advised_for_long(held: Bench) -> None:
    serve(held)
    add_pool(held)
    ask(held)
    sizes = []
    for gpus in (8, 32, *([16] * 22)):
        advise(held, gpus)
        held.step()
        sizes.append(buffers(held)[0]["spec"]["replicas"])
    assert sizes[:3] == [1, 4, 4]
    assert sizes[-1] == 2
    assert set(sizes[2:]) == {4, 2}


def test_another_operator_goes_on_with_the_same_buffer(held: Bench) -> None:
    serve(held)
    add_pool(held)
    ask(held)
    advise(held, 32)
    held.step()
    held.deps.memory.forget()
    advise(held, 8)
    held.step()
    (buffer,) = buffers(held)
    assert buffer["spec"]["replicas"] == 4


def test_never_beyond_the_ceiling(held: Bench) -> None:
    serve(held)
    add_pool(held)
    ask(held, ceiling=30)
    advise(held, 64)
    held.step()
    assert buffers(held)[0]["spec"]["replicas"] == 3  # one GPU is in use
    ask(held, ceiling=20)
    held.step()
    assert buffers(held)[0]["spec"]["replicas"] == 2


def test_other_nodes_get_another_template(held: Bench) -> None:
    serve(held)
    ask(held)
    advise(held, 8)
    held.step()
    (before,) = templates(held)
    assert places(before) == {"nvidia.com/gpu.product": ["H100"]}
    add_pool(held)
    held.step()
    (after,) = templates(held)
    assert after["metadata"]["name"] != before["metadata"]["name"]
    ref = buffers(held)[0]["spec"]["podTemplateRef"]
    assert ref == {"name": after["metadata"]["name"]}


def test_a_template_that_somebody_deleted_is_made_again(held: Bench) -> None:
    """One that went with a GPUBudget that was made again, too."""
    serve(held)
    ask(held)
    advise(held, 16)
    held.reconcile()
    (template,), (buffer,) = templates(held), buffers(held)
    name = template["metadata"]["name"]
    path = f"/api/v1/namespaces/{held.lab.namespace}/podtemplates/{name}"
    assert held.lab.http.delete(path).status_code == 200
    said = {
        "type": "ReadyForProvisioning",
        "status": "False",
        "reason": "PodTemplateNotFound",
        "message": f"PodTemplate/{name} was not found",
        "lastTransitionTime": template["metadata"]["creationTimestamp"],
    }
    root = f"/apis/{BUFFER_GROUP}/v1beta1/namespaces/{held.lab.namespace}/{BUFFERS}"
    where = f"{root}/{buffer['metadata']['name']}/status"
    answer = held.lab.http.patch(where, json={"status": {"conditions": [said]}}, headers=MERGE)
    assert answer.status_code == 200, answer.text
    held.reconcile()
    (after,) = templates(held)
    assert after["metadata"]["name"] == name
    assert ready(held)["reason"] == "BufferRefused", "as long as it is said"


def test_a_buffer_that_nothing_reads_is_said_and_holds_nothing(held: Bench) -> None:
    """Without a pool the simulated cluster has no autoscaler."""
    serve(held)
    ask(held)
    for minute in range(8):
        advise(held, 8, free=8)
        held.step()
        reason = ready(held)["reason"]
        assert reason == ("BufferUnread" if minute >= 5 else "Free"), minute
    assert "nothing that adds nodes reads it" in ready(held)["message"]
    (supply,) = (row for row in held.rows("gpu_supply") if row["gpu_type"] == "H100")
    assert supply["node_gpus"] == 16


def test_where_buffers_are_not_served_that_is_said(held: Bench) -> None:
    ask(held)
    advise(held, 8)
    held.reconcile()
    assert ready(held)["reason"] == "BuffersNotServed"
    assert "v1beta1 or v1alpha1" in ready(held)["message"]


def test_nothing_is_written_where_it_is_not_switched_on(held: Bench) -> None:
    serve(held)
    held.deps.settings.operator_headroom = False
    ask(held)
    advise(held, 8)
    held.reconcile()
    assert (buffers(held), ready(held)["reason"]) == ([], "ApplyOff")
    held.deps.settings.operator_headroom = True
    held.deps.settings.lease_namespace = ""
    held.reconcile()
    assert (buffers(held), ready(held)["reason"]) == ([], "ApplyOff")


def test_a_refusal_is_said_and_ends_by_itself(held: Bench) -> None:
    serve(held)
    ask(held)
    advise(held, 8)
    held.lab.fault(kind="forbidden", verb="create", resource=BUFFERS)
    held.reconcile()
    assert ready(held)["reason"] == "BufferRefused"
    held.reconcile()
    assert len(buffers(held)) == 1


def test_what_cannot_be_read_lets_go_of_nothing(held: Bench) -> None:
    """No ceiling can be read for a while; then nothing can of the budget."""
    serve(held)
    add_pool(held)
    spec = {"gpuType": "H100", "gpus": 1000, "supply": {"headroom": {"mode": "apply"}}}
    held.lab.post(BUDGETS, {"metadata": {"name": "hopper"}, "spec": spec})
    advise(held, 16)
    held.step()
    assert buffers(held)[0]["spec"]["replicas"] == 2
    held.deps.settings.operator_supply = False
    held.step()
    assert buffers(held)[0]["spec"]["replicas"] == 2
    held.deps.settings.operator_supply = True
    unread = {"metadata": {"annotations": {"scaling.harmony.dev/node-groups": "h100=many"}}}
    answer = held.lab.http.patch(f"{BUDGETS}/hopper", json=unread, headers=MERGE)
    assert answer.status_code == 200
    held.step()
    assert buffers(held)[0]["spec"]["replicas"] == 2


def test_the_budget_takes_its_buffer_with_it(held: Bench) -> None:
    serve(held)
    ask(held)
    advise(held, 8)
    held.reconcile()
    assert len(buffers(held)) == len(templates(held)) == 1
    held.lab.http.delete(f"{BUDGETS}/hopper")
    assert (buffers(held), templates(held)) == ([], [])
