"""Quotas hold by the resource that pods ask for; where pods are not known, by that of the type."""

from __future__ import annotations

import pytest

from services.operator.cluster.free_gpus import free_gpus
from services.operator.cluster.ownership import PodIndex
from services.operator.cluster.placement import NodeState, Shape
from services.operator.cluster.pods import Replicas
from services.operator.cluster.quotas import GpuQuota
from services.operator.cluster.targets import TargetState
from services.operator.reconcile.find_targets import Targets
from services.operator.reconcile.observe import View
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import resource
from tests.unit.operator.pods import node, shape

AMD, NVIDIA = "amd.com/gpu", "nvidia.com/gpu"
AUTOSCALER = to_autoscaler(resource(), {})
"""Of H100s: here that is what a label says, whatever the resource."""


def room(nodes: list[NodeState], pods: Shape) -> int | None:
    target = TargetState("u", "1", 2, shape=pods)
    quotas = {AMD: GpuQuota("amd", 4, 0), NVIDIA: GpuQuota("nvidia", 6, 0)}
    view = View(
        [AUTOSCALER],
        [None],
        Targets({AUTOSCALER.target.key: target}),
        PodIndex(),
        set(),
        free_gpus(nodes, []),
        None,
        {AUTOSCALER.namespace: quotas},
        nodes={each.name: each for each in nodes},
    )
    return view.gpu_room(AUTOSCALER, Replicas()).gpus


@pytest.mark.parametrize(
    ("resource_of_nodes", "pods", "left"),
    [
        (AMD, (shape(2, AMD),), 4),
        (NVIDIA, (shape(2, NVIDIA),), 6),
        (AMD, (), 4),
        (NVIDIA, (), 6),
        (None, (), 6),
        (None, (shape(2, AMD),), 4),
    ],
)
def test_the_quota_of_the_pods_resource_holds(
    resource_of_nodes: str | None, pods: Shape, left: int
) -> None:
    nodes = [] if resource_of_nodes is None else [node("n", 64, resource=resource_of_nodes)]
    assert room(nodes, pods) == left
