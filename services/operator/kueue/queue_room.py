"""What a queue of Kueue leaves to the pods of a target; pure.

Kueue lets a pod go once a flavor of the pod's ClusterQueue has quota for it. A pod beyond that is
held by its gate for as long as the quota is used, so asking for it gains nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.operator.cluster.accelerators import product_of
from services.operator.cluster.gpu_types import is_product
from services.operator.cluster.placement import (
    NodeState,
    PodShape,
    Requirement,
    Shape,
    resources_asked,
)
from services.operator.cluster.targets import TargetState
from services.operator.kueue.queues import ClusterQueue, Flavor, FlavorQuota, SeenQueues
from services.operator.resource.autoscaler import Autoscaler


@dataclass(frozen=True, slots=True)
class QueuedPods:
    """Pods of a target that are queued.

    Attributes:
        queue: Their LocalQueue; empty: they are not queued.
        shape: The pods of one replica; empty: not known.
        nodes: All nodes with accelerators.
    """

    namespace: str
    queue: str
    gpu_type: str
    gpus_per_replica: int
    shape: Shape
    nodes: Collection[NodeState]


@dataclass(frozen=True, slots=True)
class QueueRoom:
    """What a queue leaves.

    Attributes:
        name: Who holds the rest: `ClusterQueue/NAME`, or `LocalQueue/NAME` where it is not known
            whose quota it is.
        gpus: GPUs of further replicas that it would admit now; None: not known.
        reason: Why there is no more, or why it is not known: one word for a condition.
        message: What it follows from, and what would change it.
        flavors: Flavors that may serve the pods.
        cohort: With whose queues it shares what none keeps to itself; empty: with none.
        cohort_gpus: GPUs that the cohort leaves it, whatever its own quota; None: it has none, or
            not all of its queues are counted.
    """

    name: str
    gpus: int | None
    reason: str
    message: str
    flavors: frozenset[str] = frozenset()
    cohort: str = ""
    cohort_gpus: int | None = None


def queued_pods(
    autoscaler: Autoscaler, target: TargetState | None, nodes: Collection[NodeState]
) -> QueuedPods | None:
    """Pods of an autoscaler's target that are queued; None: they are not."""
    spec = autoscaler.spec
    if spec is None or target is None or not target.queue:
        return None
    size = spec.gpus_per_replica
    shape = target.shape
    return QueuedPods(autoscaler.namespace, target.queue, spec.gpu_type, size, shape, nodes)


def queue_room(seen: SeenQueues, pods: QueuedPods) -> QueueRoom | None:
    """What the queue of some pods leaves; None: nothing queues them."""
    local = f"LocalQueue/{pods.queue}"
    if not pods.queue:
        return None
    if not seen.is_on:
        message = (
            f"{local} queues its pods, and its quota is not looked for: HARMONY_OPERATOR_KUEUE is "
            "false, so pods may be asked for that Kueue does not admit; set it to true "
            "(docs/supply.md has the rights that it needs)"
        )
        return QueueRoom(local, None, "QueuesNotRead", message)
    if seen.problem:
        message = f"the quota of {local} is not known: {seen.problem}"
        return QueueRoom(local, None, "QuotaUnreadable", message)
    if not seen.is_served:
        return None
    queue = seen.local.get((pods.namespace, pods.queue))
    if queue is None:
        message = (
            f"{local} does not exist in namespace {pods.namespace}, so Kueue admits none of its "
            "pods: create it, or correct the label kueue.x-k8s.io/queue-name"
        )
        return QueueRoom(local, 0, "QueueNotFound", message)
    if queue.problem:
        return _closed(local, queue.problem)
    name = f"ClusterQueue/{queue.cluster_queue}"
    cluster_queue = seen.cluster.get(queue.cluster_queue)
    if cluster_queue is None:
        message = f"{name} does not exist, which {local} names: create it, and Kueue admits pods"
        return QueueRoom(name, 0, "QueueNotFound", message)
    if cluster_queue.problem:
        return _closed(name, cluster_queue.problem)
    return _by_quota(name, cluster_queue, seen, pods)


def _closed(name: str, problem: str) -> QueueRoom:
    return QueueRoom(name, 0, "QueueStopped", f"{name} admits no pods: {problem}")


