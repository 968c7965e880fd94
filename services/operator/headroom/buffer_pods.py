"""The pods that a CapacityBuffer asks room for, and where that room may be; pure.

Room counts where pods of the type's services may go, so a buffer names all NodePools that take
them, whatever is left in each: what adds nodes picks one for each node. A buffer that named one
would have to choose again as it fills it, and exchange its nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.operator.cluster.accelerators import Accelerators, plugin_of
from services.operator.cluster.node_pools import POOL_LABEL, GpuNodePool
from services.operator.cluster.placement import NodeState, Shape, Toleration, nodes_of_type
from services.operator.devices.seen_devices import is_claimed
from services.operator.plan.supply import TypeSupply

Object = Mapping[str, Any]

_IMAGE = "registry.k8s.io/pause:3.10"
_EVERYTHING = ({"operator": "Exists"},)


@dataclass(frozen=True, slots=True)
class BufferPlaces:
    """Nodes on which a buffer has its room.

    Attributes:
        resource: By which its pods ask for GPUs.
        label: That the nodes have; empty: none tells them apart.
        values: Of which they have one.
    """

    resource: str
    label: str
    values: tuple[str, ...]


def pod_spec(
    supply: TypeSupply, nodes: Sequence[NodeState], shapes: Sequence[Shape], chunk_gpus: int
) -> Object | None:
    """A pod that asks for a chunk of GPUs where services may use it; None: no place can be named.

    It tolerates what the services' pods tolerate. One that tolerated everything would find its room
    on nodes that are about to go.

    Args:
        supply: Of the type.
        nodes: All nodes with GPUs.
        shapes: Pods of a replica of each service of the type, as far as they are known.
        chunk_gpus: What it asks for.
    """
    if _are_claiming(shapes):
        return None
    known = [shape for shape in shapes if _is_by_name(shape)]
    pools = [each.pool for each in supply.resolved.new if each.pool is not None]
    places = _of_pools(pools, known)
    if places is None and len(pools) == len(supply.resolved.new) > 0:
        return None
    places = places or _of_nodes(nodes_of_type(nodes, supply.gpu_type), known)
    if places is None:
        return None
    amounts = {places.resource: str(chunk_gpus)}
    resources = {"requests": amounts, "limits": amounts}
    return {
        **_affinity(places),
        "tolerations": _tolerations(known),
        "containers": [{"name": "headroom", "image": _IMAGE, "resources": resources}],
    }


def is_by_claims(gpu_type: str, nodes: Iterable[NodeState], shapes: Iterable[Shape]) -> bool:
    """True where no pod can be named that asks for GPUs of a type, since all of them are claimed.

    Args:
        gpu_type: As autoscalers name it.
        nodes: All nodes with GPUs.
        shapes: Pods of a replica of each service of the type, as far as they are known.
    """
    own = nodes_of_type(nodes, gpu_type)
    return _are_claiming(shapes) or (bool(own) and not any(map(_by_name, own)))


def _are_claiming(shapes: Iterable[Shape]) -> bool:
    """True where all services get their GPUs by claims alone; not where none tells."""
    telling = [shape for shape in shapes if any(pod.gpus or pod.claims for pod in shape)]
    return bool(telling) and not any(_is_by_name(shape) for shape in telling)


def _is_by_name(shape: Shape) -> bool:
    """True where pods of a replica ask for GPUs by the name of a resource."""
    return any(not is_claimed(each.resource) for pod in shape for each in pod.asked)


def _by_name(node: NodeState) -> tuple[Accelerators, ...]:
    """Accelerators of a node that pods ask for by the name of a resource."""
    return tuple(each for each in node.accelerators if not is_claimed(each.resource))


def _of_pools(pools: Iterable[GpuNodePool], shapes: Sequence[Shape]) -> BufferPlaces | None:
    """Pools that take the pods of a service; of several resources that of the largest limit.

    None of that moves with what is held: a pool stays named when it is full, or not ready.
    """
    own = [
        pool
        for pool in pools
        if not shapes or any(all(pool.takes(pod) for pod in shape if pod.gpus) for shape in shapes)
    ]
    if not own:
        return None
    resource = max(own, key=lambda pool: (pool.limit or 0, pool.name)).resource
    names = {pool.name for pool in own if pool.resource == resource}
    return BufferPlaces(resource, POOL_LABEL, tuple(sorted(names)))


def _of_nodes(own: Iterable[NodeState], shapes: Sequence[Shape]) -> BufferPlaces | None:
    """Nodes with the products of those that services may use; their taints come and go."""
    bare = [replace(n, taints=(), accelerators=_by_name(n)) for n in own if _by_name(n)]
    usable = [
        node
        for node in bare
        if not shapes or any(all(pod.fits(node) for pod in shape if pod.gpus) for shape in shapes)
    ]
    if not usable:
        return None
    _, resource = max((each.count, each.resource) for n in usable for each in n.accelerators)
    plugin = plugin_of(resource)
    for label in () if plugin is None else plugin.product_labels:
        values = {node.labels[label] for node in usable if node.labels.get(label)}
        if values:
            return BufferPlaces(resource, label, tuple(sorted(values)))
    return BufferPlaces(resource, "", ())


def _affinity(places: BufferPlaces) -> Object:
    if not places.label:
        return {}
    names = {"key": places.label, "operator": "In", "values": list(places.values)}
    required = {"nodeSelectorTerms": [{"matchExpressions": [names]}]}
    node = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    return {"affinity": {"nodeAffinity": node}}


def _tolerations(shapes: Sequence[Shape]) -> list[Object]:
    """What pods of the services tolerate; everything where that is not known."""
    if not shapes:
        return list(_EVERYTHING)
    found = {each for shape in shapes for pod in shape if pod.gpus for each in pod.tolerations}
    ordered = sorted(found, key=lambda t: (t.key, t.value, t.effect, t.is_any_value))
    return [_written(each) for each in ordered]


def _written(toleration: Toleration) -> Object:
    named = {"key": toleration.key, "value": toleration.value, "effect": toleration.effect}
    found = {name: value for name, value in named.items() if value}
    return found | ({"operator": "Exists"} if toleration.is_any_value else {})
