"""When pods were let go by their scheduling gates; pure.

A pod that a gate holds waits for no node, and its start begins when the gate is gone. The API
server does not tell when that was, so it is seen from pass to pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.operator.cluster.ownership import OwnedPod
from services.operator.cluster.pods import PodState
from services.operator.cluster.queue_labels import is_managed

_UNSEEN_FOR = timedelta(seconds=60)
"""A pod that is older than this when it is first seen was not watched from its beginning."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate of one pod.

    Attributes:
        released_at: When it was first seen without it; None: it is still held.
        is_seen: It was seen to be held until then. Else it may have been let go long before.
    """

    released_at: datetime | None = None
    is_seen: bool = True


def follow_gates(
    pods: Sequence[OwnedPod], known: Mapping[str, Gate], now: datetime
) -> tuple[list[OwnedPod], dict[str, Gate]]:
    """The pods with when they were let go, and the gates to know next time, by uid.

    Args:
        pods: All living pods.
        known: Gates as of the last look.
        now: Aware.
    """
    found: list[OwnedPod] = []
    gates: dict[str, Gate] = {}
    for pod in pods:
        state = pod.state
        gate = _follow(state, known.get(state.uid), now)
        if gate is None:
            found.append(pod)
            continue
        gates[state.uid] = gate
        state = replace(state, released_at=gate.released_at, is_release_seen=gate.is_seen)
        found.append(replace(pod, state=state))
    return found, gates


def _follow(pod: PodState, known: Gate | None, now: datetime) -> Gate | None:
    """The gate of a pod; None: it has, and had, none that matters."""
    if pod.is_gated:
        return Gate()
    if known is not None and known.released_at is not None:
        return known
    is_missed = (
        pod.ready_at is None and is_managed(pod.labels) and now - pod.created_at > _UNSEEN_FOR
    )
    if known is None and not is_missed:
        return None
    at = now if pod.bound_at is None else min(now, pod.bound_at)
    return Gate(at, is_seen=known is not None)
