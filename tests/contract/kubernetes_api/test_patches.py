"""Patch formats, and server-side apply with its field managers."""

from __future__ import annotations

import pytest

from tests.contract.kubernetes_api.cluster_under_test import (
    APPLY,
    GROUP,
    JSON_PATCH,
    MERGE,
    POD_IMAGE,
    STRATEGIC,
    ClusterUnderTest,
)


def test_13_json_patch(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    path = gadgets.gadgets(name)
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name, parts=[{"name": "a"}]))
    after = gadgets.do(
        "PATCH",
        path,
        [
            {"op": "test", "path": "/spec/size", "value": 3},
            {"op": "replace", "path": "/spec/size", "value": 8},
            {"op": "add", "path": "/spec/parts/-", "value": {"name": "b"}},
            {"op": "remove", "path": "/spec/parts/0"},
            {"op": "add", "path": "/metadata/labels", "value": {"a/b": "c"}},
        ],
        media_type=JSON_PATCH,
    )
    assert after["spec"]["size"] == 8
    assert [part["name"] for part in after["spec"]["parts"]] == ["b"]
    removed = [{"op": "remove", "path": "/metadata/labels/a~1b"}]
    after = gadgets.do("PATCH", path, removed, media_type=JSON_PATCH)
    assert not after["metadata"].get("labels")
    failing = [{"op": "test", "path": "/spec/size", "value": 9}]
    gadgets.refuse(422, "PATCH", path, failing, media_type=JSON_PATCH)
    missing = [{"op": "remove", "path": "/spec/nowhere"}]
    gadgets.refuse(422, "PATCH", path, missing, media_type=JSON_PATCH)


def test_13_custom_objects_take_no_strategic_merge(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    patch = {"spec": {"size": 4}}
    gadgets.refuse(415, "PATCH", gadgets.gadgets(name), patch, media_type=STRATEGIC)


def test_25_apply_creates_merges_and_removes(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    path = gadgets.gadgets(name)
    ours = {"media_type": APPLY, "fieldManager": "ours"}
    body = gadgets.gadget(name, label="abc", parts=[{"name": "a"}, {"name": "b"}])
    response = gadgets.call("PATCH", path, body, **ours)
    assert response.status_code == 201
    entry = response.json()["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["operation"]) == ("ours", "Apply")
    assert entry["fieldsV1"]["f:spec"]["f:label"] == {}
    assert gadgets.call("PATCH", path, body, **ours).status_code == 200
    other = {"apiVersion": f"{GROUP}/v1", "kind": "Gadget", "metadata": {"name": name}}
    other["spec"] = {"parts": [{"name": "c", "weight": 3}]}
    theirs = {"media_type": APPLY, "fieldManager": "theirs"}
    merged = gadgets.do("PATCH", path, other, **theirs)
    assert [part["name"] for part in merged["spec"]["parts"]] == ["a", "b", "c"]
    body["spec"]["parts"] = [{"name": "b"}]
    after = gadgets.do("PATCH", path, body, **ours)
    assert [part["name"] for part in after["spec"]["parts"]] == ["b", "c"]


def test_25_apply_conflicts_with_another_owner_unless_forced(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    path = gadgets.gadgets(name)
    gadgets.do("PATCH", path, gadgets.gadget(name), media_type=APPLY, fieldManager="ours")
    patch = {"spec": {"size": 8}}
    gadgets.do("PATCH", path, patch, media_type=MERGE, fieldManager="scaler")
    status = gadgets.refuse(
        409, "PATCH", path, gadgets.gadget(name), media_type=APPLY, fieldManager="ours"
    )
    assert 'conflict with "scaler"' in status["message"]
    assert status["details"]["causes"][0]["field"] == ".spec.size"
    assert status["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    forced = gadgets.do(
        "PATCH", path, gadgets.gadget(name), media_type=APPLY, fieldManager="ours", force="true"
    )
    assert forced["spec"]["size"] == 3
    managers = [entry["manager"] for entry in forced["metadata"]["managedFields"]]
    assert "scaler" not in managers
    gadgets.refuse(422, "PATCH", path, gadgets.gadget(name), media_type=APPLY)


def test_25_apply_gives_up_a_scale_that_another_manages(cluster: ClusterUnderTest) -> None:
    minor = cluster.do("GET", "/version")["minor"].rstrip("+")
    if int(minor) < 22:
        pytest.skip("the server is older than managers of scales (Kubernetes 1.22)")
    name = cluster.name("d")
    path = cluster.apps("deployments", name)
    ours = {"media_type": APPLY, "fieldManager": "gitops"}
    body = cluster.deployment(name, replicas=0)
    cluster.do("PATCH", path, body, **ours)
    scale = {"spec": {"replicas": 1}}
    cluster.do("PATCH", f"{path}/scale", scale, media_type=MERGE, fieldManager="harmony")
    status = cluster.refuse(409, "PATCH", path, body, **ours)
    assert status["details"]["causes"][0]["field"] == ".spec.replicas"
    del body["spec"]["replicas"]
    after = cluster.do("PATCH", path, body, **ours)
    assert after["spec"]["replicas"] == 1


def test_strategic_merge_of_a_deployment_keeps_other_containers(
    cluster: ClusterUnderTest,
) -> None:
    name = cluster.name("d")
    body = cluster.deployment(name, replicas=0)
    body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": POD_IMAGE})
    cluster.do("POST", cluster.apps("deployments"), body)
    containers = [{"name": "main", "image": "pause:2"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    after = cluster.do("PATCH", cluster.apps("deployments", name), patch, media_type=STRATEGIC)
    images = {c["name"]: c["image"] for c in after["spec"]["template"]["spec"]["containers"]}
    assert images == {"main": "pause:2", "side": POD_IMAGE}
