"""Labels and taints of nodes decide where pods may go, and the scheduler says why not."""

from __future__ import annotations

from services.lab.cluster.storage.resources import DEPLOYMENTS, NODES
from services.simulator.engine.specs import NodeSpec
from tests.unit.lab.cluster.running_cluster import RunningCluster, condition, workload

TAINT = {"key": "dedicated", "value": "train", "effect": "NoSchedule"}
TOLERATION = {"key": "dedicated", "operator": "Equal", "value": "train"}


def test_a_taint_keeps_pods_away_that_do_not_tolerate_it() -> None:
    cluster = RunningCluster(NodeSpec("a", "H100", 4), NodeSpec("b", "H100", 4))
    cluster.change(NODES, "a", "spec.taints", [TAINT])
    cluster.create(DEPLOYMENTS, "x", workload(5))
    waiting = [pod for pod in cluster.pods().values() if "nodeName" not in pod["spec"]]
    assert len(waiting) == 1
    message = condition(waiting[0], "PodScheduled")["message"]
    assert "1 node(s) had untolerated taint {dedicated: train}" in message
    assert "1 Insufficient nvidia.com/gpu" in message
    cluster.create(DEPLOYMENTS, "y", workload(2, "y", tolerations=[TOLERATION]))
    placed = {
        pod["spec"].get("nodeName")
        for pod in cluster.pods().values()
        if pod["metadata"]["labels"]["app"] == "y"
    }
    assert placed == {"a"}


def test_a_pod_that_waits_takes_a_node_whose_taint_is_lifted() -> None:
    cluster = RunningCluster(NodeSpec("a", "H100", 4))
    cluster.change(NODES, "a", "spec.taints", [TAINT])
    cluster.create(DEPLOYMENTS, "x", workload(1))
    cluster.change(NODES, "a", "spec.taints", [])
    (pod,) = cluster.pods().values()
    assert pod["spec"]["nodeName"] == "a"


def test_a_node_selector_names_any_label() -> None:
    cluster = RunningCluster(NodeSpec("a", "H100", 4), NodeSpec("b", "H100", 4))
    cluster.create(DEPLOYMENTS, "x", workload(1, nodeSelector={"zone": "north"}))
    (pod,) = cluster.pods().values()
    assert "didn't match Pod's node affinity" in condition(pod, "PodScheduled")["message"]
    cluster.change(NODES, "b", "metadata.labels.zone", "north")
    (pod,) = cluster.pods().values()
    assert pod["spec"]["nodeName"] == "b"
