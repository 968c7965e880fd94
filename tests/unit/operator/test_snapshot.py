"""Pods are counted by their owners, GPUs by what bound pods hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.operator.snapshot import (
    count_replicas,
    free_gpus,
    is_product,
    pods_by_owner,
    to_nodes,
    to_pods,
    to_replica_set_owners,
    to_target_states,
    unknown_replica_sets,
)
from tests.unit.operator.examples import NOW


def stamp(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def pod(name: str, **given: Any) -> dict[str, Any]:
    """A pod of the ReplicaSet rs1, bound and ready unless told otherwise."""
    owner = {"kind": "ReplicaSet", "uid": given.get("owner", "rs1"), "controller": True}
    metadata: dict[str, Any] = {
        "name": name,
        "uid": name,
        "creationTimestamp": stamp(given.get("created_s", -100)),
        "ownerReferences": [owner],
    }
    if given.get("is_leaving"):
        metadata["deletionTimestamp"] = stamp(0)
    ready_s = given.get("ready_s", -50)
    ready = {"type": "Ready", "status": "True" if ready_s is not None else "False"}
    if ready_s is not None:
        ready["lastTransitionTime"] = stamp(ready_s)
    limits = {"nvidia.com/gpu": str(given.get("gpus", 2))}
    return {
        "metadata": metadata,
        "spec": {
            "nodeName": given.get("node", "n1"),
            "containers": [{"resources": {"limits": limits}}, {"name": "sidecar"}],
        },
        "status": {"phase": given.get("phase", "Running"), "conditions": [ready]},
    }


OWNERS = {"rs1": "d1", "rs2": "d1", "rs9": "d9"}


def test_counts_by_owner_through_both_replica_sets_of_a_rollout() -> None:
    resources = [
        pod("a"),
        pod("b", owner="rs2", ready_s=None),
        pod("c", owner="rs2", ready_s=None, node=""),
        pod("d", owner="rs9"),
        pod("e", is_leaving=True),
        pod("f", phase="Failed"),
    ]
    mine = pods_by_owner(to_pods(resources, OWNERS))["d1"]
    replicas = count_replicas(mine, NOW)
    assert (replicas.ready, replicas.starting, replicas.pending) == (1, 1, 1)
    assert replicas.start_ages_s == (100.0, 100.0)


def test_ages_are_starting_first_each_oldest_first() -> None:
    resources = [
        pod("a", ready_s=None, created_s=-10),
        pod("b", ready_s=None, created_s=-30),
        pod("c", ready_s=None, created_s=-90, node=""),
        pod("d", ready_s=None, created_s=-20, node=""),
    ]
    replicas = count_replicas(to_pods(resources, OWNERS), NOW)
    assert replicas.start_ages_s == (30.0, 10.0, 90.0, 20.0)


def test_what_happened_after_now_has_not_happened_yet() -> None:
    later = [pod("a", ready_s=40), pod("b", created_s=30, ready_s=None), pod("c", ready_s=3)]
    replicas = count_replicas(to_pods(later, OWNERS), NOW)
    assert (replicas.ready, replicas.starting, replicas.pending) == (1, 1, 0)


def test_replica_sets_lead_to_their_deployments() -> None:
    sets: list[dict[str, Any]] = [
        {
            "metadata": {
                "uid": "rs1",
                "ownerReferences": [{"kind": "Deployment", "uid": "d1", "controller": True}],
            }
        },
        {"metadata": {"uid": "lonely"}},
    ]
    assert to_replica_set_owners(sets) == {"rs1": "d1", "lonely": "lonely"}
    assert unknown_replica_sets([pod("a")], {}) is True
    assert unknown_replica_sets([pod("a")], {"rs1": "d1"}) is False


def node(name: str, gpus: int, **given: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "labels": {"nvidia.com/gpu.product": given.get("product", "NVIDIA-H100-80GB-HBM3")},
        },
        "spec": {"unschedulable": given.get("is_cordoned", False)},
        "status": {
            "allocatable": {"nvidia.com/gpu": str(gpus)},
            "conditions": [{"type": "Ready", "status": given.get("ready", "True")}],
        },
    }


def test_free_gpus_are_whole_gangs_on_nodes_that_take_pods() -> None:
    nodes = to_nodes(
        [
            node("n1", 8),
            node("n2", 8),
            node("n3", 8, is_cordoned=True),
            node("n4", 8, ready="False"),
            node("n5", 4, product="NVIDIA-L4"),
        ]
    )
    pods = to_pods(
        [pod("a", gpus=5), pod("b", node="n2", gpus=3, is_leaving=True), pod("c", node="")], OWNERS
    )
    free = free_gpus(nodes, pods)
    assert free.schedulable("H100", 1) == 3 + 5
    assert free.schedulable("H100", 2) == 2 + 4
    assert free.schedulable("H100", 4) == 0 + 4
    assert free.schedulable("L4", 4) == 4
    assert free.schedulable("B200", 1) is None


@pytest.mark.parametrize(
    ("product", "gpu_type", "expected"),
    [
        ("H100", "H100", True),
        ("NVIDIA-H100-80GB-HBM3", "h100", True),
        ("NVIDIA-A100-SXM4-40GB", "A100", True),
        ("NVIDIA-L40S", "L4", False),
        ("NVIDIA-L4", "L4", True),
        ("", "L4", False),
    ],
)
def test_products(product: str, gpu_type: str, expected: bool) -> None:
    assert is_product(product, gpu_type) is expected


def test_targets_default_to_one_replica() -> None:
    metadata = {"namespace": "serving", "name": "llama", "uid": "d1", "resourceVersion": "7"}
    found = to_target_states([{"metadata": metadata, "spec": {}}], "Deployment")
    state = found["Deployment", "serving", "llama"]
    assert (state.uid, state.resource_version, state.replicas) == ("d1", "7", 1)
