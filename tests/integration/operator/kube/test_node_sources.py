"""What adds nodes, as far as it can be read; what cannot costs only what needs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from services.lab.cluster.nodes.definitions import definitions
from services.operator.kube.client import KubeClient
from services.operator.kube.node_sources import read_sources
from services.operator.resource.rights import FURTHER_RIGHTS, RIGHTS
from tests.integration.operator.conftest import GROUP_PATH, Bench
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
    assert found.groups is not None
    assert found.groups["a"].most == 4


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
