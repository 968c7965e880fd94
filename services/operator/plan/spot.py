"""Spot nodes: which nodes may be taken away at short notice, and which are about to be; pure.

Providers tell spot nodes by a label, and an interruption ahead by a taint. Karpenter taints a node
with `karpenter.sh/disrupted` whenever it ends one, so its NodeClaim tells why: a claim that is
deleted without a `DisruptionReason`, before it has expired, was interrupted. Where the claims are
not read that taint tells nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.operator.cluster.node_pools import NodeClaim
from services.operator.cluster.placement import NodeState, PodShape, nodes_of_type
from services.operator.cluster.pods import PodState, SpotUse

SPOT_LABELS: Mapping[str, str] = {
    # https://karpenter.sh/docs/concepts/scheduling/#well-known-labels
    "karpenter.sh/capacity-type": "spot",
    # https://cloud.google.com/kubernetes-engine/docs/concepts/spot-vms
    "cloud.google.com/gke-spot": "true",
    # https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
    "eks.amazonaws.com/capacityType": "SPOT",
    # https://learn.microsoft.com/azure/aks/spot-node-pool
    "kubernetes.azure.com/scalesetpriority": "spot",
}
"""Labels of spot nodes with their values."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Replicas of a target that serve on nodes which are about to be interrupted.

    Attributes:
        replicas: How many.
        nodes: These nodes, each with what tells it.
    """

    replicas: int = 0
    nodes: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """How many are replaced, and why."""
        what = "1 replica" if self.replicas == 1 else f"{self.replicas} replicas"
        return f"{what} more in place of those on nodes about to go: {', '.join(self.nodes)}"


def is_spot(node: NodeState) -> bool:
    """True where a node's labels tell that it is a spot node."""
    return any(node.labels.get(key) == value for key, value in SPOT_LABELS.items())


def needs_spot(shape: Iterable[PodShape]) -> bool:
    """True where pods of a replica can run on spot nodes alone, by their selector or affinity."""
    return any(_is_for_spot(pod) for pod in shape)


def _is_for_spot(pod: PodShape) -> bool:
    if any(SPOT_LABELS.get(key) == value for key, value in pod.selector):
        return True
    return bool(pod.affinity) and all(
        any(each.operator == "In" and each.values == (SPOT_LABELS.get(each.key),) for each in term)
        for term in pod.affinity
    )


def spot_names(nodes: Iterable[NodeState], spot_types: Collection[str]) -> frozenset[str]:
    """Names of the spot nodes.

    Args:
        nodes: Nodes with accelerators.
        spot_types: GPU types of which all nodes are stated to be such.
    """
    every = list(nodes)
    stated = (node.name for each in spot_types for node in nodes_of_type(every, each))
    return frozenset((*(node.name for node in every if is_spot(node)), *stated))


def with_claims(nodes: Iterable[NodeState], claims: Iterable[NodeClaim]) -> list[NodeState]:
    """The nodes with what their NodeClaims tell: which of them end, and whether by intent."""
    ending = {claim.node: claim for claim in claims if claim.node and claim.is_ending}
    found = []
    for node in nodes:
        claim = ending.get(node.name)
        if claim is None:
            found.append(node)
        elif claim.is_meant:
            found.append(replace(node, notice="", is_meant=True))
        else:
            notice = node.notice or f"NodeClaim/{claim.name} is being deleted"
            found.append(replace(node, notice=notice))
    return found


def leaving_of(replicas: Iterable[PodState], notices: Mapping[str, str]) -> Leaving:
    """Replicas that serve on nodes under notice; those being deleted are replaced already.

    Args:
        replicas: Replicas of a target.
        notices: What tells that a node is about to go, by its name.
    """
    leaving = [pod.node for pod in _serving(replicas) if pod.node in notices]
    told = tuple(f"{name} ({notices[name]})" for name in sorted(set(leaving)))
    return Leaving(len(leaving), told)


def spot_use(
    replicas: Sequence[PodState], spot: Collection[str], notices: Mapping[str, str]
) -> SpotUse:
    """Replicas of a target on spot nodes.

    Args:
        replicas: Its replicas.
        spot: Names of the spot nodes.
        notices: As `leaving_of`.
    """
    if not spot and not notices:
        return SpotUse()
    serving = [pod.node for pod in _serving(replicas)]
    here = [node for node in serving if node in spot and node not in notices]
    return SpotUse(len(here), len(set(here)), sum(node in notices for node in serving))


def _serving(replicas: Iterable[PodState]) -> Iterable[PodState]:
    return (pod for pod in replicas if pod.ready_at is not None and not pod.is_leaving)
