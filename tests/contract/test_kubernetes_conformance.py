"""What Harmony relies on in a Kubernetes API server, as one suite.

It runs against the simulated cluster always, and against a real one when KUBECONFIG is set. The
numbers in the names are those of the project's list of Kubernetes facts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import kubernetes
import pytest
from kubernetes import client, config, watch

from services.lab.cluster.background import BackgroundCluster
from services.lab.cluster.cluster import ClusterSettings
from services.lab.cluster.engine import NodeSpec
from tests.contract.kubernetes_cluster import (
    APPLY,
    GROUP,
    JSON_PATCH,
    MERGE,
    POD_IMAGE,
    STRATEGIC,
    ClusterUnderTest,
    Obj,
    definition,
    is_ready,
    lab_start,
    raw_client,
)

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GPU = "nvidia.com/gpu"


def kubeconfigs() -> list[str]:
    given = os.environ.get("KUBECONFIG")
    return ["lab", given] if given else ["lab"]


@pytest.fixture(scope="module", params=kubeconfigs(), ids=lambda p: "lab" if p == "lab" else "real")
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterUnderTest]:
    if request.param != "lab":
        yield from _prepared(Path(request.param), None)
        return
    settings = ClusterSettings(
        nodes=[NodeSpec("h100-0", "H100", 4), NodeSpec("h100-1", "H100", 4)],
        seed=7,
        start_s=lab_start().timestamp(),
        admin_token="conformance-admin",
        watch_log=200,
    )
    with BackgroundCluster(settings) as running:
        path = running.write_kubeconfig(tmp_path_factory.mktemp("kube") / "config")
        yield from _prepared(path, lab_start())


def _prepared(kubeconfig: Path, start: datetime | None) -> Iterator[ClusterUnderTest]:
    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    with (
        raw_client(configuration) as http,
        kubernetes.client.ApiClient(configuration) as api_client,
    ):
        under_test = ClusterUnderTest(http, api_client, start)
        under_test.namespace = under_test.name("conformance")
        namespace = {"metadata": {"name": under_test.namespace}}
        under_test.do("POST", "/api/v1/namespaces", namespace)
        try:
            yield under_test
        finally:
            http.delete(f"/api/v1/namespaces/{under_test.namespace}")
            http.delete(f"{DEFINITIONS}/gadgets.{GROUP}")


@pytest.fixture(scope="module")
def gadgets(cluster: ClusterUnderTest) -> ClusterUnderTest:
    """The cluster with the custom resource of the suite in it."""
    cluster.call("DELETE", f"{DEFINITIONS}/gadgets.{GROUP}")
    cluster.eventually(
        lambda: cluster.call("GET", f"{DEFINITIONS}/gadgets.{GROUP}").status_code == 404
    )
    cluster.do("POST", DEFINITIONS, definition())
    cluster.eventually(lambda: cluster.call("GET", cluster.gadgets()).status_code == 200)
    return cluster


def test_01_a_definition_makes_its_endpoint_appear(gadgets: ClusterUnderTest) -> None:
    found = gadgets.do("GET", f"{DEFINITIONS}/gadgets.{GROUP}")
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    groups = gadgets.do("GET", "/apis")["groups"]
    assert GROUP in [group["name"] for group in groups]
    resources = gadgets.do("GET", f"/apis/{GROUP}/v1")["resources"]
    by_name = {resource["name"]: resource for resource in resources}
    assert by_name["gadgets"]["kind"] == "Gadget"
    assert by_name["gadgets"]["shortNames"] == ["gd"]
    assert {"get", "list", "watch", "patch"} <= set(by_name["gadgets"]["verbs"])
    assert {"gadgets/status", "gadgets/scale"} <= set(by_name)
    assert found["spec"]["names"]["singular"] == "gadget"


def test_01_deleting_a_definition_deletes_its_objects_and_endpoint(
    cluster: ClusterUnderTest,
) -> None:
    body = definition()
    body["metadata"]["name"] = f"widgets.{GROUP}"
    body["spec"]["names"] = {"plural": "widgets", "kind": "Widget"}
    cluster.do("POST", DEFINITIONS, body)
    path = f"/apis/{GROUP}/v1/namespaces/{cluster.namespace}/widgets"
    cluster.eventually(lambda: cluster.call("GET", path).status_code == 200)
    widget = {**cluster.gadget("one"), "kind": "Widget"}
    cluster.do("POST", path, widget)
    cluster.do("DELETE", f"{DEFINITIONS}/widgets.{GROUP}")
    cluster.eventually(lambda: cluster.call("GET", path).status_code == 404)


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


def test_03_defaults_are_filled_in_also_inside_lists(gadgets: ClusterUnderTest) -> None:
    body = gadgets.gadget(gadgets.name("g"), parts=[{"name": "a"}])
    made = gadgets.do("POST", gadgets.gadgets(), body)
    assert made["spec"]["mode"] == "Advisory"
    assert made["spec"]["floor"] == 0
    assert made["spec"]["parts"] == [{"name": "a", "weight": 1}]


@pytest.mark.parametrize(
    ("spec", "path", "said"),
    [
        ({"size": -1}, "spec.size", "should be greater than or equal to 0"),
        ({"size": 101}, "spec.size", "should be less than or equal to 100"),
        ({"size": "3"}, "spec.size", "must be of type integer"),
        ({"mode": "Off"}, "spec.mode", 'supported values: "Advisory", "Auto"'),
        ({"label": "ABC"}, "spec.label", "should match '^[a-z]+$'"),
        ({"parts": [{"weight": 2}]}, "spec.parts[0].name", "Required value"),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]", "Duplicate value"),
        ({"floor": 9}, "spec", "floor must be at most size"),
        ({"share": 1}, "spec", "share must be below 1"),
    ],
)
def test_04_violations_answer_422_and_name_the_field(
    gadgets: ClusterUnderTest, spec: Obj, path: str, said: str
) -> None:
    name = gadgets.name("g")
    status = gadgets.refuse(422, "POST", gadgets.gadgets(), gadgets.gadget(name, **spec))
    assert status["reason"] == "Invalid"
    assert status["message"].startswith(f'Gadget.{GROUP} "{name}" is invalid: ')
    assert said in status["message"]
    assert path in [cause["field"] for cause in status["details"]["causes"]]
    assert status["details"]["name"] == name
    gadgets.refuse(404, "GET", gadgets.gadgets(name))


def test_04_a_missing_required_field_is_named(gadgets: ClusterUnderTest) -> None:
    body = gadgets.gadget(gadgets.name("g"))
    del body["spec"]["size"]
    status = gadgets.refuse(422, "POST", gadgets.gadgets(), body)
    assert "spec.size: Required value" in status["message"]


def test_04_transition_rules_see_the_old_object(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name, label="abc"))
    patch = {"spec": {"label": None}}
    status = gadgets.refuse(422, "PATCH", gadgets.gadgets(name), patch, media_type=MERGE)
    assert "label cannot be taken away" in status["message"]


def test_04_unknown_fields_are_dropped_or_refused_when_strict(gadgets: ClusterUnderTest) -> None:
    body = gadgets.gadget(gadgets.name("g"), colour="red")
    response = gadgets.call("POST", gadgets.gadgets(), body)
    assert response.status_code == 201
    assert "colour" not in response.json()["spec"]
    assert "spec.colour" in response.headers["Warning"]
    body["metadata"]["name"] = gadgets.name("g")
    status = gadgets.refuse(400, "POST", gadgets.gadgets(), body, fieldValidation="Strict")
    assert 'unknown field "spec.colour"' in status["message"]


def test_04_a_definition_with_a_broken_rule_is_refused(cluster: ClusterUnderTest) -> None:
    body = definition()
    body["metadata"]["name"] = f"broken.{GROUP}"
    body["spec"]["names"] = {"plural": "broken", "kind": "Broken"}
    schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": "self.size >"}]
    status = cluster.refuse(422, "POST", DEFINITIONS, body)
    assert "x-kubernetes-validations[0].rule" in status["message"]


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


def test_12_deployments_and_their_scale_answer_409_too(cluster: ClusterUnderTest) -> None:
    name = cluster.name("d")
    cluster.do("POST", cluster.apps("deployments"), cluster.deployment(name, replicas=0))
    path = cluster.apps("deployments", name, "scale")
    scale = cluster.do("GET", path)
    patch = {"metadata": {"annotations": {"a": "b"}}}
    cluster.do("PATCH", cluster.apps("deployments", name), patch, media_type=MERGE)
    stale = {
        "metadata": {"resourceVersion": scale["metadata"]["resourceVersion"]},
        "spec": {"replicas": 1},
    }
    assert cluster.refuse(409, "PATCH", path, stale, media_type=MERGE)["reason"] == "Conflict"
    scale["spec"] = {"replicas": 1}
    assert cluster.refuse(409, "PUT", path, scale)["reason"] == "Conflict"


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


def test_14_the_scale_of_a_custom_object(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    status = {"status": {"size": 2, "selector": "app=x"}}
    gadgets.do("PATCH", gadgets.gadgets(name, "status"), status, media_type=MERGE)
    path = gadgets.gadgets(name, "scale")
    scale = gadgets.do("GET", path)
    assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "app=x"}
    after = gadgets.do("PATCH", path, {"spec": {"replicas": 6}}, media_type=MERGE)
    assert after["spec"] == {"replicas": 6}
    whole = gadgets.do("GET", gadgets.gadgets(name))
    assert whole["spec"]["size"] == 6
    assert whole["metadata"]["generation"] == 2
    assert whole["status"] == status["status"]
    too_many = {"spec": {"replicas": 101}}
    gadgets.refuse(422, "PATCH", path, too_many, media_type=MERGE)


def test_14_the_custom_objects_client_patches_the_scale(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    api = client.CustomObjectsApi(gadgets.client)
    where = (GROUP, "v1", gadgets.namespace, "gadgets", name)
    api.patch_namespaced_custom_object_scale(*where, {"spec": {"replicas": 9}})
    assert api.get_namespaced_custom_object(*where)["spec"]["size"] == 9


def test_15_a_deployment_by_the_typed_client(cluster: ClusterUnderTest) -> None:
    name = cluster.name("d")
    api = client.AppsV1Api(cluster.client)
    made = api.create_namespaced_deployment(cluster.namespace, cluster.deployment(name))
    assert made.spec.replicas == 1
    assert made.spec.strategy.type == "RollingUpdate"
    assert made.metadata.generation == 1
    assert made.spec.template.spec.restart_policy == "Always"
    read = api.read_namespaced_deployment(name, cluster.namespace)
    assert read.metadata.uid == made.metadata.uid
    api.delete_namespaced_deployment(name, cluster.namespace)
    with pytest.raises(client.ApiException) as caught:
        api.read_namespaced_deployment(name, cluster.namespace)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"selector": None}, "spec.selector"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "`selector` does not match"),
        ({"replicas": -1}, "spec.replicas"),
    ],
)
def test_15_a_wrong_deployment_answers_422(
    cluster: ClusterUnderTest, change: Obj, said: str
) -> None:
    body = cluster.deployment(cluster.name("d"))
    body["spec"] |= change
    assert said in cluster.refuse(422, "POST", cluster.apps("deployments"), body)["message"]


def test_16_the_scale_of_a_deployment(cluster: ClusterUnderTest) -> None:
    name = cluster.name("d")
    api = client.AppsV1Api(cluster.client)
    api.create_namespaced_deployment(cluster.namespace, cluster.deployment(name))
    scale = api.read_namespaced_deployment_scale(name, cluster.namespace)
    assert scale.spec.replicas == 1
    assert scale.status.selector == f"app={name}"
    after = api.patch_namespaced_deployment_scale(
        name,
        cluster.namespace,
        {"spec": {"replicas": 2}},
        _content_type=MERGE,
    )
    assert after.spec.replicas == 2
    assert api.read_namespaced_deployment(name, cluster.namespace).metadata.generation == 2
    negative = {"spec": {"replicas": -1}}
    path = cluster.apps("deployments", name, "scale")
    status = cluster.refuse(422, "PATCH", path, negative, media_type=MERGE)
    assert "spec.replicas" in status["message"]


def test_17_label_selectors(cluster: ClusterUnderTest) -> None:
    group = cluster.name("sel")
    for name, labels in (("a", {"tier": "x"}), ("b", {"tier": "y", "old": "1"}), ("c", {})):
        labels = {"group": group, **labels}
        body = cluster.config_map(f"{group}-{name}", labels=labels)
        cluster.do("POST", cluster.core("configmaps"), body)

    def found(selector: str) -> list[str]:
        text = f"group={group},{selector}" if selector else f"group={group}"
        items = cluster.do("GET", cluster.core("configmaps"), labelSelector=text)["items"]
        return [item["metadata"]["name"].removeprefix(f"{group}-") for item in items]

    assert found("") == ["a", "b", "c"]
    assert found("tier=x") == ["a"]
    assert found("tier!=x") == ["b", "c"]
    assert found("tier in (x,y)") == ["a", "b"]
    assert found("tier notin (x)") == ["b", "c"]
    assert found("tier") == ["a", "b"]
    assert found("!tier") == ["c"]
    assert found("tier,!old") == ["a"]
    cluster.refuse(400, "GET", cluster.core("configmaps"), labelSelector="tier in x")


def test_17_field_selectors(cluster: ClusterUnderTest) -> None:
    name = cluster.name("f")
    cluster.do("POST", cluster.core("configmaps"), cluster.config_map(name))
    path = cluster.core("configmaps")
    items = cluster.do("GET", path, fieldSelector=f"metadata.name={name}")["items"]
    assert [item["metadata"]["name"] for item in items] == [name]
    others = cluster.do("GET", path, fieldSelector=f"metadata.name!={name}")["items"]
    assert name not in [item["metadata"]["name"] for item in others]
    assert (
        cluster.do("GET", cluster.core("pods"), fieldSelector="spec.nodeName=nowhere")["items"]
        == []
    )
    cluster.refuse(400, "GET", path, fieldSelector="data.a=1")


def test_17_lists_come_in_pages(cluster: ClusterUnderTest) -> None:
    group = cluster.name("page")
    for i in range(5):
        body = cluster.config_map(f"{group}-{i}", labels={"group": group})
        cluster.do("POST", cluster.core("configmaps"), body)
    seen, token, n_pages = [], "", 0
    while True:
        page = cluster.do(
            "GET",
            cluster.core("configmaps"),
            labelSelector=f"group={group}",
            limit=2,
            **{"continue": token},
        )
        seen += [item["metadata"]["name"] for item in page["items"]]
        n_pages += 1
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert seen == [f"{group}-{i}" for i in range(5)]
    assert n_pages == 3


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


def test_19_list_then_watch_gives_each_change_once(gadgets: ClusterUnderTest) -> None:
    group = gadgets.name("w")
    labels = {"labels": {"group": group}}

    def make(name: str) -> None:
        body = gadgets.gadget(f"{group}-{name}")
        body["metadata"] |= labels
        gadgets.do("POST", gadgets.gadgets(), body)

    make("before")
    version = gadgets.do("GET", gadgets.gadgets())["metadata"]["resourceVersion"]
    make("a")
    path = gadgets.gadgets(f"{group}-a")
    gadgets.do("PATCH", path, {"spec": {"size": 4}}, media_type=MERGE)
    gadgets.do("DELETE", path)
    make("b")
    events = gadgets.watch(
        gadgets.gadgets(), resourceVersion=version, labelSelector=f"group={group}"
    )
    seen = [(e["type"], e["object"]["metadata"]["name"].removeprefix(f"{group}-")) for e in events]
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))
    assert versions[0] > int(version)


def test_19_a_watch_sees_objects_enter_and_leave_its_selector(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("w")
    version = gadgets.do("GET", gadgets.gadgets())["metadata"]["resourceVersion"]
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    for value in ("on", "off"):
        patch = {"metadata": {"labels": {name: value}}}
        gadgets.do("PATCH", gadgets.gadgets(name), patch, media_type=MERGE)
    events = gadgets.watch(gadgets.gadgets(), resourceVersion=version, labelSelector=f"{name}=on")
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]


def test_19_a_watch_without_a_version_begins_with_what_is_there(
    gadgets: ClusterUnderTest,
) -> None:
    name = gadgets.name("w")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    selector = f"metadata.name={name}"
    for version in ({}, {"resourceVersion": "0"}):
        events = gadgets.watch(gadgets.gadgets(), fieldSelector=selector, **version)
        assert [event["type"] for event in events] == ["ADDED"]


def test_19_changes_arrive_while_the_watch_is_open(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("w")
    version = gadgets.do("GET", gadgets.gadgets())["metadata"]["resourceVersion"]
    api = client.CustomObjectsApi(gadgets.client)
    writer = threading.Timer(
        0.2, lambda: gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    )
    writer.start()
    watcher = watch.Watch()
    for event in watcher.stream(
        api.list_namespaced_custom_object,
        GROUP,
        "v1",
        gadgets.namespace,
        "gadgets",
        resource_version=version,
        timeout_seconds=20,
    ):
        assert event["type"] == "ADDED"
        assert event["object"]["metadata"]["name"] == name
        watcher.stop()
    writer.join()


def test_19_bookmarks_tell_the_version_reached(cluster: ClusterUnderTest) -> None:
    name = cluster.name("c")
    path = cluster.core("configmaps")
    version = cluster.do("GET", path)["metadata"]["resourceVersion"]
    made = cluster.do("POST", path, cluster.config_map(name))
    # A real server sends its bookmark shortly before the end of a watch of some seconds.
    events = cluster.watch(
        path,
        resourceVersion=version,
        allowWatchBookmarks="true",
        timeoutSeconds=1 if cluster.is_lab else 65,
    )
    marks = [event["object"] for event in events if event["type"] == "BOOKMARK"]
    assert marks
    assert marks[-1]["kind"] == "ConfigMap"
    reached = int(marks[-1]["metadata"]["resourceVersion"])
    assert reached >= int(made["metadata"]["resourceVersion"])
    assert cluster.watch(path, resourceVersion=str(reached)) == []


def test_19_an_expired_version_is_told_410(cluster: ClusterUnderTest) -> None:
    (event,) = cluster.watch(cluster.core("configmaps"), resourceVersion="1")
    assert event["type"] == "ERROR"
    assert event["object"]["code"] == 410
    assert event["object"]["reason"] in ("Expired", "Gone")


def test_19_the_log_is_bounded(cluster: ClusterUnderTest) -> None:
    if not cluster.is_lab:
        pytest.skip("a real server keeps its log for minutes")
    path = cluster.core("configmaps")
    version = cluster.do("GET", path)["metadata"]["resourceVersion"]
    name = cluster.name("c")
    cluster.do("POST", path, cluster.config_map(name))
    for i in range(300):
        patch = {"data": {"a": str(i)}}
        cluster.do("PATCH", f"{path}/{name}", patch, media_type=MERGE)
    (event,) = cluster.watch(path, resourceVersion=version)
    assert event["object"]["code"] == 410


def test_20_a_watch_ends_by_itself(cluster: ClusterUnderTest) -> None:
    path = cluster.core("configmaps")
    version = cluster.do("GET", path)["metadata"]["resourceVersion"]
    selector = "metadata.name=never"
    assert cluster.watch(path, resourceVersion=version, fieldSelector=selector) == []


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


def test_23_a_stale_lease_update_answers_409(cluster: ClusterUnderTest) -> None:
    api = client.CoordinationV1Api(cluster.client)
    name = cluster.name("lease")
    at = datetime(2026, 1, 5, tzinfo=UTC)
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


def allow(cluster: ClusterUnderTest, account: str, rule: Obj) -> None:
    role = {"metadata": {"name": account}, "rules": [rule]}
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{cluster.namespace}"
    cluster.do("POST", f"{rbac}/roles", role)
    binding = {
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": cluster.namespace}],
    }
    cluster.do("POST", f"{rbac}/rolebindings", binding)


def test_24_access_reviews_answer_from_roles(cluster: ClusterUnderTest) -> None:
    account = cluster.name("sa")
    cluster.do("POST", cluster.core("serviceaccounts"), {"metadata": {"name": account}})
    rule = {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "patch"]}
    allow(cluster, account, rule)

    def is_allowed(verb: str, subresource: str, namespace: str) -> bool:
        attributes = {
            "verb": verb,
            "group": "apps",
            "resource": "deployments",
            "subresource": subresource,
            "namespace": namespace,
        }
        spec = {
            "user": f"system:serviceaccount:{cluster.namespace}:{account}",
            "resourceAttributes": attributes,
        }
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return cluster.do("POST", path, {**review, "spec": spec})["status"]["allowed"]

    here = cluster.namespace
    assert cluster.eventually(lambda: is_allowed("patch", "scale", here), 10)
    assert not is_allowed("update", "scale", here)
    assert not is_allowed("patch", "", here)
    assert not is_allowed("patch", "scale", "default")


def test_24_a_rule_can_be_limited_to_named_objects(cluster: ClusterUnderTest) -> None:
    account = cluster.name("sa")
    cluster.do("POST", cluster.core("serviceaccounts"), {"metadata": {"name": account}})
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    allow(cluster, account, {**rule, "resourceNames": ["mine"]})

    def is_allowed(name: str) -> bool:
        attributes = {"verb": "get", "resource": "configmaps", "name": name}
        spec = {
            "user": f"system:serviceaccount:{cluster.namespace}:{account}",
            "resourceAttributes": {**attributes, "namespace": cluster.namespace},
        }
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return cluster.do("POST", path, {**review, "spec": spec})["status"]["allowed"]

    assert cluster.eventually(lambda: is_allowed("mine"), 10)
    assert not is_allowed("other")
    assert not is_allowed("")


def test_24_a_service_account_without_the_verb_gets_403(cluster: ClusterUnderTest) -> None:
    account = cluster.name("sa")
    cluster.do("POST", cluster.core("serviceaccounts"), {"metadata": {"name": account}})
    allow(cluster, account, {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]})
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = cluster.core("serviceaccounts", account, "token")
    token = cluster.do("POST", path, asked)["status"]["token"]
    as_account = {"headers": {"Authorization": f"Bearer {token}"}}
    cluster.eventually(
        lambda: cluster.call("GET", cluster.core("configmaps"), **as_account).is_success, 10
    )
    status = cluster.refuse(403, "GET", cluster.core("pods"), **as_account)
    assert status["reason"] == "Forbidden"
    user = f"system:serviceaccount:{cluster.namespace}:{account}"
    assert f'User "{user}" cannot list resource "pods"' in status["message"]
    body = cluster.config_map("c")
    cluster.refuse(403, "POST", cluster.core("configmaps"), body, **as_account)
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "verb": "list",
                "resource": "configmaps",
                "namespace": cluster.namespace,
            }
        },
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert cluster.do("POST", path, review, **as_account)["status"]["allowed"]
    wrong = {"headers": {"Authorization": "Bearer nobody"}}
    cluster.refuse(401, "GET", cluster.core("pods"), **wrong)


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
    gadgets.refuse(400, "PATCH", path, gadgets.gadget(name), media_type=APPLY)


def test_25_apply_gives_up_a_scale_that_another_manages(cluster: ClusterUnderTest) -> None:
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


def test_dry_run_writes_nothing(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("g")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name), dryRun="All")
    gadgets.refuse(404, "GET", gadgets.gadgets(name))


def test_preconditions_of_a_deletion(cluster: ClusterUnderTest) -> None:
    name = cluster.name("c")
    path = cluster.core("configmaps", name)
    made = cluster.do("POST", cluster.core("configmaps"), cluster.config_map(name))
    other = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    cluster.refuse(409, "DELETE", path, other)
    cluster.do("DELETE", path, {"preconditions": {"uid": made["metadata"]["uid"]}})
    cluster.refuse(404, "GET", path)


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


# -- 26: pods ------------------------------------------------------------------------------------


def free_gpus(cluster: ClusterUnderTest) -> int:
    """GPUs that no pod of this suite holds; skips where the cluster has none."""
    nodes = cluster.do("GET", "/api/v1/nodes")["items"]
    total = sum(int(node["status"]["allocatable"].get(GPU, "0")) for node in nodes)
    if not total:
        pytest.skip("the cluster has no nodes with GPUs")
    return total


def gpu_deployment(cluster: ClusterUnderTest, name: str, replicas: int, gpus: int = 1) -> Obj:
    limits = {"resources": {"limits": {GPU: str(gpus)}}}
    return cluster.deployment(name, replicas, container=limits)


def test_26_pods_are_owned_scheduled_and_become_ready(cluster: ClusterUnderTest) -> None:
    free_gpus(cluster)
    name = cluster.name("p")
    made = cluster.do("POST", cluster.apps("deployments"), gpu_deployment(cluster, name, 2))
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 2)
    (replica_set,) = cluster.do("GET", cluster.apps("replicasets"), labelSelector=f"app={name}")[
        "items"
    ]
    assert replica_set["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    assert replica_set["metadata"]["name"].startswith(f"{name}-")
    for pod in cluster.ready_pods(name):
        (owner,) = pod["metadata"]["ownerReferences"]
        assert owner["uid"] == replica_set["metadata"]["uid"]
        assert owner["controller"] is True
        assert pod["spec"]["nodeName"]
        assert "pod-template-hash" in pod["metadata"]["labels"]
        times = {c["type"]: c["lastTransitionTime"] for c in pod["status"]["conditions"]}
        assert times["PodScheduled"] <= times["Ready"]

    def status() -> Obj:
        return cluster.do("GET", cluster.apps("deployments", name))["status"]

    cluster.eventually(lambda: status().get("readyReplicas") == 2)
    assert status()["replicas"] == 2
    assert status()["updatedReplicas"] == 2
    assert status()["observedGeneration"] == 1
    cluster.eventually(
        lambda: {c["type"]: c["status"] for c in status()["conditions"]}.get("Available") == "True"
    )
    typed = client.CoreV1Api(cluster.client).list_namespaced_pod(
        cluster.namespace, label_selector=f"app={name}"
    )
    assert {pod.status.phase for pod in typed.items} == {"Running"}
    cluster.do("DELETE", cluster.apps("deployments", name))
    cluster.eventually(lambda: not cluster.pods(name))


def test_26_pods_wait_for_gpus_and_say_so(cluster: ClusterUnderTest) -> None:
    total = free_gpus(cluster)
    name = cluster.name("p")
    body = gpu_deployment(cluster, name, total + 1)
    cluster.do("POST", cluster.apps("deployments"), body)

    def waiting() -> list[Obj]:
        return [pod for pod in cluster.pods(name) if not pod["spec"].get("nodeName")]

    cluster.eventually(lambda: len(cluster.ready_pods(name)) == total)
    (pod,) = waiting()
    assert pod["status"]["phase"] == "Pending"
    (condition,) = [c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled"]
    assert condition["status"] == "False"
    assert condition["reason"] == "Unschedulable"
    assert f"Insufficient {GPU}" in condition["message"]
    scale = {"spec": {"replicas": total}}
    path = cluster.apps("deployments", name, "scale")
    cluster.do("PATCH", path, scale, media_type=MERGE)
    cluster.eventually(lambda: not waiting())
    assert len(cluster.ready_pods(name)) == total
    cluster.do("DELETE", cluster.apps("deployments", name))
    cluster.eventually(lambda: not cluster.pods(name))


def test_26_a_freed_gpu_goes_to_the_pod_that_waits(cluster: ClusterUnderTest) -> None:
    total = free_gpus(cluster)
    first, second = cluster.name("p"), cluster.name("p")
    path = cluster.apps("deployments")
    cluster.do("POST", path, gpu_deployment(cluster, first, total))
    cluster.eventually(lambda: len(cluster.ready_pods(first)) == total)
    cluster.do("POST", path, gpu_deployment(cluster, second, 1))
    cluster.eventually(lambda: len(cluster.pods(second)) == 1)
    assert not cluster.ready_pods(second)
    scale = {"spec": {"replicas": total - 1}}
    cluster.do("PATCH", f"{path}/{first}/scale", scale, media_type=MERGE)
    cluster.eventually(lambda: len(cluster.ready_pods(second)) == 1)
    for name in (first, second):
        cluster.do("DELETE", f"{path}/{name}")
        cluster.eventually(lambda name=name: not cluster.pods(name))


def test_26_scaling_down_takes_the_pod_of_the_lowest_deletion_cost(
    cluster: ClusterUnderTest,
) -> None:
    free_gpus(cluster)
    name = cluster.name("p")
    cluster.do("POST", cluster.apps("deployments"), gpu_deployment(cluster, name, 3))
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 3)
    names = [pod["metadata"]["name"] for pod in cluster.pods(name)]
    for pod, cost in zip(names, ("10", "-5", "0"), strict=True):
        annotations = {"controller.kubernetes.io/pod-deletion-cost": cost}
        patch = {"metadata": {"annotations": annotations}}
        cluster.do("PATCH", cluster.core("pods", pod), patch, media_type=MERGE)
    path = cluster.apps("deployments", name, "scale")
    for replicas, left in ((2, {names[0], names[2]}), (1, {names[0]})):
        cluster.do("PATCH", path, {"spec": {"replicas": replicas}}, media_type=MERGE)
        cluster.eventually(
            lambda left=left: {pod["metadata"]["name"] for pod in cluster.pods(name)} == left
        )
    cluster.do("DELETE", cluster.apps("deployments", name))


def test_26_a_deleted_pod_is_replaced(cluster: ClusterUnderTest) -> None:
    free_gpus(cluster)
    name = cluster.name("p")
    cluster.do("POST", cluster.apps("deployments"), gpu_deployment(cluster, name, 1))
    (pod,) = cluster.eventually(lambda: cluster.ready_pods(name))
    cluster.do("DELETE", cluster.core("pods", pod["metadata"]["name"]))
    (fresh,) = cluster.eventually(
        lambda: [
            p for p in cluster.ready_pods(name) if p["metadata"]["uid"] != pod["metadata"]["uid"]
        ]
    )
    assert fresh["metadata"]["name"] != pod["metadata"]["name"]
    cluster.do("DELETE", cluster.apps("deployments", name))


def test_26_an_eviction_obeys_the_disruption_budget(cluster: ClusterUnderTest) -> None:
    free_gpus(cluster)
    name = cluster.name("p")
    cluster.do("POST", cluster.apps("deployments"), gpu_deployment(cluster, name, 1))
    (pod,) = cluster.eventually(lambda: cluster.ready_pods(name))
    budgets = f"/apis/policy/v1/namespaces/{cluster.namespace}/poddisruptionbudgets"
    budget = {
        "metadata": {"name": name},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": name}}},
    }
    cluster.do("POST", budgets, budget)
    pod_name = pod["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod_name, "namespace": cluster.namespace},
    }
    path = cluster.core("pods", pod_name, "eviction")
    status = cluster.refuse(429, "POST", path, eviction)
    assert "disruption budget" in status["message"]
    cluster.do("DELETE", f"{budgets}/{name}")
    cluster.eventually(lambda: cluster.call("POST", path, eviction).is_success, 10)
    cluster.do("DELETE", cluster.apps("deployments", name))


def test_26_a_new_template_rolls_out_within_its_limits(cluster: ClusterUnderTest) -> None:
    free_gpus(cluster)
    name = cluster.name("p")
    body = gpu_deployment(cluster, name, 4)
    rolling = {"maxSurge": 1, "maxUnavailable": 1}
    body["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
    cluster.do("POST", cluster.apps("deployments"), body)
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 4)
    old = {pod["metadata"]["uid"] for pod in cluster.pods(name)}
    annotations = {"template": {"metadata": {"annotations": {"revision": "2"}}}}
    path = cluster.apps("deployments", name)
    cluster.do("PATCH", path, {"spec": annotations}, media_type=STRATEGIC)

    def is_done() -> bool:
        pods = cluster.pods(name)
        alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        assert len(alive) <= 5
        assert sum(map(is_ready, pods)) >= 3
        fresh = [pod for pod in alive if pod["metadata"]["uid"] not in old]
        return len(fresh) == len(alive) == 4 and all(map(is_ready, fresh))

    cluster.eventually(is_done)
    status = cluster.eventually(
        lambda: (s := cluster.do("GET", path)["status"])["updatedReplicas"] == 4 and s
    )
    assert status["observedGeneration"] == 2
    items = cluster.do("GET", cluster.apps("replicasets"), labelSelector=f"app={name}")["items"]
    assert sorted(item["spec"]["replicas"] for item in items) == [0, 4]
    cluster.do("DELETE", path)


def test_26_a_cordoned_node_takes_no_pod(cluster: ClusterUnderTest) -> None:
    if not cluster.is_lab:
        pytest.skip("the nodes of a real cluster are left alone")
    nodes = [node["metadata"]["name"] for node in cluster.do("GET", "/api/v1/nodes")["items"]]
    for node in nodes:
        patch: Obj = {"spec": {"unschedulable": True}}
        cluster.do("PATCH", f"/api/v1/nodes/{node}", patch, media_type=MERGE)
    name = cluster.name("p")
    cluster.do("POST", cluster.apps("deployments"), gpu_deployment(cluster, name, 1))
    cluster.advance(60)
    assert [pod["status"]["phase"] for pod in cluster.pods(name)] == ["Pending"]
    for node in nodes:
        patch = {"spec": {"unschedulable": None}}
        cluster.do("PATCH", f"/api/v1/nodes/{node}", patch, media_type=MERGE)
    cluster.eventually(lambda: cluster.ready_pods(name))
    cluster.do("DELETE", cluster.apps("deployments", name))


# -- the laboratory's own paths ------------------------------------------------------------------


@pytest.fixture
def lab(cluster: ClusterUnderTest) -> Iterator[ClusterUnderTest]:
    """The simulated cluster, without faults afterwards; skips on a real one."""
    if not cluster.is_lab:
        pytest.skip("only the simulated cluster has laboratory paths")
    yield cluster
    cluster.do("DELETE", "/lab/faults")


def test_lab_advance_tells_the_exact_history(lab: ClusterUnderTest) -> None:
    name = lab.name("p")
    lab.do("POST", lab.apps("deployments"), gpu_deployment(lab, name, 2))
    before = lab.advance(1)
    after = lab.advance(59)
    found = after["workloads"][f"{lab.namespace}/{name}"]
    assert (found["spec"], found["ready"], found["starting"], found["pending"]) == (2, 2, 0, 0)
    (starting, ready) = found["intervals"]
    assert starting[1] - starting[0] == pytest.approx(2.0)
    assert (starting[2:], ready[2:]) == ([0, 2], [2, 2])
    assert ready[1] - starting[0] == pytest.approx(59.0)
    assert int(after["resourceVersion"]) > int(before["resourceVersion"])
    assert lab.do("GET", "/lab/state")["workloads"].keys() == after["workloads"].keys()
    lab.do("DELETE", lab.apps("deployments", name))


@pytest.mark.parametrize(
    "body", [{}, {"to": "yesterday"}, {"to": "2026-01-05T00:00:00"}, {"to": "2020-01-01T00:00:00Z"}]
)
def test_lab_advance_refuses_a_wrong_time(lab: ClusterUnderTest, body: Obj) -> None:
    assert "to=" in lab.refuse(400, "POST", "/lab/advance", body)["message"]


@pytest.mark.parametrize(
    ("kind", "code"), [("conflict", 409), ("throttle", 429), ("error", 500), ("unavailable", 503)]
)
def test_lab_faults_hit_what_they_match_and_wear_out(
    lab: ClusterUnderTest, kind: str, code: int
) -> None:
    fault = {"kind": kind, "verb": "get", "resource": "configmaps", "name": "x", "times": 2}
    lab.do("POST", "/lab/faults", {**fault, "retry_after_s": 7})
    path = lab.core("configmaps", "x")
    lab.refuse(404, "GET", lab.core("configmaps", "y"))
    response = lab.call("GET", path)
    assert response.status_code == code
    if kind == "throttle":
        assert response.headers["Retry-After"] == "7"
    lab.refuse(code, "GET", path)
    lab.refuse(404, "GET", path)


def test_lab_faults_refuse_nonsense(lab: ClusterUnderTest) -> None:
    status = lab.refuse(400, "POST", "/lab/faults", {"kind": "meteor"})
    assert "kind='meteor'" in status["message"]
    status = lab.refuse(400, "POST", "/lab/faults", {"kind": "slow", "often": 3})
    assert "often" in status["message"]


@pytest.mark.parametrize("kind", ["drop_watch", "gone"])
def test_lab_faults_break_open_watches(lab: ClusterUnderTest, kind: str) -> None:
    fault = {"kind": kind, "resource": "configmaps"}
    version = lab.do("GET", lab.core("configmaps"))["metadata"]["resourceVersion"]
    breaker = threading.Timer(0.2, lambda: lab.do("POST", "/lab/faults", fault))
    breaker.start()
    watching = {"resourceVersion": version, "timeoutSeconds": 20}
    if kind == "gone":
        (event,) = lab.watch(lab.core("configmaps"), **watching)
        assert event["object"]["code"] == 410
    else:
        with pytest.raises(httpx.RemoteProtocolError):
            lab.watch(lab.core("configmaps"), **watching)
    breaker.join()


def test_lab_counts_calls(lab: ClusterUnderTest) -> None:
    lab.do("DELETE", "/lab/requests")
    lab.do("GET", lab.core("configmaps"))
    lab.do("GET", lab.core("configmaps"))
    (found,) = lab.do("GET", "/lab/requests")["requests"]
    assert (found["verb"], found["resource"], found["count"]) == ("list", "configmaps", 2)
