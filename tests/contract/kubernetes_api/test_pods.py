"""Pods of deployments on GPU nodes: scheduling, scaling, eviction, rollout."""

from __future__ import annotations

import pytest
from kubernetes import client

from tests.contract.kubernetes_api.cluster_under_test import (
    MERGE,
    STRATEGIC,
    ClusterUnderTest,
    Obj,
    is_ready,
)
from tests.contract.kubernetes_api.gpu_deployments import GPU, free_gpus, gpu_deployment


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


def test_26_a_required_node_affinity_says_where_a_pod_may_go(cluster: ClusterUnderTest) -> None:
    """One term has to hold as a whole, and each expression names several values."""
    free_gpus(cluster)
    nodes = cluster.do("GET", "/api/v1/nodes")["items"]
    hosts = [
        node["metadata"]["labels"]["kubernetes.io/hostname"]
        for node in nodes
        if GPU in node["status"]["allocatable"]
    ]

    def deploy(*values: str) -> str:
        name = cluster.name("p")
        body = gpu_deployment(cluster, name, 1)
        host = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(values)}
        never = {"key": "harmony.test/nowhere", "operator": "Exists"}
        terms = [{"matchExpressions": [never]}, {"matchExpressions": [host]}]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        body["spec"]["template"]["spec"]["affinity"] = {"nodeAffinity": required}
        cluster.do("POST", cluster.apps("deployments"), body)
        return name

    def refusal(name: str) -> str:
        return next(
            (
                each["message"]
                for pod in cluster.pods(name)
                for each in pod["status"].get("conditions") or ()
                if each["type"] == "PodScheduled" and each["status"] == "False"
            ),
            "",
        )

    name, nowhere = deploy("nowhere", hosts[-1]), deploy("nowhere")
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 1)
    (pod,) = cluster.pods(name)
    (node,) = [n for n in nodes if n["metadata"]["name"] == pod["spec"]["nodeName"]]
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == hosts[-1]
    cluster.eventually(lambda: "didn't match Pod's node affinity/selector" in refusal(nowhere))
    for each in (name, nowhere):
        cluster.do("DELETE", cluster.apps("deployments", each))
        cluster.eventually(lambda of=each: not cluster.pods(of))


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


def test_26_a_pod_that_is_scaled_in_has_its_grace_to_end(cluster: ClusterUnderTest) -> None:
    free_gpus(cluster)
    if int(cluster.do("GET", "/version")["minor"].rstrip("+")) < 30:
        pytest.skip("the server is older than hooks that sleep (Kubernetes 1.30)")
    name = cluster.name("p")
    body = gpu_deployment(cluster, name, 2)
    template = body["spec"]["template"]
    template["metadata"].setdefault("annotations", {})["lab.harmony.dev/drain"] = "60s"
    template["spec"]["terminationGracePeriodSeconds"] = 25
    template["spec"]["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 20}}}
    cluster.do("POST", cluster.apps("deployments"), body)
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 2)
    path = cluster.apps("deployments", name)
    cluster.do("PATCH", f"{path}/scale", {"spec": {"replicas": 1}}, media_type=MERGE)

    def leaving() -> list[Obj]:
        return [p for p in cluster.pods(name) if p["metadata"].get("deletionTimestamp")]

    (pod,) = cluster.eventually(leaving)
    meta = pod["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 25
    assert meta["deletionTimestamp"] > meta["creationTimestamp"]
    cluster.eventually(lambda: cluster.do("GET", path)["status"]["replicas"] == 1)
    forced = {"gracePeriodSeconds": 0}
    cluster.do("DELETE", cluster.core("pods", meta["name"]), forced)
    cluster.eventually(
        lambda: meta["name"] not in {p["metadata"]["name"] for p in cluster.pods(name)}
    )
    cluster.do("DELETE", path)
    cluster.eventually(lambda: not cluster.pods(name))


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


def test_26_a_roll_out_that_does_not_move_runs_out_of_time(cluster: ClusterUnderTest) -> None:
    free_gpus(cluster)
    name, path = cluster.name("p"), ""
    body = gpu_deployment(cluster, name, 2)
    body["spec"]["progressDeadlineSeconds"] = 6
    cluster.do("POST", cluster.apps("deployments"), body)
    path = cluster.apps("deployments", name)

    def progress() -> tuple[str, str]:
        conditions = cluster.do("GET", path)["status"].get("conditions") or ()
        return next((c["status"], c["reason"]) for c in conditions if c["type"] == "Progressing")

    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 2)
    cluster.eventually(lambda: progress() == ("True", "NewReplicaSetAvailable"))
    nowhere = {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}}}
    cluster.do("PATCH", path, {"spec": nowhere}, media_type=STRATEGIC)
    cluster.eventually(lambda: progress() == ("True", "ReplicaSetUpdated"))
    cluster.eventually(lambda: progress() == ("False", "ProgressDeadlineExceeded"))
    status = cluster.do("GET", path)["status"]
    assert status["updatedReplicas"] < status["replicas"]
    somewhere = {"template": {"spec": body["spec"]["template"]["spec"] | {"nodeSelector": None}}}
    cluster.do("PATCH", path, {"spec": somewhere}, media_type=MERGE)
    cluster.eventually(lambda: progress() == ("True", "NewReplicaSetAvailable"))
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
