"""Pods as JSON -> replicas and how long they have been starting, pure."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from services.operator.cluster import images
from services.operator.cluster.accelerators import Accelerators, asked_by, total
from services.operator.cluster.queue_labels import is_gated

Object = Mapping[str, Any]

COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
MARK_ANNOTATION = "scaling.harmony.dev/deletion-cost"
"""Annotation next to a cost that the operator set, with the same value."""
SIZE_ANNOTATION = "leaderworkerset.sigs.k8s.io/size"
_REACHED = ("Ready", "PodScheduled", "Initialized")
CLOCK_SKEW = timedelta(seconds=5)
"""Clocks of nodes and of the API server differ so much at the most, if nothing is wrong."""
_FINISHED = {"Succeeded", "Failed"}
_NONE: Mapping[str, str] = MappingProxyType({})
_WHOLE = re.compile(r"-?[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """A claim of devices that a pod makes.

    Attributes:
        name: Of the template, of which each pod gets a claim of its own, or of a claim.
        is_template: False of a claim that all pods share.
    """

    name: str
    is_template: bool = True

    @property
    def label(self) -> str:
        """As messages name it."""
        return f"{'ResourceClaimTemplate' if self.is_template else 'ResourceClaim'}/{self.name}"


@dataclass(frozen=True, slots=True)
class PodState:
    """One living pod, or a group of pods that is one replica.

    Attributes:
        node: Where it is bound; empty while it waits for a node.
        asked: Accelerators that it holds once bound, each resource apart; the product is what it
            selects nodes by.
        ready_at: When it became ready, as far as it is ready.
        lost_at: When it ceased to be ready; None: it is ready, or has not been yet.
        is_leaving: Its deletion has begun: it serves no more, but holds its GPUs until it is gone.
        gang_size: Pods of its group; 0: not stated.
        deletion_cost: Pods of the lowest cost go first; None: none is set.
        is_marked: The operator set that cost.
        bound_at: When it was given a node, as far as it has one.
        images: Images that it starts with, as far as it is not ready yet.
        is_restored: It is restored from a snapshot.
        is_gated: A scheduling gate holds it back, so it waits for no node.
        released_at: When it was let go; None: it still is held, or never was as far as was seen.
        is_release_seen: False where it may have been let go long before that.
        claims: Claims of devices.
        nominated: Node on which the scheduler makes room for it, as others go; empty: none.
    """

    uid: str
    namespace: str
    name: str
    node: str
    asked: tuple[Accelerators, ...]
    created_at: datetime
    ready_at: datetime | None
    is_leaving: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    gang_size: int = 0
    deletion_cost: int | None = None
    is_marked: bool = False
    bound_at: datetime | None = None
    images: tuple[str, ...] = ()
    is_restored: bool = False
    is_gated: bool = False
    released_at: datetime | None = None
    is_release_seen: bool = True
    claims: tuple[ClaimRef, ...] = ()
    lost_at: datetime | None = None
    nominated: str = ""

    @property
    def requested_at(self) -> datetime:
        """When its start began: once no gate held it any longer."""
        return self.released_at or self.created_at

    @property
    def gpus(self) -> int:
        """Accelerators that it holds once bound, whatever their resource."""
        return total(self.asked)


@dataclass(frozen=True, slots=True)
class Replicas:
    """Replicas of one target.

    Attributes:
        start_ages_s: Seconds since creation: first of the starting pods, then of the pending ones,
            each oldest first, so it has `starting + pending` entries.
        gated: How many of the pending ones a scheduling gate holds. Their starts have not begun, so
            their ages are zero.
        parts: The same of each variant or pool whose target is there, by its name.
    """

    ready: int = 0
    starting: int = 0
    pending: int = 0
    start_ages_s: tuple[float, ...] = ()
    gated: int = 0
    parts: tuple[tuple[str, Replicas], ...] = ()


@dataclass(frozen=True, slots=True)
class SpotUse:
    """Replicas of a target on spot nodes.

    Attributes:
        replicas: Those that serve there and are not about to go.
        nodes: On how many nodes.
        leaving: Those that serve on nodes which are about to be interrupted, spot or not.
    """

    replicas: int = 0
    nodes: int = 0
    leaving: int = 0


@dataclass(frozen=True, slots=True)
class ReplicaSnapshot:
    """A snapshot of one autoscaler.

    Attributes:
        spec_replicas: Replicas in the spec; with variants their sum in reference replicas.
        room: GPUs that more replicas could have; None: unknown, or stated by variant.
        on_new_nodes: How many of them are on nodes still to come; None: the supply is fixed, or
            stated by variant.
        variants: Each variant's own figures by name; None: there is one kind of replicas.
        warm: How many free GPUs are on nodes that have the replicas' images; None: nobody knows, or
            stated by variant.
        spot: Those on spot nodes; None: there are none, or it is not known.
    """

    spec_replicas: int
    replicas: Replicas
    room: int | None
    variants: Mapping[str, Mapping[str, Any]] | None = None
    on_new_nodes: int | None = None
    warm: int | None = None
    spot: SpotUse | None = None

    @property
    def column(self) -> str | None:
        """The variants as JSON, for the column of that name."""
        return None if self.variants is None else json.dumps(self.variants)

    @property
    def identity(self) -> str:
        """A text that changes with the counts, and not with ages or free GPUs."""
        names = ("spec", "ready", "starting", "pending", "held", "spot")
        own = {
            name: [seen.get(part) for part in names] for name, seen in (self.variants or {}).items()
        }
        spot = "" if self.spot is None else f" {self.spot}"
        return f"{self.spec_replicas} {json.dumps(own)}{spot}"


def claims_of(spec: Object) -> tuple[ClaimRef, ...]:
    """Claims of a pod, or of a pod template, from its specification."""
    found = []
    for each in spec.get("resourceClaims") or ():
        template, claim = each.get("resourceClaimTemplateName"), each.get("resourceClaimName")
        if template or claim:
            found.append(ClaimRef(str(template or claim), is_template=bool(template)))
    return tuple(found)


def parse_kube_time(text: str) -> datetime:
    """A Kubernetes time stamp, aware UTC."""
    return datetime.fromisoformat(text)


def is_living(resource: Object) -> bool:
    """True where a pod has not ended."""
    return (resource.get("status") or {}).get("phase") not in _FINISHED


def labels_of(resource: Object) -> Mapping[str, str]:
    """Labels of an object; texts that many have in common are one text."""
    labels = resource["metadata"].get("labels")
    return {sys.intern(str(k)): sys.intern(str(v)) for k, v in labels.items()} if labels else _NONE


def to_pod(resource: Object) -> PodState:
    """One pod; texts that many have in common are one text."""
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    annotations = metadata.get("annotations") or {}
    reached = _turned(resource, is_true=True)
    cost, mark = annotations.get(COST_ANNOTATION), annotations.get(MARK_ANNOTATION)
    return PodState(
        uid=str(metadata["uid"]),
        namespace=sys.intern(str(metadata.get("namespace", ""))),
        name=str(metadata["name"]),
        node=sys.intern(str(spec.get("nodeName") or "")),
        asked=asked_by(spec),
        created_at=parse_kube_time(metadata["creationTimestamp"]),
        ready_at=reached.get("Ready"),
        is_leaving="deletionTimestamp" in metadata,
        labels=labels_of(resource),
        gang_size=max(0, _whole(annotations.get(SIZE_ANNOTATION)) or 0),
        deletion_cost=_whole(cost),
        is_marked=cost is not None and cost == mark,
        bound_at=reached.get("PodScheduled"),
        images=() if "Ready" in reached else images.images_of(spec),
        is_restored=images.is_restored(metadata),
        is_gated=is_gated(spec),
        claims=claims_of(spec),
        lost_at=_lost_at(resource, reached),
        nominated=str((resource.get("status") or {}).get("nominatedNodeName") or ""),
    )


def _turned(resource: Object, *, is_true: bool) -> dict[str, datetime]:
    """When its conditions that hold, or those that do not, became so."""
    created = resource["metadata"]["creationTimestamp"]
    return {
        condition["type"]: parse_kube_time(condition.get("lastTransitionTime") or created)
        for condition in (resource.get("status") or {}).get("conditions") or ()
        if condition["type"] in _REACHED and (condition["status"] == "True") is is_true
    }


def _lost_at(resource: Object, reached: Mapping[str, datetime]) -> datetime | None:
    """When a pod ceased to be ready; None: it is ready, or has not been yet.

    The node writes that a pod is not ready no later than that it is initialized. If it turned
    after that, the pod was ready in between.
    """
    initialized_at = reached.get("Initialized")
    if "Ready" in reached or initialized_at is None:
        return None
    turned_at = _turned(resource, is_true=False).get("Ready")
    return turned_at if turned_at is not None and turned_at > initialized_at else None


def _whole(text: str | None) -> int | None:
    """The whole number of an annotation, which anyone may write; None: it is none."""
    return int(text) if text and _WHOLE.fullmatch(text) else None


def count_replicas(pods: Sequence[PodState], now: datetime, *, is_live: bool = False) -> Replicas:
    """Replicas as of `now`.

    A list that was read a moment after `now` may show what happened since (a replay moves its
    clock after its cluster): a pod created later is left out, one that became ready later counts
    as starting. The API server's clock may run a few seconds ahead without being taken for that.
    One that was ready and no longer is starts anew from then on: how long it served before says
    nothing of when it will again.

    Args:
        pods: Pods, or groups of them.
        now: Aware.
        is_live: Time does not leap, so what is listed has happened: a time to come is that of a
            node, or an API server, whose clock is ahead.
    """
    horizon = datetime.max.replace(tzinfo=UTC) if is_live else now + CLOCK_SKEW
    ready = gated = 0
    starting: list[float] = []
    pending: list[float] = []
    for pod in pods:
        if pod.is_leaving or pod.created_at > horizon:
            continue
        if pod.ready_at is not None and pod.ready_at <= horizon:
            ready += 1
            continue
        since = pod.lost_at or pod.requested_at
        age_s = 0.0 if pod.is_gated else max(0.0, (now - since).total_seconds())
        gated += pod.is_gated
        (starting if pod.node else pending).append(age_s)
    ages = (*sorted(starting, reverse=True), *sorted(pending, reverse=True))
    return Replicas(ready, len(starting), len(pending), ages, gated)
