"""What adds nodes, as far as it can be read; what cannot costs only what needs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from services.lab.cluster.nodes.definitions import definitions
from services.operator.kube.client import KubeClient
from services.operator.kube.mirrored import MirroredKube
from services.operator.kube.node_sources import read_sources
from services.operator.resource.rights import FURTHER_RIGHTS, RIGHTS
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.mirroring import eventually
from tests.integration.operator.resource.test_rights import act_as, without

pytestmark = pytest.mark.integration

POOLS = "/apis/karpenter.sh/v1/nodepools"
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
MAPS = "/api/v1/namespaces/kube-system/configmaps"
BUDGETS = f"{GROUP_PATH}/gpubudgets"


@pytest.fixture
def karpenter(bench: Bench) -> Iterator[Bench]:
    """An operator that looks for what adds nodes, and a pool of H100."""
    for definition in definitions():
        bench.lab.define(definition)
    bench.deps.settings.operator_supply = True
    requirement = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["H100"]}
    template = {"spec": {"requirements": [requirement]}}
    spec = {"template": template, "limits": {"nvidia.com/gpu": "64"}}
    bench.lab.post(POOLS, {"metadata": {"name": "hopper"}, "spec": spec})
    yield bench
    for path in (POOLS, CLAIMS, BUDGETS, f"{MAPS}/cluster-autoscaler-status"):
        bench.lab.http.delete(path)


def budget(bench: Bench, **supply: Any) -> None:
    spec = {"gpuType": "H100", "gpus": 100, "supply": supply}
    bench.lab.post(BUDGETS, {"metadata": {"name": "hopper"}, "spec": spec})


def provisioned(bench: Bench) -> dict[str, Any]:
    status = bench.lab.http.get(f"{BUDGETS}/hopper").json()["status"]
    return next(dict(c) for c in status["conditions"] if c["type"] == "Provisioned")


def test_pools_claims_and_groups_are_read(karpenter: Bench) -> None:
    status = "nodeGroups: [{name: a, health: {maxSize: 4, cloudProviderTarget: 1}}]"
    body = {"metadata": {"name": "cluster-autoscaler-status"}, "data": {"status": status}}
    karpenter.lab.post(MAPS, body)
    found = read_sources(karpenter.deps.kube)
    assert found.is_on
    assert [pool.name for pool in found.pools or ()] == ["hopper"]
    assert (found.claims, found.problems) == ((), ())
    assert found.has_status
    assert found.groups is not None
    assert found.groups["a"].most == 4


def test_a_status_that_is_not_there_is_named(karpenter: Bench) -> None:
    """As where the Cluster Autoscaler runs in a namespace of its own, or not at all."""
    assert not read_sources(karpenter.deps.kube).has_status
    spec = {"gpuType": "B200", "gpus": 100}
    annotations = {"scaling.harmony.dev/node-groups": "asg-b200=8"}
    named = {"metadata": {"name": "hopper", "annotations": annotations}, "spec": spec}
    karpenter.lab.post(BUDGETS, named)
    karpenter.lab.deploy("llama")
    karpenter.lab.autoscale("llama", gpuType="B200")
    karpenter.reconcile()
    found = provisioned(karpenter)
    assert (found["status"], found["reason"]) == ("False", "CeilingUnknown")
    said = "ConfigMap/kube-system/cluster-autoscaler-status does not exist"
    assert found["message"].startswith(said)


def test_a_status_in_an_unknown_form_is_named(karpenter: Bench) -> None:
    body = {"metadata": {"name": "cluster-autoscaler-status"}, "data": {"status": "?"}}
    karpenter.lab.post(MAPS, body)
    found = read_sources(karpenter.deps.kube)
    assert found.groups is None
    assert "ConfigMap/kube-system/cluster-autoscaler-status" in found.problems[0]
    assert [pool.name for pool in found.pools or ()] == ["hopper"]


def test_without_the_rights_a_condition_says_what_is_lost(karpenter: Bench) -> None:
    budget(karpenter, mode="auto")
    act_as(karpenter, RIGHTS)
    karpenter.lab.deploy("llama")
    karpenter.lab.autoscale("llama")
    karpenter.reconcile()
    found = provisioned(karpenter)
    assert (found["status"], found["reason"]) == ("False", "SupplyUnreadable")
    assert "grant the operator list and watch on them (docs/supply.md)" in found["message"]
    assert karpenter.lab.condition("llama", "TargetResolved")["status"] == "True"


def test_with_the_rights_a_ceiling_is_found(karpenter: Bench) -> None:
    budget(karpenter, mode="auto")
    act_as(karpenter, (*RIGHTS, *FURTHER_RIGHTS))
    karpenter.lab.deploy("llama")
    karpenter.lab.autoscale("llama")
    karpenter.reconcile()
    found = provisioned(karpenter)
    assert (found["status"], found["reason"]) == ("True", "Detected")
    status = karpenter.lab.http.get(f"{BUDGETS}/hopper").json()["status"]["supply"]
    assert (status["mode"], status["ceiling"], status["nodeGpus"]) == ("provisioned", 80, 16)


def test_claims_that_may_not_be_listed_cost_their_reasons_only(karpenter: Bench) -> None:
    http = act_as(karpenter, without("nodeclaims", "list", "watch"))
    karpenter.deps = replace(karpenter.deps, kube=KubeClient(http))
    found = read_sources(karpenter.deps.kube)
    assert [pool.name for pool in found.pools or ()] == ["hopper"]
    assert found.claims == ()
    assert "nodeclaims.karpenter.sh cannot be listed" in found.problems[0]


def test_a_supply_that_is_stated_needs_none_of_it(karpenter: Bench) -> None:
    karpenter.deps.settings.operator_supply = False
    budget(karpenter, mode="provisioned", ceiling=40)
    karpenter.lab.deploy("llama")
    karpenter.lab.autoscale("llama")
    karpenter.lab.http.delete("/lab/requests")
    karpenter.reconcile()
    assert provisioned(karpenter)["reason"] == "CeilingSet"
    asked = karpenter.lab.http.get("/lab/requests").json()["requests"]
    assert not {"nodepools", "nodeclaims", "configmaps"} & {each["resource"] for each in asked}


EVENTS = "/api/v1/namespaces/default/events"
FINALIZER = "karpenter.sh/termination"
LAUNCHED = {"type": "Launched", "lastTransitionTime": "2026-01-05T00:00:00Z", "message": ""}


def add_claim(bench: Bench, pool: str, *finalizers: str) -> dict[str, Any]:
    """A claim that Karpenter has just made, or has begun to launch if it has the finalizer."""
    metadata = {"name": f"{pool}-1", "labels": {"karpenter.sh/nodepool": pool}}
    return bench.lab.post(CLAIMS, {"metadata": {**metadata, "finalizers": list(finalizers)}})


def merge(bench: Bench, claim: dict[str, Any], change: dict[str, Any], sub: str = "") -> None:
    path = f"{CLAIMS}/{claim['metadata']['name']}{sub}"
    headers = {"Content-Type": "application/merge-patch+json"}
    assert bench.lab.http.patch(path, json=change, headers=headers).status_code == 200


def say(bench: Bench, claim: dict[str, Any], **condition: str) -> None:
    merge(bench, claim, {"status": {"conditions": [LAUNCHED | condition]}}, "/status")


def delete(bench: Bench, claim: dict[str, Any]) -> None:
    assert bench.lab.http.delete(f"{CLAIMS}/{claim['metadata']['name']}").status_code == 200


def let_go(bench: Bench, claim: dict[str, Any]) -> None:
    merge(bench, claim, {"metadata": {"finalizers": None}})


def refused(kube: MirroredKube) -> dict[str, str]:
    return {pool: each.why for pool, each in read_sources(kube).refused.items()}


def test_a_claim_that_went_before_it_was_launched_is_a_refusal(
    karpenter: Bench, mirrored: MirroredKube
) -> None:
    assert refused(mirrored) == {}
    claim = add_claim(karpenter, "hopper", FINALIZER)
    delete(karpenter, claim)
    said = "insufficient capacity, all requested instance types were unavailable during launch"
    event = {
        "metadata": {"name": "hopper-1.1"},
        "involvedObject": {"kind": "NodeClaim", "uid": claim["metadata"]["uid"]},
        "type": "Warning",
        "reason": "InsufficientCapacityError",
        "message": f"NodeClaim hopper-1 event: {said}",
    }
    karpenter.lab.post(EVENTS, event)
    let_go(karpenter, claim)
    eventually(lambda: refused(mirrored), "the copy to see that it went")
    why = f"was deleted before it was launched (InsufficientCapacityError: {said})"
    assert refused(mirrored) == {"hopper": f"NodeClaim/hopper-1 {why}"}


def test_a_claim_that_somebody_deleted_is_none(karpenter: Bench, mirrored: MirroredKube) -> None:
    """Its launch is finished first; or it never began."""
    assert refused(mirrored) == {}
    launched = add_claim(karpenter, "launched", FINALIZER)
    delete(karpenter, launched)
    say(karpenter, launched, status="True", reason="Launched")
    let_go(karpenter, launched)
    delete(karpenter, add_claim(karpenter, "new"))
    delete(karpenter, add_claim(karpenter, "leaving", FINALIZER))
    failed = add_claim(karpenter, "failed", FINALIZER)
    say(karpenter, failed, status="Unknown", reason="LaunchFailed", message="no such subnet")
    delete(karpenter, failed)
    let_go(karpenter, failed)
    eventually(lambda: refused(mirrored), "the copy to see that the last one went")
    why = "NodeClaim/failed-1 was not launched (LaunchFailed: no such subnet)"
    assert refused(mirrored) == {"failed": why}
    merge(karpenter, {"metadata": {"name": "leaving-1"}}, {"metadata": {"finalizers": None}})


def test_without_the_right_to_read_events_the_reason_alone_is_lost(karpenter: Bench) -> None:
    http = act_as(karpenter, without("events", "list"))
    kube = KubeClient(http)
    assert read_sources(kube).refused == {}
    claim = add_claim(karpenter, "hopper", FINALIZER)
    delete(karpenter, claim)
    assert read_sources(kube).refused == {}, "it is still there"
    let_go(karpenter, claim)
    karpenter.lab.http.delete("/lab/requests")
    for _ in range(2):
        found = read_sources(kube)
        assert found.problems == ()
        assert found.refused["hopper"].why == (
            "NodeClaim/hopper-1 was deleted before it was launched (no node was given for it)"
        )
    asked = karpenter.lab.http.get("/lab/requests").json()["requests"]
    assert sum(each["resource"] == "events" for each in asked) == 1, "it is not asked for again"
