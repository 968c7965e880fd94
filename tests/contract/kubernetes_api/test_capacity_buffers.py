"""CapacityBuffers and the PodTemplates that they name.

A real server is asked only where it serves the kind, and nothing is ordered of its provider.
"""

from __future__ import annotations

import pytest

from services.lab.cluster.nodes.definitions import BUFFER_GROUP, BUFFER_VERSIONS, buffer_definition
from tests.contract.kubernetes_api.cluster_under_test import DEFINITIONS, ClusterUnderTest, Obj
from tests.contract.kubernetes_api.gpu_deployments import GPU
from tests.contract.kubernetes_api.test_node_pools import POOLS, add_pool, karpenter, nodes_of

__all__ = ["karpenter"]
PRODUCT = "nvidia.com/gpu.product"
MERGE = {"media_type": "application/merge-patch+json"}


@pytest.fixture
def root(cluster: ClusterUnderTest) -> str:
    """Path of the newest version of the group that is served, in the suite's namespace."""
    if cluster.is_lab:
        definition = buffer_definition()
        assert cluster.call("POST", DEFINITIONS, definition).status_code in (201, 409)
        cluster.eventually(lambda: _serves(cluster, BUFFER_VERSIONS[0]))
    served = next((v for v in BUFFER_VERSIONS if _serves(cluster, v)), None)
    if served is None:
        pytest.skip("capacitybuffers.autoscaling.x-k8s.io are not served")
    return f"/apis/{BUFFER_GROUP}/{served}/namespaces/{cluster.namespace}/capacitybuffers"


def _serves(cluster: ClusterUnderTest, version: str) -> bool:
    answer = cluster.call("GET", f"/apis/{BUFFER_GROUP}/{version}")
    if answer.status_code != 200:
        return False
    return "CapacityBuffer" in {each["kind"] for each in answer.json()["resources"]}


def template(cluster: ClusterUnderTest, product: str, *pools: str) -> str:
    """A PodTemplate of eight GPUs of a product, or of any of some pools."""
    name = cluster.name("t")
    container = {"name": "c", "image": "registry.k8s.io/pause:3.10",
                 "resources": {"requests": {GPU: "8"}, "limits": {GPU: "8"}}}  # fmt: skip
    place: Obj = {"nodeSelector": {PRODUCT: product}}
    if pools:
        names = {"key": "karpenter.sh/nodepool", "operator": "In", "values": list(pools)}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [names]}]}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
        place = {"affinity": {"nodeAffinity": required}}
    pod = {"spec": {**place, "containers": [container]}}
    body = {"metadata": {"name": name}, "template": pod}
    cluster.do("POST", cluster.core("podtemplates"), body)
    return name


def buffer(name: str, of: str, replicas: int) -> Obj:
    return {
        "metadata": {"name": name},
        "spec": {"podTemplateRef": {"name": of}, "replicas": replicas},
    }


def test_a_pod_template_is_kept_and_patched(cluster: ClusterUnderTest) -> None:
    name = template(cluster, "H100")
    path = cluster.core("podtemplates", name)
    stored = cluster.do("GET", path)
    assert stored["template"]["spec"]["nodeSelector"] == {PRODUCT: "H100"}
    assert stored["metadata"]["generation"] == 1
    change = {"template": {"spec": {"nodeSelector": {PRODUCT: "L4"}}}}
    patched = cluster.do("PATCH", path, change, **MERGE)
    assert patched["template"]["spec"]["nodeSelector"] == {PRODUCT: "L4"}
    assert patched["metadata"]["generation"] == 2
    cluster.do("DELETE", path)
    cluster.refuse(404, "GET", path)


def test_a_buffer_has_its_strategy_filled_in_and_a_status_of_its_own(
    cluster: ClusterUnderTest, root: str
) -> None:
    name = cluster.name("b")
    made = cluster.do("POST", root, buffer(name, "not-there", 2))
    assert made["spec"]["provisioningStrategy"] == "buffer.x-k8s.io/active-capacity"
    change = {"spec": {"replicas": 3}, "status": {"replicas": 9}}
    patched = cluster.do("PATCH", f"{root}/{name}", change, **MERGE)
    assert patched["spec"]["replicas"] == 3
    assert (patched.get("status") or {}).get("replicas") != 9
    cluster.refuse(422, "PATCH", f"{root}/{name}", {"spec": {"replicas": -1}}, **MERGE)
    cluster.do("DELETE", f"{root}/{name}")


