"""Pods that a scale-in should take, pure: marks for the ReplicaSet controller.

A ReplicaSet gives up pods that wait for a node first, then pods that are not ready, then those of
the lowest `pod-deletion-cost`, then, to spread, one of several on the same node, and only then
the youngest: by the power of two that an age lies at, and of those at the same any one, by uid.
That cuts off requests and costs warm caches, so the pods to lose are marked: those of
the fewest requests in flight, where that is known of all ready pods, and among equals the ones that
have served, or been starting, for the shortest time. Costs set by others are kept and followed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.operator.cluster.pods import PodState

MAX_MARKS = 32
"""Pods marked for one scale-in at most; the rest is left to the ReplicaSet controller."""


_NOT_KNOWN: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Mark:
    """A cost to set on a pod; None: to remove."""

    pod: PodState
    cost: int | None


def marks(
    pods: Sequence[PodState],
    replicas: int,
    now: datetime,
    in_flight: Mapping[str, float] = _NOT_KNOWN,
) -> list[Mark]:
    """Marks to write before a target's pods go down to `replicas`; none when they change nothing.

    Args:
        pods: Pods that the target owns.
        replicas: What will be left.
        now: Aware.
        in_flight: Requests in flight by the pod's name. Where a ready pod is absent, they are not
            gone by at all: a pod without a reading may have the most.
    """
    living = [pod for pod in pods if not pod.is_leaving]
    n_lost = len(living) - replicas if replicas > 0 else 0
    is_known = all(pod.name in in_flight for pod in living if pod.ready_at is not None)

    def preference(pod: PodState) -> tuple[int, int, float, float, str]:
        requests = in_flight.get(pod.name, 0.0) if is_known else 0.0
        return _stage(pod), _own_cost(pod), requests, -_since(pod).timestamp(), pod.name

    preferred = sorted(living, key=preference)[: max(0, n_lost)]
    lost = {pod.uid for pod in preferred}
    stale = [Mark(pod, None) for pod in living if pod.is_marked and pod.uid not in lost]
    if all(lost == uids for uids in _expected(living, len(lost), now)):
        return stale
    last = _stage(preferred[-1])  # pods of an earlier stage go by themselves
    lowest = min(_own_cost(p) for p in living if p.uid not in lost and _stage(p) == last)
    fresh = [
        Mark(pod, lowest - 1)
        for pod in preferred
        if _stage(pod) == last and _own_cost(pod) >= lowest and _is_free(pod)
    ]
    return (stale + [mark for mark in fresh if mark.pod.deletion_cost != mark.cost])[:MAX_MARKS]


def _stage(pod: PodState) -> int:
    return 2 if pod.ready_at is not None else 1 if pod.node else 0


def _is_free(pod: PodState) -> bool:
    """True where only the operator, or nobody, has set the pod's cost."""
    return pod.is_marked or pod.deletion_cost is None


def _own_cost(pod: PodState) -> int:
    """The cost that the pod has without the operator's mark."""
    return 0 if pod.is_marked else pod.deletion_cost or 0


def _since(pod: PodState) -> datetime:
    return pod.created_at if pod.ready_at is None else pod.ready_at


def _expected(pods: Sequence[PodState], n_lost: int, now: datetime) -> Iterator[set[str]]:
    """Uids of the pods that the ReplicaSet controller takes if nothing is written.

    By ages as it compares them usually, and where LogarithmicScaleDown is switched off.
    """
    on_node = Counter(pod.node for pod in pods)

    def rank(pod: PodState) -> tuple[int, int, int]:
        return _stage(pod), pod.deletion_cost or 0, -on_node[pod.node]

    ages = {pod.uid: now - _since(pod) for pod in pods}
    usual = sorted(pods, key=lambda pod: (*rank(pod), _magnitude(ages[pod.uid]), pod.uid))
    exact = sorted(pods, key=lambda pod: (*rank(pod), ages[pod.uid], pod.name))
    for order in (usual, exact):
        yield {pod.uid for pod in order[:n_lost]}


def _magnitude(age: timedelta) -> int:
    """The power of two, in nanoseconds, that an age lies at; ages of one count as equal."""
    age_ns = age // timedelta(microseconds=1) * 1000
    return age_ns.bit_length() - 1 if age_ns > 0 else -1
