"""Scale targets as they were listed, and the problems of those that cannot be scaled, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.operator.cluster.grace import Grace, grace_of
from services.operator.cluster.placement import Shape, gang_size, to_shape
from services.operator.cluster.pods import ClaimRef
from services.operator.cluster.queue_labels import queue_of
from services.operator.cluster.rollout import failure_of, overdue_of, rollout_of
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.wire.discovery import ServedKind

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClaimProblem:
    """Why it cannot be told what the claims of a target take.

    Attributes:
        message: With what would change it.
        is_hopeless: It is known that the claim cannot be allocated.
    """

    message: str
    is_hopeless: bool = False


@dataclass(frozen=True, slots=True)
class TargetState:
    """A scale target as it was listed.

    Attributes:
        selector: Selects its pods, where ownership alone does not.
        rollout: How far a roll-out is; empty when none is under way, or it hangs.
        hung: How far a roll-out that hangs came, and since when it has; empty when none does.
        failure: Why its pods cannot be created; empty when they can.
        gang_size: Pods of one replica.
        shape: What they need of a node; empty: not known.
        grace: Time that they have to end; None: not known.
        queue: LocalQueue of Kueue that its pods are sent to; empty: none.
        claim_problem: Why it cannot be told what the claims of its pods take; None: it can.
    """

    uid: str
    resource_version: str
    replicas: int
    selector: str = ""
    rollout: str = ""
    failure: str = ""
    gang_size: int = 1
    shape: Shape = ()
    hung: str = ""
    grace: Grace | None = None
    queue: str = ""
    claim_problem: ClaimProblem | None = None

    @property
    def claims(self) -> tuple[ClaimRef, ...]:
        """Claims of devices of the pods of one replica."""
        return tuple(dict.fromkeys(ref for pod in self.shape for ref in pod.claims))


@dataclass(frozen=True, slots=True)
class TargetProblem:
    """Why a target cannot be scaled, and what to do.

    Attributes:
        is_known: False when it is not even known whether it could be.
    """

    reason: str
    message: str
    is_known: bool = True


def to_target_state(
    resource: Object, replicas: int | None = None, selector: str = ""
) -> TargetState:
    """One target; `replicas` and `selector` where its scale is not read off the object itself."""
    metadata = resource["metadata"]
    if replicas is None:
        replicas = int((resource.get("spec") or {}).get("replicas", 1))
    return TargetState(
        str(metadata["uid"]),
        str(metadata["resourceVersion"]),
        replicas,
        selector,
        rollout_of(resource),
        failure_of(resource),
        gang_size(resource),
        to_shape(resource),
        overdue_of(resource),
        grace_of(resource),
        queue_of(resource),
    )


def with_hung_rollout(state: TargetState, since: datetime) -> TargetState:
    """The target as one whose roll-out has not moved since `since`."""
    return replace(
        state, rollout="", hung=f"{state.rollout}, as it has been since {since:%Y-%m-%dT%H:%M:%SZ}"
    )


def missing(target: ScaleTarget) -> TargetProblem:
    """There is no such object."""
    return TargetProblem(
        "TargetNotFound",
        f"{target.label} does not exist in namespace {target.namespace}; "
        "create it or correct scaleTargetRef",
    )


def not_served(target: ScaleTarget) -> TargetProblem:
    """There is no such kind."""
    return TargetProblem(
        "KindNotServed",
        f"scaleTargetRef.kind={target.kind!r} of apiVersion={target.api_version!r} is not served "
        "by this cluster; correct them or install its CRD",
    )


def not_scalable(kind: ServedKind) -> TargetProblem:
    """The kind cannot be scaled."""
    return TargetProblem(
        "NoScaleSubresource",
        f"{kind.qualified} has no scale subresource; use a kind that has one (Deployment, "
        "StatefulSet, LeaderWorkerSet), or add subresources.scale to its CRD",
    )


def forbidden(kind: ServedKind, message: str) -> TargetProblem:
    """The operator may not read it."""
    return TargetProblem(
        "TargetUnreadable",
        f"{message}; grant the operator list and watch on {kind.qualified}, and get and patch on "
        f"{kind.resource}/scale of group {kind.group!r}",
        is_known=False,
    )


def without_pods(message: str) -> TargetProblem:
    """Its own pods cannot be found out."""
    return TargetProblem(
        "TargetUnreadable",
        f"{message}; grant the operator list and watch on it, or its replicas cannot be counted",
        is_known=False,
    )


def unreadable(message: str) -> TargetProblem:
    """It could not be read just now."""
    return TargetProblem(
        "TargetUnreadable", f"{message}; it is left as it is, and read again", is_known=False
    )
