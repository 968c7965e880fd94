"""What the operator reads of controllers: revisions, progress, owners, scales of every kind."""

from __future__ import annotations

from tests.contract.kubernetes_api.cluster_under_test import (
    GROUP,
    MERGE,
    STRATEGIC,
    ClusterUnderTest,
    Obj,
)


def set_of(cluster: ClusterUnderTest, kind: str, name: str, replicas: int) -> Obj:
    body = cluster.deployment(name, replicas)
    body["kind"] = kind
    if kind == "StatefulSet":
        body["spec"]["serviceName"] = name
    return body


def progress(cluster: ClusterUnderTest, name: str) -> Obj:
    status = cluster.do("GET", cluster.apps("deployments", name)).get("status", {})
    found = {c["type"]: c for c in status.get("conditions", ())}
    return found.get("Progressing", {})


def test_scaling_is_no_progress_but_a_new_template_is(cluster: ClusterUnderTest) -> None:
    name = cluster.name("d")
    path = cluster.apps("deployments", name)
    cluster.do("POST", cluster.apps("deployments"), cluster.deployment(name, 1))
    done = "NewReplicaSetAvailable"
    cluster.eventually(lambda: progress(cluster, name).get("reason") == done)
    before = progress(cluster, name)
    cluster.do("PATCH", f"{path}/scale", {"spec": {"replicas": 2}}, media_type=MERGE)
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 2)
    assert progress(cluster, name)["reason"] == before["reason"]
    annotations = {"template": {"metadata": {"annotations": {"revision": "2"}}}}
    cluster.do("PATCH", path, {"spec": annotations}, media_type=STRATEGIC)
    cluster.eventually(lambda: progress(cluster, name)["reason"] == "ReplicaSetUpdated")
    cluster.eventually(lambda: progress(cluster, name)["reason"] == done)
    cluster.do("DELETE", path)


def test_a_spec_that_was_seen_is_told_even_when_no_pod_changes(cluster: ClusterUnderTest) -> None:
    name = cluster.name("d")
    path = cluster.apps("deployments", name)
    cluster.do("POST", cluster.apps("deployments"), cluster.deployment(name, 0))
    patch = {"spec": {"minReadySeconds": 1}}
    made = cluster.do("PATCH", path, patch, media_type=MERGE)
    assert made["metadata"]["generation"] == 2
    cluster.eventually(
        lambda: cluster.do("GET", path).get("status", {}).get("observedGeneration") == 2
    )
    cluster.do("DELETE", path)


def test_a_replica_set_of_its_own_is_scaled(cluster: ClusterUnderTest) -> None:
    name = cluster.name("r")
    path = cluster.apps("replicasets", name)
    made = cluster.do("POST", cluster.apps("replicasets"), set_of(cluster, "ReplicaSet", name, 1))
    (pod,) = cluster.eventually(lambda: cluster.ready_pods(name))
    assert pod["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    scale = cluster.do("PATCH", f"{path}/scale", {"spec": {"replicas": 2}}, media_type=MERGE)
    assert scale["status"]["selector"] == f"app={name}"
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 2)
    cluster.do("DELETE", path)
    cluster.eventually(lambda: not cluster.pods(name))


def test_a_stateful_set_gives_up_its_highest_ordinal_and_rolls_out_from_it(
    cluster: ClusterUnderTest,
) -> None:
    name = cluster.name("s")
    path = cluster.apps("statefulsets", name)
    cluster.do("POST", cluster.apps("statefulsets"), set_of(cluster, "StatefulSet", name, 3))
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 3)
    cluster.do("PATCH", f"{path}/scale", {"spec": {"replicas": 2}}, media_type=MERGE)
    names = [f"{name}-0", f"{name}-1"]
    cluster.eventually(lambda: [pod["metadata"]["name"] for pod in cluster.pods(name)] == names)
    cluster.eventually(
        lambda: (
            (s := cluster.do("GET", path)["status"]).get("updateRevision")
            and s["updateRevision"] == s["currentRevision"]
        )
    )
    first = cluster.do("GET", path)["status"]["updateRevision"]
    annotations = {"template": {"metadata": {"annotations": {"revision": "2"}}}}
    cluster.do("PATCH", path, {"spec": annotations}, media_type=STRATEGIC)

    def revisions() -> list[str]:
        pods = sorted(cluster.pods(name), key=lambda pod: pod["metadata"]["name"])
        return [pod["metadata"]["labels"]["controller-revision-hash"] for pod in pods]

    cluster.eventually(lambda: len(r := revisions()) == 2 and r[0] == first != r[1])
    cluster.eventually(lambda: len(r := revisions()) == 2 and first not in r)
    cluster.eventually(
        lambda: (
            (s := cluster.do("GET", path)["status"])["updateRevision"]
            == s["currentRevision"]
            != first
        )
    )
    cluster.do("DELETE", path)


def test_discovery_tells_which_kinds_have_a_scale(gadgets: ClusterUnderTest) -> None:
    for path, plural in ((f"/apis/{GROUP}/v1", "gadgets"), ("/apis/apps/v1", "deployments")):
        found = {r["name"]: r for r in gadgets.do("GET", path)["resources"]}
        assert found[plural]["namespaced"] is True
        scale = found[f"{plural}/scale"]
        assert {"get", "patch", "update"} <= set(scale["verbs"])
        assert scale["kind"] == "Scale"
    core = {r["name"] for r in gadgets.do("GET", "/api/v1")["resources"]}
    assert "pods" in core
    assert "pods/scale" not in core