def _by_quota(name: str, queue: ClusterQueue, seen: SeenQueues, pods: QueuedPods) -> QueueRoom:
    replicas: int | None = None
    by_cohort: int | None = None
    flavors: set[str] = set()
    told = []
    for resource in sorted(resources_asked(pods.shape, pods.gpu_type, pods.nodes)):
        own = [
            quota
            for quota in queue.quotas
            if quota.resource == resource
            and _serves(seen.flavors.get(quota.flavor, Flavor(quota.flavor)), resource, pods)
        ]
        if not own:
            message = f"no flavor of {name} that its pods may have has a quota on {resource}"
            return _unknown(name, f"{message}: give it one, or correct gpuType")
        left = [free_of(queue, quota, seen.cluster) for quota in own]
        if any(each is None for each in left):
            return _unknown(name, f"the quota of {name} on {resource} is not counted yet")
        size = _gpus_asked(resource, pods)
        n_fitting = sum((each or 0) // size for each in left)
        replicas = n_fitting if replicas is None else min(replicas, n_fitting)
        shared = [left_by_cohort(queue, quota, seen.cluster) for quota in own]
        if all(each is not None for each in shared):
            n_shared = sum((each or 0) // size for each in shared)
            by_cohort = n_shared if by_cohort is None else min(by_cohort, n_shared)
        flavors |= {quota.flavor for quota in own}
        total = sum(_most(queue, quota) for quota in own)
        told.append(f"{sum(each or 0 for each in left)} of {total} {resource}")
    gpus = (replicas or 0) * pods.gpus_per_replica
    message = f"{name} leaves {' and '.join(told)}; raise its quota to allow more"
    cohort_gpus = None if by_cohort is None else by_cohort * pods.gpus_per_replica
    return QueueRoom(
        name, gpus, "QuotaExceeded", message, frozenset(flavors), queue.cohort, cohort_gpus
    )


def _unknown(name: str, message: str) -> QueueRoom:
    return QueueRoom(name, None, "QuotaUnknown", message)


def _gpus_asked(resource: str, pods: QueuedPods) -> int:
    """What one replica asks for of a resource."""
    asked = sum(e.count for pod in pods.shape for e in pod.asked if e.resource == resource)
    return asked or pods.gpus_per_replica


def _most(queue: ClusterQueue, quota: FlavorQuota) -> int:
    """What a queue may use at all: nothing is borrowed unless it is stated how much."""
    return (quota.nominal or 0) + (quota.borrowing or 0 if queue.cohort else 0)


def free_of(
    queue: ClusterQueue, quota: FlavorQuota, every: Mapping[str, ClusterQueue]
) -> int | None:
    """What a queue would admit now of one flavor's resource; None: not known.

    In a cohort no more than its queues leave together: what one keeps to itself (its quota beyond
    its `lendingLimit`) is no other's.

    Args:
        queue: Whose quota it is.
        quota: One of its quotas.
        every: All ClusterQueues by name.
    """
    if quota.nominal is None or quota.reserved is None:
        return None
    own = max(0, _most(queue, quota) - quota.reserved)
    shared = left_by_cohort(queue, quota, every)
    return own if shared is None else min(own, shared)


def left_by_cohort(
    queue: ClusterQueue, quota: FlavorQuota, every: Mapping[str, ClusterQueue]
) -> int | None:
    """What the queues of a cohort leave one of them; None: it is in none, or it is not known.

    Args: as of `free_of`.
    """
    if not queue.cohort or quota.reserved is None:
        return None
    kind = quota.flavor, quota.resource
    peers = [
        each
        for peer in every.values()
        if peer.cohort == queue.cohort
        for each in peer.quotas
        if (each.flavor, each.resource) == kind
    ]
    if any(each.nominal is None or each.reserved is None for each in peers):
        return None
    shared = sum((each.nominal or 0) - _kept(each) for each in peers)
    used = sum(max(0, (each.reserved or 0) - _kept(each)) for each in peers)
    return max(0, _kept(quota) - quota.reserved) + max(0, shared - used)


def _kept(quota: FlavorQuota) -> int:
    """What a queue lends to no other."""
    nominal = quota.nominal or 0
    return 0 if quota.lending is None else max(0, nominal - quota.lending)


def _serves(flavor: Flavor, resource: str, pods: QueuedPods) -> bool:
    """True where pods may be given a flavor, and its nodes may have their GPU type."""
    wanted = [pod for pod in pods.shape if pod.asked]
    if not all(_admits(flavor, pod) for pod in wanted):
        return False
    product = product_of(resource, flavor.labels)
    if product:
        return is_product(product, pods.gpu_type)
    if not flavor.labels:
        return True
    nodes = [node for node in pods.nodes if flavor.labels.items() <= node.labels.items()]
    return not nodes or any(node.of_type(pods.gpu_type) is not None for node in nodes)


def _admits(flavor: Flavor, pod: PodShape) -> bool:
    """True where nothing that a pod asks of nodes contradicts a flavor's labels and taints.

    Of selectors and affinities Kueue looks at the keys of its flavors alone.
    """
    labels = flavor.labels
    if any(labels.get(key, value) != value for key, value in pod.selector):
        return False
    tolerations = (*pod.tolerations, *flavor.tolerations)
    if not all(any(each.covers(taint) for each in tolerations) for taint in flavor.taints):
        return False
    return not pod.affinity or any(_agrees(term, labels) for term in pod.affinity)


def _agrees(term: Sequence[Requirement], labels: Mapping[str, str]) -> bool:
    return all(each.holds(labels) for each in term if each.key in labels)
