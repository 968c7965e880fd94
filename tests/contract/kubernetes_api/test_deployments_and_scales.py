"""Deployments, and the scale of deployments and of custom objects."""

from __future__ import annotations

import pytest
from kubernetes import client

from tests.contract.kubernetes_api.cluster_under_test import GROUP, MERGE, ClusterUnderTest, Obj


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
