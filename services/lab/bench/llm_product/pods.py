"""The replicas as the operator would see them, from the counts of the loop's pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.lab.arena.loop import PoolCounts

UNTOLD = (None,) * 5
"""What the loop tells nothing of, of a row of `replica_states`: new nodes, images, spot nodes."""


@dataclass(slots=True)
class Pod:
    """One replica that is there or on its way."""

    uid: str
    requested_at: datetime
    ready_at: datetime | None = None


@dataclass(slots=True)
class PodBook:
    """Pods with their times; of those that drain nothing is kept, as the operator counts none.

    A pod was requested when the count was last raised, and is ready when it is first seen so: the
    loop gives counts at each tick, the operator would see the times themselves.

    Attributes:
        pods: The oldest first.
        n_made: Pods that there have been.
        changed: Pods that are new, ready or gone since they were last taken.
        prefix: What their names start with.
    """

    pods: list[Pod] = field(default_factory=list)
    n_made: int = 0
    changed: dict[str, tuple[Pod, datetime | None]] = field(default_factory=dict)
    prefix: str = ""

    def see(self, counts: PoolCounts, asked_at: datetime, now: datetime) -> None:
        """Follow the counts.

        Args:
            counts: Of the pool, now.
            asked_at: When the count was last changed.
            now: Aware.
        """
        alive = counts.ready + counts.starting
        while len(self.pods) > alive:
            # one that is not ready goes first, the newest
            gone = next((p for p in reversed(self.pods) if p.ready_at is None), self.pods[-1])
            self.pods.remove(gone)
            self.changed[gone.uid] = (gone, now)
        while len(self.pods) < alive:
            self.n_made += 1
            self._note(Pod(f"{self.prefix}pod-{self.n_made}", asked_at))
        n_ready = sum(pod.ready_at is not None for pod in self.pods)
        for pod in self.pods:
            if n_ready < counts.ready and pod.ready_at is None:
                pod.ready_at = now
                n_ready += 1
                self.changed[pod.uid] = (pod, None)

    def _note(self, pod: Pod) -> None:
        self.pods.append(pod)
        self.changed[pod.uid] = (pod, None)

    def state_row(self, workload_id: int, spec: int, room: int, now: datetime) -> tuple[Any, ...]:
        """A row of `replica_states`.

        Args:
            workload_id: The workload.
            spec: Replicas in the target's spec.
            room: Replicas that could be started beside these.
            now: Aware.
        """
        starting = [pod for pod in self.pods if pod.ready_at is None]
        ages = [(now - pod.requested_at).total_seconds() for pod in starting]
        n_ready = len(self.pods) - len(starting)
        return (workload_id, now, spec, n_ready, len(starting), 0, ages, room, None, *UNTOLD)

    def take_starts(
        self, workload_id: int, gpu_type: str, now: datetime
    ) -> Sequence[dict[str, Any]]:
        """Rows of `pod_starts` that are new or changed; pods that were there at once are none."""
        rows = [
            {
                "pod_uid": pod.uid,
                "workload_id": workload_id,
                "gpu_type": gpu_type,
                "requested_at": pod.requested_at,
                "ready_at": pod.ready_at,
                "gone_at": gone_at,
                "observed_at": now,
                "bound_at": None,
                "refused_at": None,
                "is_new_node": None,
                "cause": None,
            }
            for pod, gone_at in self.changed.values()
            if pod.ready_at != pod.requested_at
        ]
        self.changed.clear()
        return rows
