"""Karpenter's NodePools and NodeClaims: where nodes of a GPU type may come from, pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.operator.cluster.accelerators import (
    NVIDIA_GPU,
    PLUGINS,
    Accelerators,
    counts_of,
    plugin_of,
    sliced,
    whole,
)
from services.operator.cluster.gpu_types import is_of_type, is_slice, is_unknown
from services.operator.cluster.placement import (
    COMPARING,
    NodeState,
    PodShape,
    Requirement,
    Taint,
    to_taints,
)
from services.operator.cluster.pods import parse_kube_time
from services.operator.resource.quantities import parse_duration_s

Object = Mapping[str, Any]

KARPENTER_VERSION = "karpenter.sh/v1"
NODE_POOL, NODE_CLAIM = "NodePool", "NodeClaim"
POOL_LABEL = "karpenter.sh/nodepool"
_PROVIDED = (
    "kubernetes.io",
    "k8s.io",
    "karpenter.sh",
    "k8s.aws",
    "eks.amazonaws.com",
    "kubernetes.azure.com",
    "karpenter.azure.com",
    "cloud.google.com",
)
"""Domains of labels that a node has from its provider, whatever the pool states."""
_INSTANCES = ("/instance-type", "/instance-family", "/sku-name", "/sku-family")
"""Requirements that state what nodes are by the names of their provider."""
_AWAITED = ("", "AwaitingReconciliation", "ReconcilingDependents")


@dataclass(frozen=True, slots=True)
class GpuNodePool:
    """One pool that nodes are added to as pods need them, as far as one resource goes.

    Attributes:
        limit: GPUs that its nodes may have together; None: none is stated that can be read.
        used: GPUs that its nodes have, those on their way included.
        gpus_per_node: By its requirements, of several sizes the largest; 0: not stated.
        products: GPU products that its nodes may have; empty: not stated.
        problem: Why it adds no nodes at present; empty: it does.
        resource: What its limit counts, and pods ask for.
        unread: A limit that is stated and cannot be read; empty: none is.
        smaller: Sizes that its nodes may have as well, the largest first.
    """

    name: str
    limit: int | None
    used: int
    gpus_per_node: int
    products: tuple[str, ...]
    labels: Mapping[str, str]
    requirements: tuple[Requirement, ...]
    taints: tuple[Taint, ...]
    problem: str = ""
    resource: str = NVIDIA_GPU
    unread: str = ""
    smaller: tuple[int, ...] = ()

    @property
    def may_have_any(self) -> bool:
        """True where its nodes may have accelerators."""
        is_stated = any(
            each.operator in ("In", "Exists") and each.key.endswith(_INSTANCES)
            for each in self.requirements
        )
        is_told = bool(self.limit or self.unread) or self.used > 0
        return is_told or (self.limit is None and is_stated)

    def takes(self, pod: PodShape) -> bool:
        """True where a node of the pool could take such a pod, as many GPUs as it asks for."""
        if pod.asked and not pod.asks(self.resource):
            return False
        if not all(self._may_have(key, (value,)) for key, value in pod.selector):
            return False
        if not all(any(t.covers(taint) for t in pod.tolerations) for taint in self.taints):
            return False
        terms = pod.affinity
        return not terms or any(all(self._may_hold(r) for r in term) for term in terms)

    def _may_have(self, key: str, wanted: tuple[str, ...]) -> bool:
        """True where a node may have the label with one of these values."""
        if key in self.labels:
            return self.labels[key] in wanted
        own = [r for r in self.requirements if r.key == key]
        if not own:
            return key.partition("/")[0].endswith(_PROVIDED)
        return any(all(r.holds({key: value}) for r in own) for value in wanted)

    def _may_hold(self, wanted: Requirement) -> bool:
        if wanted.operator == "In":
            return self._may_have(wanted.key, wanted.values)
        given = _values(wanted.key, self.labels, self.requirements)
        if wanted.operator in ("NotIn", *COMPARING) and given:
            return any(wanted.holds({wanted.key: value}) for value in given)
        if wanted.operator == "NotIn":
            return True
        has = wanted.key in self.labels or any(r.key == wanted.key for r in self.requirements)
        provided = wanted.key.partition("/")[0].endswith(_PROVIDED)
        may_have = has or provided
        if wanted.operator in ("Exists", *COMPARING):
            return may_have
        return wanted.operator == "DoesNotExist" and not has


@dataclass(frozen=True, slots=True)
class NodeRefusal:
    """A provisioning that failed: when, and why in the words of who tried."""

    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class NodeClaim:
    """A node that a pool asked its provider for.

    Attributes:
        gpus: Of the node; 0: not known yet.
        refused: Why there is no node; None: there is one, or it is on its way.
        node: Name of its node; empty: there is none yet.
        is_ending: It is being deleted, and its node with it.
        is_meant: Karpenter ends it of its own will: to consolidate, for drift, or by its age.
        launched_at: When its provider gave it; None: not yet.
    """

    name: str
    pool: str
    gpus: int
    refused: NodeRefusal | None = None
    node: str = ""
    is_ending: bool = False
    is_meant: bool = False
    launched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EndedClaim:
    """A claim whose deletion has begun, as it was seen last.

    Karpenter deletes a claim that its provider has no node for, and asks for another one. A claim
    that somebody deletes while its node is asked for is launched before it goes, and one whose pods
    went away is not deleted before it was.

    Attributes:
        ended_at: When its deletion began.
        is_launched: Its provider gave a node for it.
        why: What the attempt to launch it said; empty: nothing.
    """

    uid: str
    name: str
    pool: str
    ended_at: datetime
    is_launched: bool
    why: str = ""


def to_node_pools(resource: Object) -> tuple[GpuNodePool, ...] | None:
    """A pool for each resource that it limits; None: it is being deleted, or of a fixed size.

    One that limits no accelerators is still one of those that its labels or nodes tell of.
    """
    spec, status = resource.get("spec") or {}, resource.get("status") or {}
    if "deletionTimestamp" in resource["metadata"] or spec.get("replicas") is not None:
        return None
    template = spec.get("template") or {}
    node = template.get("spec") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    requirements = tuple(
        Requirement(str(r["key"]), str(r["operator"]), tuple(map(str, r.get("values") or ())))
        for r in node.get("requirements") or ()
    )
    name = str(resource["metadata"]["name"])
    limits, used = spec.get("limits") or {}, status.get("resources") or {}
    return tuple(
        GpuNodePool(
            name=name,
            limit=whole(limits.get(each)),
            used=whole(used.get(each)) or 0,
            gpus_per_node=next(iter(_sizes(each, labels, requirements)), 0),
            products=_products(each, labels, requirements),
            labels={**labels, POOL_LABEL: name},
            requirements=requirements,
            taints=to_taints(node.get("taints")),
            problem=_not_ready(status),
            resource=each,
            unread=_unread(limits.get(each)),
            smaller=_sizes(each, labels, requirements)[1:],
        )
        for each in _resources(limits, used, labels, requirements)
    )


def _unread(limit: object) -> str:
    """A limit that is stated and is no quantity; empty: it is one, or none is stated."""
    return str(limit) if limit is not None and whole(limit) is None else ""


def _resources(
    limits: Object, used: Object, labels: Mapping[str, str], requirements: tuple[Requirement, ...]
) -> list[str]:
    """Resources that a pool has a limit of; without one, what it has, or its labels tell of."""
    limited = sorted(str(name) for name in limits if plugin_of(str(name)) is not None)
    if limited:
        return limited
    told = [p.resource for p in PLUGINS if _products(p.resource, labels, requirements)]
    return [name for name, _ in counts_of(used)] or told[:1] or [NVIDIA_GPU]


def _values(
    key: str, labels: Mapping[str, str], requirements: Iterable[Requirement]
) -> tuple[str, ...]:
    if key in labels:
        return (str(labels[key]),)
    return next((r.values for r in requirements if r.key == key and r.operator == "In"), ())


def _products(
    resource: str, labels: Mapping[str, str], requirements: tuple[Requirement, ...]
) -> tuple[str, ...]:
    plugin = plugin_of(resource)
    names = () if plugin is None else plugin.product_labels
    found = (_values(name, labels, requirements) for name in names)
    return tuple(sliced(resource, card) for card in next((each for each in found if each), ()))


def _sizes(
    resource: str, labels: Mapping[str, str], requirements: tuple[Requirement, ...]
) -> tuple[int, ...]:
    """Sizes of nodes that are stated, the largest first; empty: none is."""
    plugin = plugin_of(resource)
    for name in () if plugin is None else plugin.count_labels:
        counts = {whole(each) or 0 for each in _values(name, labels, requirements)} - {0}
        if counts:
            return tuple(sorted(counts, reverse=True))
    return ()


def _not_ready(status: Object) -> str:
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "False":
            return str(condition.get("message") or condition.get("reason") or "it is not ready")
    return ""


def to_node_claim(resource: Object) -> NodeClaim | None:
    """A claim; None: it is of no pool."""
    metadata, status = resource["metadata"], resource.get("status") or {}
    pool = (metadata.get("labels") or {}).get(POOL_LABEL)
    if not pool:
        return None
    gpus = sum(count for _, count in counts_of(status.get("capacity") or {}))
    return NodeClaim(
        str(metadata["name"]),
        str(pool),
        gpus,
        _refused(metadata, status),
        str(status.get("nodeName") or ""),
        "deletionTimestamp" in metadata,
        _is_meant(resource),
        _launched_at(metadata, status),
    )


def to_ended_claim(resource: Object) -> EndedClaim | None:
    """A claim that is being deleted; None: it is not, or it is of no pool."""
    metadata, status = resource["metadata"], resource.get("status") or {}
    pool = (metadata.get("labels") or {}).get(POOL_LABEL)
    if not pool or "deletionTimestamp" not in metadata:
        return None
    refused = _refused(metadata, status)
    return EndedClaim(
        str(metadata["uid"]),
        str(metadata["name"]),
        str(pool),
        parse_kube_time(metadata["deletionTimestamp"]),
        bool(status.get("providerID")) or _launched_at(metadata, status) is not None,
        "" if refused is None else refused.why,
    )


def _is_meant(resource: Object) -> bool:
    """True where Karpenter itself wants the node of a claim to go."""
    conditions = (resource.get("status") or {}).get("conditions") or ()
    reason = next((c for c in conditions if c["type"] == "DisruptionReason"), None)
    if reason is not None and reason["status"] == "True":
        return True
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    try:
        lives = timedelta(seconds=parse_duration_s(spec.get("expireAfter")))
    except ValueError:  # Never, or not stated
        return False
    ended = metadata.get("deletionTimestamp")
    born = parse_kube_time(metadata["creationTimestamp"])
    return ended is not None and parse_kube_time(ended) >= born + lives


def _launched_at(metadata: Object, status: Object) -> datetime | None:
    for condition in status.get("conditions") or ():
        if condition["type"] == "Launched" and condition["status"] == "True":
            stamp = condition.get("lastTransitionTime") or metadata["creationTimestamp"]
            return parse_kube_time(stamp)
    return None


def _refused(metadata: Object, status: Object) -> NodeRefusal | None:
    for condition in status.get("conditions") or ():
        if condition["type"] != "Launched" or condition["status"] == "True":
            continue
        reason = str(condition.get("reason") or "")
        # Unknown with such a reason means that the provider has not answered yet
        if condition["status"] == "Unknown" and reason in _AWAITED:
            continue
        stamp = condition.get("lastTransitionTime") or metadata["creationTimestamp"]
        said = ": ".join(filter(None, (reason, str(condition.get("message") or ""))))
        why = f"NodeClaim/{metadata['name']} was not launched ({said or 'no reason is given'})"
        return NodeRefusal(parse_kube_time(stamp), why)
    return None


def type_of_pool(pool: GpuNodePool, nodes: Iterable[NodeState]) -> tuple[str, ...]:
    """Products of a pool: as its requirements state them, else those of its nodes.

    Requirements name the card, and not how its nodes slice it: that their nodes tell.
    """
    own = {
        each.product
        for node in nodes
        if node.labels.get(POOL_LABEL) == pool.name
        for each in node.accelerators
        if each.resource == pool.resource and each.product
    }
    is_sliced = any(is_slice(product) for product in own)
    return tuple(sorted(own)) if is_sliced or not pool.products else pool.products


def unknown_pools(pools: Iterable[GpuNodePool], nodes: Iterable[NodeState]) -> list[GpuNodePool]:
    """Pools that may have accelerators of which nothing tells the product.

    Those that limit or have some, and those that state by instance types what their nodes are: what
    is of neither kind is taken to be a pool of CPUs.
    """
    nodes = list(nodes)
    return [
        pool
        for pool in pools
        if pool.may_have_any
        and is_unknown(Accelerators(pool.resource, "", 0))
        and not type_of_pool(pool, nodes)
    ]


def pools_of_type(
    pools: Iterable[GpuNodePool], gpu_type: str, nodes: Iterable[NodeState]
) -> tuple[list[GpuNodePool], list[GpuNodePool]]:
    """Pools of one GPU type alone, and those that may have others too."""
    known, nodes = [], list(nodes)
    mixed = []
    for pool in pools:
        # where nothing tells the product, the name of the resource does
        products = type_of_pool(pool, nodes) or ("",)
        is_own = [is_of_type(Accelerators(pool.resource, each, 0), gpu_type) for each in products]
        if all(is_own):
            known.append(pool)
        elif any(is_own):
            mixed.append(pool)
    return known, mixed
