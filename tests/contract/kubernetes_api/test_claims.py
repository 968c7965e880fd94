"""Dynamic resource allocation: devices that pods claim.

A real server is asked where it serves the kinds, for what it keeps; nothing is ordered of drivers
that it may have, so binding is the laboratory's alone.
"""

from __future__ import annotations

import pytest

from services.lab.cluster.controllers.claim_definitions import GROUP, VERSIONS, definitions
from tests.contract.kubernetes_api.cluster_under_test import DEFINITIONS, ClusterUnderTest, Obj
from tests.unit.operator.allocation import device, device_class, request, resource_slice, template

DRIVER = "gpu.conformance.harmony.dev"
SELECTOR = f"device.driver == '{DRIVER}'"


@pytest.fixture
def version(cluster: ClusterUnderTest) -> str:
    """The newest version of the group that is served."""
    if cluster.is_lab:
        for definition in definitions():
            assert cluster.call("POST", DEFINITIONS, definition).status_code in (201, 409)
        cluster.eventually(lambda: _serves(cluster, VERSIONS[0]))
    served = next((v for v in VERSIONS if _serves(cluster, v)), None)
    if served is None:
        pytest.skip("resourceslices.resource.k8s.io are not served")
    return served


def _serves(cluster: ClusterUnderTest, version: str) -> bool:
    answer = cluster.call("GET", f"/apis/{GROUP}/{version}")
    if answer.status_code != 200:
        return False
    return "ResourceSlice" in {each["kind"] for each in answer.json()["resources"]}


def templates(cluster: ClusterUnderTest, version: str) -> str:
    return f"/apis/{GROUP}/{version}/namespaces/{cluster.namespace}/resourceclaimtemplates"


def add_template(cluster: ClusterUnderTest, version: str, name: str, of_class: str) -> None:
    body = template(name, request(version, deviceClassName=of_class), version=version)
    body["metadata"] = {"name": name}
    cluster.do("POST", templates(cluster, version), body)


def test_a_template_is_kept_with_its_defaults(cluster: ClusterUnderTest, version: str) -> None:
    name = cluster.name("t")
    add_template(cluster, version, name, "gpu.example.com")
    stored = cluster.do("GET", f"{templates(cluster, version)}/{name}")["spec"]["spec"]
    (asked,) = stored["devices"]["requests"]
    exact = asked.get("exactly", asked)
    assert (exact["deviceClassName"], exact["allocationMode"]) == ("gpu.example.com", "ExactCount")
    cluster.do("DELETE", f"{templates(cluster, version)}/{name}")


def test_a_class_and_a_slice_are_kept(cluster: ClusterUnderTest, version: str) -> None:
    name, root = cluster.name("c"), f"/apis/{GROUP}/{version}"
    cluster.do("POST", f"{root}/deviceclasses", device_class(name, SELECTOR, version=version))
    stored = cluster.do("GET", f"{root}/deviceclasses/{name}")["spec"]["selectors"]
    assert stored == [{"cel": {"expression": SELECTOR}}]
    published = resource_slice("", [device("gpu-0", version)], version, DRIVER, allNodes=True)
    published["metadata"]["name"] = name
    cluster.do("POST", f"{root}/resourceslices", published)
    kept = cluster.do("GET", f"{root}/resourceslices/{name}")["spec"]
    assert (kept["driver"], kept["pool"]["resourceSliceCount"]) == (DRIVER, 1)
    cluster.do("DELETE", f"{root}/resourceslices/{name}")
    cluster.do("DELETE", f"{root}/deviceclasses/{name}")


def test_a_pod_with_a_claim_binds_when_a_device_is_free(
    cluster: ClusterUnderTest, version: str
) -> None:
    if not cluster.is_lab:
        pytest.skip("devices of a real driver are not this suite's to publish")
    name, root = cluster.name("d"), f"/apis/{GROUP}/{version}"
    cluster.do("POST", f"{root}/deviceclasses", device_class(name, SELECTOR, version=version))
    cluster.do("POST", "/api/v1/nodes", {"metadata": {"name": name, "labels": {"dra": name}}})
    published = resource_slice(name, [device("gpu-0", version)], version, DRIVER)
    cluster.do("POST", f"{root}/resourceslices", published)
    add_template(cluster, version, name, name)
    claims = [{"name": "gpu", "resourceClaimTemplateName": name}]
    body = cluster.deployment(name, 2, resourceClaims=claims, nodeSelector={"dra": name})
    cluster.do("POST", cluster.apps("deployments"), body)
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 1)
    path = f"{root}/namespaces/{cluster.namespace}/resourceclaims"
    held = [each for each in cluster.do("GET", path)["items"] if _results(each)]
    (result,) = _results(held[0])
    assert (result["driver"], result["pool"], result["device"]) == (DRIVER, name, "gpu-0")
    (consumer,) = held[0]["status"]["reservedFor"]
    assert consumer["name"] == cluster.ready_pods(name)[0]["metadata"]["name"]
    cluster.do("DELETE", cluster.apps("deployments", name))
    cluster.eventually(lambda: not cluster.do("GET", path)["items"])
    cluster.do("DELETE", f"{root}/resourceslices/{published['metadata']['name']}")
    cluster.do("DELETE", f"/api/v1/nodes/{name}")
    cluster.do("DELETE", f"{root}/deviceclasses/{name}")


def _results(claim: Obj) -> list[Obj]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return list((allocation.get("devices") or {}).get("results") or ())
