"""Writes of objects: creation, replacement, generations, status, names and stale versions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client

from tests.contract.kubernetes_api.cluster_under_test import MERGE, ClusterUnderTest, Obj


def test_02_create_sets_the_servers_metadata(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    made = gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    meta = made["metadata"]
    assert len(meta["uid"]) == 36
    assert int(meta["resourceVersion"]) > 0
    assert meta["generation"] == 1
    created = datetime.fromisoformat(meta["creationTimestamp"])
    assert created.tzinfo is not None
    assert meta["namespace"] == gadgets.namespace
    assert gadgets.do("GET", gadgets.gadgets(name)) == made


def test_05_a_second_create_answers_409(cluster: ClusterUnderTest) -> None:
    body = cluster.config_map(cluster.name("c"))
    cluster.do("POST", cluster.core("configmaps"), body)
    status = cluster.refuse(409, "POST", cluster.core("configmaps"), body)
    assert status["reason"] == "AlreadyExists"
    name = body["metadata"]["name"]
    assert status["message"] == f'configmaps "{name}" already exists'


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_06_a_missing_object_answers_404(cluster: ClusterUnderTest, method: str) -> None:
    body: Any = {"GET": None, "DELETE": None}.get(method, cluster.config_map("missing"))
    status = cluster.refuse(
        404,
        method,
        cluster.core("configmaps", "missing"),
        body,
        media_type=MERGE if method == "PATCH" else "application/json",
    )
    assert status["reason"] == "NotFound"
    assert status["message"] == 'configmaps "missing" not found'


def test_06_an_unknown_resource_or_namespace_answers_404(cluster: ClusterUnderTest) -> None:
    assert cluster.call("GET", "/apis/nowhere.dev/v1/things").status_code == 404
    path = "/api/v1/namespaces/no-such-namespace/configmaps"
    status = cluster.refuse(404, "POST", path, cluster.config_map("c"))
    assert "no-such-namespace" in status["message"]


def test_07_only_a_new_spec_raises_the_generation(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    path = gadgets.gadgets(name)
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))

    def generation(where: str, patch: Obj) -> tuple[int, int]:
        meta = gadgets.do("PATCH", where, patch, media_type=MERGE)["metadata"]
        return meta["generation"], int(meta["resourceVersion"])

    second, version = generation(path, {"spec": {"size": 4}})
    assert second == 2
    labelled, later = generation(path, {"metadata": {"labels": {"a": "b"}}})
    assert labelled == 2
    assert later > version
    assert generation(f"{path}/status", {"status": {"note": "n"}})[0] == 2
    assert generation(path, {"spec": {"size": 4}})[0] == 2


def test_07_a_write_that_changes_nothing_makes_no_new_version(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    path = gadgets.gadgets(name)
    first = gadgets.do("PATCH", path, {"spec": {"size": 5}}, media_type=MERGE)
    again = gadgets.do("PATCH", path, {"spec": {"size": 5}}, media_type=MERGE)
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_08_a_status_written_through_the_main_endpoint_is_ignored(
    gadgets: ClusterUnderTest,
) -> None:
    name = gadgets.name("g")
    body = {**gadgets.gadget(name), "status": {"note": "from create"}}
    assert "status" not in gadgets.do("POST", gadgets.gadgets(), body)
    patch: Obj = {"status": {"note": "from patch"}}
    assert "status" not in gadgets.do("PATCH", gadgets.gadgets(name), patch, media_type=MERGE)
    kept = {"status": {"note": "kept"}}
    gadgets.do("PATCH", gadgets.gadgets(name, "status"), kept, media_type=MERGE)
    patch = {"spec": {"size": 4}, "status": {"note": "from patch"}}
    after = gadgets.do("PATCH", gadgets.gadgets(name), patch, media_type=MERGE)
    assert after["status"] == {"note": "kept"}
    assert gadgets.do("PUT", gadgets.gadgets(name), after | patch)["status"] == {"note": "kept"}


def test_09_the_status_subresource_writes_status_only(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    patch = {"spec": {"size": 99}, "status": {"note": "here"}}
    path = gadgets.gadgets(name, "status")
    after = gadgets.do("PATCH", path, patch, media_type=MERGE)
    assert after["status"] == {"note": "here"}
    assert after["spec"]["size"] == 3
    body = {**after, "status": {"note": "put"}}
    assert gadgets.do("PUT", path, body)["status"] == {"note": "put"}
    assert gadgets.do("GET", path)["status"] == {"note": "put"}


def test_10_put_replaces(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    made = gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name, label="abc", share=0.5))
    body = gadgets.gadget(name, size=7, label="abc")
    body["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    after = gadgets.do("PUT", gadgets.gadgets(name), body)
    assert "share" not in after["spec"]
    assert after["spec"]["size"] == 7
    assert after["metadata"]["uid"] == made["metadata"]["uid"]
    assert after["metadata"]["generation"] == 2


def test_10_a_custom_object_is_not_replaced_without_a_version(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    status = gadgets.refuse(422, "PUT", gadgets.gadgets(name), gadgets.gadget(name, size=7))
    assert "metadata.resourceVersion" in status["message"]


def test_10_the_name_must_be_that_of_the_path(cluster: ClusterUnderTest) -> None:
    name = cluster.name("c")
    cluster.do("POST", cluster.core("configmaps"), cluster.config_map(name))
    cluster.refuse(400, "PUT", cluster.core("configmaps", name), cluster.config_map("other"))


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_11_12_a_stale_version_answers_409(gadgets: ClusterUnderTest, method: str) -> None:
    name = gadgets.name("g")
    path = gadgets.gadgets(name)
    made = gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    gadgets.do("PATCH", path, {"spec": {"size": 4}}, media_type=MERGE)
    media_type = MERGE if method == "PATCH" else "application/json"
    body = {**made, "spec": {**made["spec"], "size": 5}}
    status = gadgets.refuse(409, method, path, body, media_type=media_type)
    assert status["reason"] == "Conflict"
    assert "the object has been modified" in status["message"]
    assert gadgets.do("GET", path)["spec"]["size"] == 4


def test_18_generate_name(cluster: ClusterUnderTest) -> None:
    body = cluster.config_map("")
    body["metadata"] = {"generateName": "made-"}
    names = {
        cluster.do("POST", cluster.core("configmaps"), body)["metadata"]["name"] for _ in range(3)
    }
    assert len(names) == 3
    assert all(name.startswith("made-") and len(name) == 10 for name in names)


def test_18_a_bad_name_is_refused(cluster: ClusterUnderTest) -> None:
    status = cluster.refuse(422, "POST", cluster.core("configmaps"), cluster.config_map("Not_Ok"))
    assert "metadata.name" in status["message"]


def test_23_a_stale_lease_update_answers_409(cluster: ClusterUnderTest) -> None:
    api = client.CoordinationV1Api(cluster.client)
    name = cluster.name("lease")
    at = datetime(2026, 1, 5, microsecond=1, tzinfo=UTC)  # a server reads no lease time without
    body = client.V1Lease(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1LeaseSpec(
            holder_identity="a", lease_duration_seconds=15, acquire_time=at, renew_time=at
        ),
    )
    made = api.create_namespaced_lease(cluster.namespace, body)
    made.spec.holder_identity = "b"
    second = api.replace_namespaced_lease(name, cluster.namespace, made)
    assert second.spec.holder_identity == "b"
    made.spec.holder_identity = "c"
    with pytest.raises(client.ApiException) as caught:
        api.replace_namespaced_lease(name, cluster.namespace, made)
    assert caught.value.status == 409
    assert api.read_namespaced_lease(name, cluster.namespace).spec.holder_identity == "b"


def test_dry_run_writes_nothing(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name), dryRun="All")
    gadgets.refuse(404, "GET", gadgets.gadgets(name))
