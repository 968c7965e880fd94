"""What kubectl reads before it writes: OpenAPI, and who one is."""

from __future__ import annotations

import pytest

from tests.contract.kubernetes_api.cluster_under_test import GROUP, ClusterUnderTest, Obj

GVK = "x-kubernetes-group-version-kind"
GADGET = {"group": GROUP, "version": "v1", "kind": "Gadget"}


def document(cluster: ClusterUnderTest, version: str) -> Obj:
    """OpenAPI of an API version; a real server tells of a new one some seconds later."""
    if cluster.call("GET", "/openapi/v3").status_code == 404:
        pytest.skip("the server is older than OpenAPI v3 (Kubernetes 1.24)")
    found = cluster.eventually(lambda: cluster.do("GET", "/openapi/v3")["paths"].get(version))
    return cluster.do("GET", found["serverRelativeURL"])


def test_kubectl_finds_the_schema_of_a_custom_kind(gadgets: ClusterUnderTest) -> None:
    found = document(gadgets, f"apis/{GROUP}/v1")
    collection = found["paths"][f"/apis/{GROUP}/v1/namespaces/{{namespace}}/gadgets"]
    assert collection["get"][GVK] == GADGET
    schemas = found["components"]["schemas"].values()
    (schema,) = [s for s in schemas if GADGET in s.get(GVK, ())]
    assert {"apiVersion", "kind", "metadata", "spec", "status"} <= set(schema["properties"])
    assert schema["properties"]["spec"]["properties"]["size"]["maximum"] == 100


@pytest.mark.parametrize("version", ["api/v1", "apis/apps/v1", f"apis/{GROUP}/v1"])
def test_kubectl_is_told_that_the_server_validates(gadgets: ClusterUnderTest, version: str) -> None:
    operations = [
        operation
        for path in document(gadgets, version)["paths"].values()
        for method, operation in path.items()
        if method == "patch"
    ]
    assert operations
    assert all(
        "fieldValidation" in [p["name"] for p in operation["parameters"]]
        for operation in operations
    )


def test_who_am_i(cluster: ClusterUnderTest) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = cluster.call("POST", path, review)
    if answer.status_code == 404 and not cluster.is_lab:
        pytest.skip("the server is older than SelfSubjectReview (Kubernetes 1.28)")
    assert answer.status_code == 201
    assert "system:authenticated" in answer.json()["status"]["userInfo"]["groups"]


def test_what_may_i_do(cluster: ClusterUnderTest) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": cluster.namespace},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    rules = cluster.do("POST", path, review)["status"]["resourceRules"]
    assert any("*" in rule["verbs"] and "*" in rule["resources"] for rule in rules)
