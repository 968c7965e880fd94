"""What pods need of a node, and nodes as they are listed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.operator.cluster.accelerators import Accelerators
from services.operator.cluster.placement import (
    NOTICE_TAINTS,
    NodeState,
    Taint,
    gang_size,
    nodes_of_type,
    resources_asked,
    to_node,
    to_pod_shape,
    to_shape,
)
from tests.unit.operator.pods import listed, node, shape


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
    asking = template(2)["spec"]
    assert to_pod_shape(asking, is_template=True).fits(tainted)
    assert not to_pod_shape(asking, is_template=False).fits(tainted)


def test_the_taint_is_that_of_the_resource_that_the_pod_asks_for() -> None:
    tainted = node("n", 8, taints=(GPU_TAINT,))
    assert not to_pod_shape(template(2, "amd.com/gpu")["spec"], is_template=True).fits(tainted)
    assert not to_pod_shape({}, is_template=True).fits(tainted), "it asks for none"
    amd = node("n", 8, taints=(Taint("amd.com/gpu", "present", "NoSchedule"),))
    assert to_pod_shape(template(2, "amd.com/gpu")["spec"], is_template=True).fits(amd)


@pytest.mark.parametrize(
    ("requirement", "fits"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "pool", "operator": "DoesNotExist"}, True),
        ({"key": "zone", "operator": "Gt", "values": ["1"]}, False),
        ({"key": "generation", "operator": "Gt", "values": ["4"]}, True),
        ({"key": "generation", "operator": "Gt", "values": ["5"]}, False),
        ({"key": "generation", "operator": "Lt", "values": ["10"]}, True),
        ({"key": "generation", "operator": "Lt", "values": ["5"]}, False),
        ({"key": "generation", "operator": "Lt", "values": ["many"]}, False),
        ({"key": "pool", "operator": "Lt", "values": ["5"]}, False),
    ],
)
def test_selectors_and_required_affinity(requirement: dict[str, Any], fits: bool) -> None:
    term = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": term}
    shape = to_pod_shape({"affinity": {"nodeAffinity": required}}, is_template=False)
    labels = {"zone": "a", "generation": "5"}
    assert shape.fits(node("n", 8, labels=labels)) is fits
    by_selector = to_pod_shape({"nodeSelector": {"zone": "a"}}, is_template=False)
    assert by_selector.fits(node("n", 8, labels={"zone": "a"}))
    assert not by_selector.fits(node("n", 8, labels={"zone": "b"}))


NAMED = {"key": "metadata.name"}


@pytest.mark.parametrize(
    ("terms", "fits"),
    [
        ([{}], False),
        ([{"matchExpressions": [], "matchFields": []}], False),
        ([{"matchFields": [NAMED | {"operator": "In", "values": ["n"]}]}], True),
        ([{"matchFields": [NAMED | {"operator": "In", "values": ["m"]}]}], False),
        ([{"matchFields": [NAMED | {"operator": "NotIn", "values": ["n"]}]}], False),
        ([{}, {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}], True),
    ],
)
def test_a_term_may_ask_for_nodes_by_name_and_an_empty_one_fits_none(
    terms: list[dict[str, Any]], fits: bool
) -> None:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    shape = to_pod_shape({"affinity": {"nodeAffinity": required}}, is_template=False)
    assert shape.fits(node("n", 8, labels={"zone": "a"})) is fits


def template(gpus: int, resource: str = "nvidia.com/gpu") -> dict[str, Any]:
    container = {"resources": {"limits": {resource: str(gpus)}}}
    return {"spec": {"containers": [container]}}


def test_shapes_come_from_the_targets_templates() -> None:
    assert [p.gpus for p in to_shape({"spec": {"template": template(2)}})] == [2]
    group = {"size": 3, "leaderTemplate": template(1), "workerTemplate": template(8)}
    wide = {"spec": {"leaderWorkerTemplate": group}}
    assert [p.gpus for p in to_shape(wide)] == [1, 8, 8]
    assert gang_size(wide) == 3
    assert to_shape({"spec": {"leaderWorkerTemplate": group | {"size": 2**31 - 1}}}) == ()
    assert to_shape({"spec": {"servers": 4}}) == ()
    assert gang_size({"spec": {"servers": 4}}) == 1


MIXED = {
    "metadata": {"name": "n1", "labels": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}},
    "status": {
        "allocatable": {
            "cpu": "96",
            "nvidia.com/gpu": "6",
            "nvidia.com/mig-1g.5gb": "14",
            "nvidia.com/mig-3g.20gb": "0",
        }
    },
}


def test_a_node_has_each_of_its_accelerators_apart() -> None:
    found = to_node(MIXED)
    assert found is not None
    assert found.accelerators == (
        Accelerators("nvidia.com/gpu", "NVIDIA-A100-SXM4-40GB", 6),
        Accelerators("nvidia.com/mig-1g.5gb", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 14),
    )
    assert [each.gpus for each in nodes_of_type([found], "A100")] == [6]
    assert [each.gpus for each in nodes_of_type([found], "A100-MIG-1g.5gb")] == [14]
    assert nodes_of_type([found], "H100") == []


def test_a_device_that_several_selectors_choose_counts_once() -> None:
    """Eight devices, of which one service may be given all and another one half."""
    every = frozenset(f"gpu-{i}" for i in range(8))
    views = {"class?a": every, "class?b": frozenset(list(every)[:4])}
    accelerators = [Accelerators(name, "H100", len(own)) for name, own in views.items()]
    by_name = Accelerators("nvidia.com/gpu", "H100", 2)
    found = NodeState("n", (*accelerators, by_name), devices=views)
    assert found.gpus == 8 + 2
    assert found.claimable == every
    other = replace(found, accelerators=(*accelerators, replace(by_name, product="L4")))
    assert [each.gpus for each in nodes_of_type([other], "H100")] == [8]


def test_what_a_node_may_have_of_a_type_is_what_nothing_tells_too() -> None:
    found = to_node({**MIXED, "metadata": {"name": "n", "labels": {}}})
    assert found is not None
    assert found.of_type("A100") is None
    maybe = found.maybe_of_type("A100")
    assert maybe is not None
    assert [each.count for each in maybe.accelerators] == [6]


def test_replicas_ask_for_what_their_pods_do_or_else_for_what_their_type_is() -> None:
    found = to_node(MIXED)
    assert found is not None
    slice_ = {"nvidia.com/mig-1g.5gb"}
    assert resources_asked((shape(1, "amd.com/gpu"),), "A100", [found]) == {"amd.com/gpu"}
    assert resources_asked((), "MIG-1g.5gb", [found]) == slice_
    assert resources_asked((shape(0),), "MIG-1g.5gb", [found]) == slice_
    assert resources_asked((), "MI300X", [found]) == {"nvidia.com/gpu"}


def test_a_node_without_accelerators_is_none() -> None:
    assert to_node({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "8"}}}) is None
    assert to_node({"metadata": {"name": "n"}}) is None


@pytest.mark.parametrize("key", NOTICE_TAINTS)
def test_a_taint_tells_that_a_node_is_about_to_go(key: str) -> None:
    taints = [{"key": "other", "effect": "NoSchedule"}, {"key": key, "effect": "NoSchedule"}]
    found = to_node(listed("n", 8, taints=taints))
    assert found is not None
    assert (found.notice, found.is_meant) == (key, False)


def test_so_does_a_kubelet_that_shuts_its_node_down() -> None:
    resource = listed("n", 8, ready="False")
    resource["status"]["conditions"][0]["message"] = "node is shutting down"
    found = to_node(resource)
    assert found is not None
    assert found.notice == "node is shutting down"
    still = to_node(listed("n", 8, ready="False"))
    assert still is not None
    assert still.notice == ""


def test_a_node_that_the_cluster_autoscaler_takes_away_is_meant_to_go() -> None:
    taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
    found = to_node(listed("n", 8, taints=[taint]))
    assert found is not None
    assert (found.notice, found.is_meant) == ("", True)
