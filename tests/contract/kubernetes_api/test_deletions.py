"""Deletions: preconditions, finalizers, owners, namespaces."""

from __future__ import annotations

import pytest

from tests.contract.kubernetes_api.cluster_under_test import GROUP, MERGE, ClusterUnderTest, Obj


def test_21_a_finalizer_holds_a_deletion(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    body = gadgets.gadget(name)
    body["metadata"]["finalizers"] = [f"{GROUP}/hold"]
    gadgets.do("POST", gadgets.gadgets(), body)
    path = gadgets.gadgets(name)
    gadgets.do("DELETE", path)
    held = gadgets.do("GET", path)
    assert held["metadata"]["deletionTimestamp"]
    again = gadgets.do("DELETE", path)
    assert again["metadata"]["deletionTimestamp"] == held["metadata"]["deletionTimestamp"]
    more = {"metadata": {"finalizers": [f"{GROUP}/hold", f"{GROUP}/more"]}}
    gadgets.refuse(422, "PATCH", path, more, media_type=MERGE)
    gadgets.do("PATCH", path, {"metadata": {"finalizers": None}}, media_type=MERGE)
    gadgets.refuse(404, "GET", path)


def owned(cluster: ClusterUnderTest, name: str, owner: Obj) -> Obj:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }
    return cluster.config_map(name, ownerReferences=[reference])


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
def test_22_deleting_the_owner_deletes_its_dependents(
    gadgets: ClusterUnderTest, policy: str
) -> None:
    owner_name, name = gadgets.name("g"), gadgets.name("c")
    owner = gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(owner_name))
    gadgets.do("POST", gadgets.core("configmaps"), owned(gadgets, name, owner))
    gadgets.do("DELETE", gadgets.gadgets(owner_name), {"propagationPolicy": policy})
    gadgets.eventually(lambda: gadgets.call("GET", gadgets.gadgets(owner_name)).status_code == 404)
    path = gadgets.core("configmaps", name)
    if policy == "Orphan":
        assert not gadgets.do("GET", path)["metadata"].get("ownerReferences")
    else:
        gadgets.eventually(lambda: gadgets.call("GET", path).status_code == 404)


def test_22_a_second_owner_keeps_a_dependent(gadgets: ClusterUnderTest) -> None:
    first, second = (
        gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(gadgets.name("g"))) for _ in range(2)
    )
    name = gadgets.name("c")
    body = owned(gadgets, name, first)
    body["metadata"]["ownerReferences"] += owned(gadgets, name, second)["metadata"][
        "ownerReferences"
    ]
    gadgets.do("POST", gadgets.core("configmaps"), body)
    gadgets.do("DELETE", gadgets.gadgets(first["metadata"]["name"]))
    path = gadgets.core("configmaps", name)

    def owners() -> list[str]:
        return [o["uid"] for o in gadgets.do("GET", path)["metadata"]["ownerReferences"]]

    gadgets.eventually(lambda: owners() == [second["metadata"]["uid"]])


def test_22_deleting_a_namespace_deletes_its_contents(cluster: ClusterUnderTest) -> None:
    name = cluster.name("ns")
    cluster.do("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    path = f"/api/v1/namespaces/{name}"
    body = cluster.config_map("held", finalizers=[f"{GROUP}/hold"])
    cluster.do("POST", f"{path}/configmaps", body)
    cluster.do("DELETE", path)
    held = cluster.do("GET", path)
    assert held["status"]["phase"] == "Terminating"
    assert cluster.call("POST", f"{path}/configmaps", cluster.config_map("late")).status_code == 403
    patch = {"metadata": {"finalizers": None}}
    cluster.eventually(
        lambda: "deletionTimestamp" in cluster.do("GET", f"{path}/configmaps/held")["metadata"]
    )
    cluster.do("PATCH", f"{path}/configmaps/held", patch, media_type=MERGE)
    cluster.eventually(lambda: cluster.call("GET", path).status_code == 404)


def test_preconditions_of_a_deletion(cluster: ClusterUnderTest) -> None:
    name = cluster.name("c")
    path = cluster.core("configmaps", name)
    made = cluster.do("POST", cluster.core("configmaps"), cluster.config_map(name))
    other = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    cluster.refuse(409, "DELETE", path, other)
    cluster.do("DELETE", path, {"preconditions": {"uid": made["metadata"]["uid"]}})
    cluster.refuse(404, "GET", path)