def test_nodes_are_held_for_a_buffer(karpenter: ClusterUnderTest, root: str) -> None:
    pool, name = karpenter.name("pool"), karpenter.name("b")
    add_pool(karpenter, pool)
    karpenter.do("POST", root, buffer(name, template(karpenter, pool), 1))
    karpenter.eventually(lambda: len(nodes_of(karpenter, pool)) == 1)
    karpenter.eventually(lambda: _is_held(karpenter.do("GET", f"{root}/{name}")))
    karpenter.do("DELETE", f"{root}/{name}")
    karpenter.eventually(lambda: not nodes_of(karpenter, pool))
    karpenter.do("DELETE", f"{POOLS}/{pool}")


def test_nodes_of_any_pool_that_its_pods_name_hold_a_buffer(
    karpenter: ClusterUnderTest, root: str
) -> None:
    """The first pool may have one node; the other one has the rest."""
    pools, name = (karpenter.name("pool"), karpenter.name("pool")), karpenter.name("b")
    for pool, limit in zip(pools, (8, 16), strict=True):
        add_pool(karpenter, pool, limit)
    karpenter.do("POST", root, buffer(name, template(karpenter, "", *pools), 3))

    def counts() -> list[int]:
        return [len(nodes_of(karpenter, pool)) for pool in pools]

    karpenter.eventually(lambda: counts() == [1, 2])
    karpenter.eventually(lambda: _is_held(karpenter.do("GET", f"{root}/{name}")))
    karpenter.do("DELETE", f"{root}/{name}")
    karpenter.eventually(lambda: counts() == [0, 0])
    for pool in pools:
        karpenter.do("DELETE", f"{POOLS}/{pool}")


def test_a_buffer_says_how_it_stands_as_karpenter_does(
    karpenter: ClusterUnderTest, root: str
) -> None:
    pool, name = karpenter.name("pool"), karpenter.name("b")
    add_pool(karpenter, pool, limit=8)
    karpenter.do("POST", root, buffer(name, template(karpenter, pool), 2))
    waits = ("Provisioning", "False", "RequiresNewCapacity")
    karpenter.eventually(lambda: waits in _told(karpenter.do("GET", f"{root}/{name}")))
    fewer: Obj = {"spec": {"replicas": 1}}
    karpenter.do("PATCH", f"{root}/{name}", fewer, **MERGE)
    fits = ("Provisioning", "True", "FitsExistingCapacity")
    karpenter.eventually(lambda: fits in _told(karpenter.do("GET", f"{root}/{name}")))
    none: Obj = {"spec": {"replicas": 0}}
    karpenter.do("PATCH", f"{root}/{name}", none, **MERGE)
    empty = ("Provisioning", "False", "BufferEmpty")
    karpenter.eventually(lambda: empty in _told(karpenter.do("GET", f"{root}/{name}")))
    gone: Obj = {"spec": {"podTemplateRef": {"name": "not-there"}}}
    karpenter.do("PATCH", f"{root}/{name}", gone, **MERGE)
    missing = ("ReadyForProvisioning", "False", "PodTemplateNotFound")
    karpenter.eventually(lambda: missing in _told(karpenter.do("GET", f"{root}/{name}")))
    karpenter.do("DELETE", f"{root}/{name}")
    karpenter.eventually(lambda: not nodes_of(karpenter, pool))
    karpenter.do("DELETE", f"{POOLS}/{pool}")


def _told(obj: Obj) -> set[tuple[str, str, str]]:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return {(each["type"], each["status"], each["reason"]) for each in conditions}


def _is_held(obj: Obj) -> bool:
    found = {c["type"]: c["status"] for c in (obj.get("status") or {}).get("conditions") or ()}
    return found.get("Provisioning") == "True"
