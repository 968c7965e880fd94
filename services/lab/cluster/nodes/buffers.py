"""CapacityBuffers: room that the node autoscaler keeps for pods that are not there yet.

A buffer states a pod template and how many pods of it there is to be room for. The autoscaler looks
for that room on the nodes that exist, asks for nodes where it is not, and takes away no node on
which it has found some. How a buffer's status tells of it: `buffer_status`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.lab.cluster.controllers.manifests import deployment_spec
from services.lab.cluster.nodes.definitions import BUFFER_GROUP, BUFFER_VERSIONS, BUFFERS
from services.lab.cluster.nodes.machines import WaitingPod
from services.lab.cluster.storage.objects import Objects
from services.lab.cluster.storage.resources import Obj, Registry, ResourceType
from services.simulator.engine.engine import ANY_GPU_TYPE, NodeSpec

STRATEGY = "buffer.x-k8s.io/active-capacity"


@dataclass(frozen=True, slots=True)
class Buffer:
    """One CapacityBuffer.

    Attributes:
        rtype: Its resource.
        template: Its PodTemplate; None: there is none, for `problem`.
        pods: Pods that there is to be room for.
    """

    rtype: ResourceType
    obj: Obj
    template: Obj | None
    pods: tuple[WaitingPod, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class BufferRoom:
    """GPUs of a node that no pod asks for."""

    node: NodeSpec
    free: int

    def takes(self, pod: WaitingPod) -> bool:
        """Check whether there is room for a pod, and take it."""
        node = self.node
        is_fit = (
            pod.gpus <= self.free
            and pod.needs.resource == node.resource
            and pod.gpu_type in (ANY_GPU_TYPE, node.gpu_type)
            and pod.needs.is_selected(node.labels)
            and pod.needs.repelled_by(node.taints) is None
        )
        self.free -= pod.gpus if is_fit else 0
        return is_fit


def read_buffers(objects: Objects, registry: Registry) -> Iterator[Buffer]:
    """All CapacityBuffers, by whichever version is served."""
    found = (registry.find(BUFFER_GROUP, version, BUFFERS) for version in BUFFER_VERSIONS)
    rtype = next((each for each in found if each is not None), None)
    templates = registry.find("", "v1", "podtemplates")
    if rtype is None or templates is None:
        return
    for stored in objects.store.each(rtype, ""):
        yield _read(objects, rtype, templates, stored.obj)


def _read(objects: Objects, rtype: ResourceType, templates: ResourceType, obj: Obj) -> Buffer:
    spec, namespace = obj["spec"], obj["metadata"]["namespace"]
    if spec.get("provisioningStrategy", STRATEGY) != STRATEGY:
        return Buffer(rtype, obj, None, problem="the strategy is not one of this autoscaler")
    name = (spec.get("podTemplateRef") or {}).get("name", "")
    template = objects.store.get(templates, namespace, name)
    if template is None:
        return Buffer(rtype, obj, None, problem=f"PodTemplate/{name} was not found")
    try:
        of_one = deployment_spec(name, template["template"], is_warm=False)
    except ValueError as error:
        return Buffer(rtype, obj, None, problem=str(error))
    uid = str(obj["metadata"]["uid"])
    pod = WaitingPod(of_one.gpu_type, of_one.gpus_per_pod, of_one.needs, uid)
    return Buffer(rtype, obj, template, (pod,) * int(spec.get("replicas") or 0))


def find_room(
    pods: Sequence[WaitingPod], rooms: Sequence[BufferRoom]
) -> tuple[set[str], list[WaitingPod]]:
    """Nodes on which pods have room, first fit, and the pods that have none."""
    used, left = set(), []
    for pod in pods:
        room = next((each for each in rooms if each.takes(pod)), None)
        if room is None:
            left.append(pod)
        else:
            used.add(room.node.name)
    return used, left
