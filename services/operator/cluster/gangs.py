"""Replicas that are groups of pods, pure: a LeaderWorkerSet's leader with its workers.

A group counts as one replica: it is there once its leader is, ready when as many pods as it has
are ready, and it waits for a node while one of its pods does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from services.operator.cluster.accelerators import Accelerators
from services.operator.cluster.pods import PodState

GROUP_LABEL = "leaderworkerset.sigs.k8s.io/group-index"
WORKER_LABEL = "leaderworkerset.sigs.k8s.io/worker-index"
LEADER = "0"


def to_gangs(pods: Iterable[PodState], size: int) -> list[PodState]:
    """One entry per group, named and dated as its leader.

    Args:
        pods: Pods of one target.
        size: Pods of a group, where the pods themselves do not state it.
    """
    groups: dict[str, list[PodState]] = defaultdict(list)
    for pod in pods:
        groups[pod.labels.get(GROUP_LABEL, pod.uid)].append(pod)
    return [_gang(group, size) for _, group in sorted(groups.items())]


def _gang(pods: Sequence[PodState], size: int) -> PodState:
    first = min(pods, key=lambda p: (p.labels.get(WORKER_LABEL) != LEADER, p.created_at, p.name))
    wanted = first.gang_size or size
    ready = [pod.ready_at for pod in pods if pod.ready_at is not None and not pod.is_leaving]
    bound = [pod.bound_at for pod in pods if pod.bound_at is not None]
    lost = [pod.lost_at for pod in pods if pod.lost_at is not None and not pod.is_leaving]
    is_waiting = any(not pod.node for pod in pods)
    return replace(
        first,
        node="" if is_waiting else first.node,
        asked=_together(pods),
        ready_at=max(ready) if len(ready) >= wanted else None,
        lost_at=max(lost) if lost and len(ready) + len(lost) >= wanted else None,
        is_leaving=any(pod.is_leaving for pod in pods),
        bound_at=None if is_waiting else max(bound, default=None),
        is_gated=any(pod.is_gated for pod in pods),
        released_at=max((p.released_at for p in pods if p.released_at is not None), default=None),
        is_release_seen=all(pod.is_release_seen for pod in pods),
    )


def _together(pods: Sequence[PodState]) -> tuple[Accelerators, ...]:
    counts: Counter[tuple[str, str]] = Counter()
    for pod in pods:
        for each in pod.asked:
            counts[each.resource, each.product] += each.count
    return tuple(Accelerators(*kind, count) for kind, count in counts.items())
