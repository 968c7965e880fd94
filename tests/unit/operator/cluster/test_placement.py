"""GPUs that replicas could have: on the right nodes, in whole pods, in whole groups."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.placement import (
    FreeGpus,
    NodeRoom,
    PodShape,
    Taint,
    free_gpus,
    gang_size,
    is_product,
    to_node,
    to_pod_shape,
    to_shape,
)
from tests.unit.operator.pods import node, pod


def listed(name: str, gpus: int, **given: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "labels": {"nvidia.com/gpu.product": given.get("product", "NVIDIA-H100-80GB-HBM3")},
        },
        "spec": {
            "unschedulable": given.get("is_cordoned", False),
            "taints": given.get("taints", []),
        },
        "status": {
            "allocatable": {"nvidia.com/gpu": str(gpus)},
            "conditions": [{"type": "Ready", "status": given.get("ready", "True")}],
        },
    }


def test_free_gpus_are_whole_pods_on_nodes_that_take_pods() -> None:
    given = [
        listed("n1", 8),
        listed("n2", 8),
        listed("n3", 8, is_cordoned=True),
        listed("n4", 8, ready="False"),
        listed("n5", 4, product="NVIDIA-L4"),
    ]
    nodes = [node for node in map(to_node, given) if node is not None]
    held = [pod("a", gpus=5), pod("b", node="n2", gpus=3, is_leaving=True), pod("c", node="")]
    free = free_gpus(nodes, held)
    assert free.schedulable("H100", 1) == 3 + 5
    assert free.schedulable("H100", 2) == 2 + 4
    assert free.schedulable("H100", 4) == 0 + 4
    assert free.schedulable("L4", 4) == 4
    assert free.schedulable("B200", 1) is None


def test_free_gpus_are_warm_on_nodes_that_have_the_images() -> None:
    given = [listed("n1", 8), listed("n2", 8), listed("n3", 4, product="NVIDIA-L4")]
    given[0]["status"]["images"] = [{"names": ["model:v1"]}]
    given[1]["status"]["images"] = [{"names": ["other"]}]
    nodes = [node for node in map(to_node, given) if node is not None]
    free = free_gpus(nodes, [pod("a", gpus=2)])
    resources = {"limits": {"nvidia.com/gpu": "4"}}

    def shape(*images: str) -> tuple[PodShape, ...]:
        containers = [{"image": image, "resources": resources} for image in images]
        return (to_pod_shape({"containers": containers}, is_template=True),)

    assert free.warm("H100", 4, shape("model:v1")) == 4
    assert free.warm("H100", 4, shape("model:v2")) == 0
    assert free.warm("L4", 4, shape("model:v1")) is None, "its nodes say nothing of images"
    assert free.warm("H100", 4, ()) is None, "nobody knows which images a replica needs"


def test_taints_that_only_prefer_keep_nobody_away() -> None:
    taints = [{"key": "a", "effect": "PreferNoSchedule"}, {"key": "b", "effect": "NoExecute"}]
    found = to_node(listed("n1", 8, taints=taints))
    assert found is not None
    assert found.taints == (Taint("b", "", "NoExecute"),)


TAINT = Taint("dedicated", "train", "NoSchedule")
GPU_TAINT = Taint("nvidia.com/gpu", "present", "NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "dedicated", "operator": "Equal", "value": "train"}, True),
        ({"key": "dedicated", "value": "train", "effect": "NoSchedule"}, True),
        ({"key": "dedicated", "value": "serve"}, False),
        ({"key": "dedicated", "operator": "Exists"}, True),
        ({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"operator": "Exists"}, True),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], fits: bool) -> None:
    shape = to_pod_shape({"tolerations": [toleration]}, is_template=False)
    assert shape.fits(node("n", 8, taints=(TAINT,))) is fits


def test_admission_makes_templates_tolerate_the_gpu_taint() -> None:
    tainted = node("n", 8, taints=(GPU_TAINT,))
    assert to_pod_shape({}, is_template=True).fits(tainted)
    assert not to_pod_shape({}, is_template=False).fits(tainted)


@pytest.mark.parametrize(
    ("requirement", "fits"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "pool", "operator": "DoesNotExist"}, True),
        ({"key": "zone", "operator": "Gt", "values": ["1"]}, False),
    ],
)
def test_selectors_and_required_affinity(requirement: dict[str, Any], fits: bool) -> None:
    term = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": term}
    shape = to_pod_shape({"affinity": {"nodeAffinity": required}}, is_template=False)
    assert shape.fits(node("n", 8, labels={"zone": "a"})) is fits
    by_selector = to_pod_shape({"nodeSelector": {"zone": "a"}}, is_template=False)
    assert by_selector.fits(node("n", 8, labels={"zone": "a"}))
    assert not by_selector.fits(node("n", 8, labels={"zone": "b"}))


def test_a_pod_that_fits_nowhere_has_no_gpus_but_its_type_is_there() -> None:
    free = FreeGpus((NodeRoom(node("n", 8, taints=(TAINT,)), 8),))
    assert free.schedulable("H100", 1, (PodShape(1),)) == 0


def test_the_pods_own_gpus_count_where_they_are_known() -> None:
    """A replica of two GPUs whose pods ask for four leaves room for two, not four."""
    free = FreeGpus((NodeRoom(node("n", 8), 8),))
    assert free.schedulable("H100", 2, (PodShape(4),)) == 2 * 2


def test_a_group_may_stand_on_several_nodes_but_stands_whole() -> None:
    free = FreeGpus(tuple(NodeRoom(node(n, 8), gpus) for n, gpus in (("a", 3), ("b", 3), ("c", 1))))
    assert free.schedulable("H100", 4, (PodShape(2), PodShape(2))) == 4
    assert free.schedulable("H100", 4) == 0
    assert free.schedulable("H100", 3, (PodShape(1),) * 3) == 6


def template(gpus: int) -> dict[str, Any]:
    container = {"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {"spec": {"containers": [container]}}


def test_shapes_come_from_the_targets_templates() -> None:
    assert [p.gpus for p in to_shape({"spec": {"template": template(2)}})] == [2]
    group = {"size": 3, "leaderTemplate": template(1), "workerTemplate": template(8)}
    wide = {"spec": {"leaderWorkerTemplate": group}}
    assert [p.gpus for p in to_shape(wide)] == [1, 8, 8]
    assert gang_size(wide) == 3
    assert to_shape({"spec": {"servers": 4}}) == ()
    assert gang_size({"spec": {"servers": 4}}) == 1


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
