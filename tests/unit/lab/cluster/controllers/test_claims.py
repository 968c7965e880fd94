"""A pod with a claim binds when devices are free, and gives them back when it goes."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.controllers.claim_definitions import definitions
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import DEPLOYMENTS, NODES, Obj, ResourceType
from services.simulator.engine.specs import NodeSpec
from tests.unit.lab.cluster.running_cluster import (
    NAMESPACE,
    RunningCluster,
    condition,
    is_ready,
    workload,
)
from tests.unit.operator.allocation import device, device_class, request, resource_slice, template
from tests.unit.operator.devices.test_claims import VERSIONS, valid


class ClaimingCluster(RunningCluster):
    """A node without GPUs of its own, whose driver publishes three H100."""

    def __init__(self, version: str = "v1") -> None:
        super().__init__(NodeSpec("n1", "", 0))
        self.version = version
        kinds = [self.define(each) for each in definitions(version)]
        self.types: dict[str, ResourceType] = {rtype.kind: rtype for rtype in kinds}
        self.add(device_class(version=version))
        self.publish(3)

    def publish(self, n_devices: int) -> None:
        devices = [device(f"gpu-{i}", self.version) for i in range(n_devices)]
        self.add(resource_slice("n1", devices, self.version))

    def add(self, body: Obj) -> None:
        rtype = self.types[body["kind"]]
        namespace = NAMESPACE if rtype.is_namespaced else ""
        meta = {k: v for k, v in body["metadata"].items() if k != "namespace"}
        write = Write("test", self.cluster.now())
        self.objects.create(rtype, namespace, {**body, "metadata": meta}, write)

    def deploy(self, replicas: int, count: int = 1, app: str = "x") -> None:
        asked = request(self.version, count=count)
        self.add(template(app, asked, version=self.version))
        claims = [{"name": "gpu", "resourceClaimTemplateName": app}]
        self.create(DEPLOYMENTS, app, workload(replicas, app, gpus=0, resourceClaims=claims))

    def claims(self) -> list[Obj]:
        return [stored.obj for stored in self.store.each(self.types["ResourceClaim"])]

    def held(self) -> list[str]:
        results = [
            result["device"]
            for claim in self.claims()
            for result in (claim.get("status") or {})
            .get("allocation", {"devices": {}})["devices"]
            .get("results", ())
        ]
        return sorted(results)


@pytest.fixture(params=VERSIONS)
def cluster(request: pytest.FixtureRequest) -> ClaimingCluster:
    return ClaimingCluster(request.param)


def test_each_pod_has_a_claim_and_binds_while_devices_are_free(cluster: ClaimingCluster) -> None:
    cluster.deploy(4)
    cluster.wait(10)
    assert len([pod for pod in cluster.pods().values() if is_ready(pod)]) == 3
    assert cluster.held() == ["gpu-0", "gpu-1", "gpu-2"]
    assert len(cluster.claims()) == 4
    (waiting,) = [pod for pod in cluster.pods().values() if "nodeName" not in pod["spec"]]
    assert condition(waiting, "PodScheduled")["reason"] == "Unschedulable"
    for claim in cluster.claims():
        (owner,) = claim["metadata"]["ownerReferences"]
        assert owner["name"] in cluster.pods()
    cluster.change(DEPLOYMENTS, "x", "spec.replicas", 2)
    assert len(cluster.claims()) == len(cluster.held()) == 2
    assert "nodeName" in next(iter(cluster.pods().values()))["spec"]


def test_a_pod_needs_all_of_its_devices(cluster: ClaimingCluster) -> None:
    cluster.deploy(2, count=2)
    cluster.wait(10)
    assert cluster.held() == ["gpu-0", "gpu-1"]
    assert len([pod for pod in cluster.pods().values() if is_ready(pod)]) == 1


def test_devices_that_are_published_later_are_taken(cluster: ClaimingCluster) -> None:
    cluster.deploy(5)
    devices = [device(f"gpu-{i}", cluster.version) for i in range(5)]
    (name,) = [
        s.obj["metadata"]["name"] for s in cluster.store.each(cluster.types["ResourceSlice"])
    ]
    cluster.change(cluster.types["ResourceSlice"], name, "spec.devices", devices)
    cluster.wait(10)
    assert len(cluster.held()) == 5


def test_a_class_that_is_not_there_binds_nothing(cluster: ClaimingCluster) -> None:
    cluster.delete(cluster.types["DeviceClass"], "gpu.nvidia.com")
    cluster.deploy(1)
    cluster.wait(10)
    assert cluster.held() == []
    assert len(cluster.claims()) == 1


def test_pods_that_ask_by_name_do_not_get_claimed_devices(cluster: ClaimingCluster) -> None:
    cluster.create(DEPLOYMENTS, "y", workload(1, "y"))
    cluster.wait(10)
    assert not any(is_ready(pod) for pod in cluster.pods().values())


def test_a_node_that_comes_after_its_slices_has_their_devices() -> None:
    cluster = ClaimingCluster()
    cluster.add(resource_slice("n2", [device("gpu-0")]))
    cluster.deploy(4)
    write = Write("test", cluster.cluster.now())
    cluster.objects.create(NODES, "", {"metadata": {"name": "n2"}}, write)
    cluster.wait(10)
    assert len(cluster.held()) == 4


def test_what_is_published_is_as_kubernetes_schemas_have_it(cluster: ClaimingCluster) -> None:
    cluster.deploy(4)
    cluster.wait(10)
    for rtype in cluster.types.values():
        for stored in cluster.store.each(rtype):
            valid(_without_owners_of_fields(stored.obj))


def _without_owners_of_fields(obj: Obj) -> dict[str, Any]:
    meta = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return {**obj, "metadata": meta}
