"""Access reviews and service accounts under roles."""

from __future__ import annotations

from tests.contract.kubernetes_api.cluster_under_test import ClusterUnderTest, Obj


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
