"""ResourceQuotas on GPUs: which pods they refuse, and how much they count as used."""

from __future__ import annotations

from dataclasses import dataclass

from services.lab.cluster.controllers.manifests import GPU_RESOURCE
from services.lab.cluster.storage.objects import Objects
from services.lab.cluster.storage.resources import RESOURCE_QUOTAS, Obj
from services.simulator.engine.engine import ClusterEngine

QUOTA_KEY = f"requests.{GPU_RESOURCE}"


@dataclass(frozen=True, slots=True)
class Room:
    """Count how many more pods of a size a namespace may have.

    Attributes:
        refusal: Message about the one after these.
    """

    pods: int
    refusal: str


class Quotas:
    """The quotas of every namespace against the engine's pods."""

    def __init__(self, objects: Objects, engine: ClusterEngine) -> None:
        self._objects = objects
        self._engine = engine

    def room(self, namespace: str, gpus: int) -> Room | None:
        """Room for pods of `gpus` each; None where no quota counts them."""
        found: Room | None = None
        if gpus == 0:
            return None
        for quota in self._each(namespace):
            hard, used = _hard(quota), self.used(namespace)
            if hard is None:
                continue
            n_pods = max(0, hard - used) // gpus
            room = Room(n_pods, _refusal(quota, gpus, used + n_pods * gpus, hard))
            if found is None or room.pods < found.pods:
                found = room
        return found

    def used(self, namespace: str) -> int:
        """GPUs that the pods of a namespace ask for, whether they have them or not."""
        keys = [k for k in self._engine.deployment_keys if k.startswith(f"{namespace}/")]
        return sum(len(self._engine.pods(k)) * self._engine.spec(k).gpus_per_pod for k in keys)

    def publish(self, namespace: str) -> None:
        """Write what is used into the statuses."""
        for quota in self._each(namespace):
            hard = (quota.get("spec") or {}).get("hard") or {}
            used = {QUOTA_KEY: str(self.used(namespace))} if QUOTA_KEY in hard else {}
            status = {"hard": hard, "used": used}
            self._objects.write_status(RESOURCE_QUOTAS, quota, status)

    def _each(self, namespace: str) -> list[Obj]:
        return [s.obj for s in self._objects.store.each(RESOURCE_QUOTAS, namespace)]


def _hard(quota: Obj) -> int | None:
    text = str(((quota.get("spec") or {}).get("hard") or {}).get(QUOTA_KEY, ""))
    return int(text) if text.isdigit() else None


def _refusal(quota: Obj, gpus: int, used: int, hard: int) -> str:
    name = quota["metadata"]["name"]
    return (
        f"exceeded quota: {name}, requested: {QUOTA_KEY}={gpus}, "
        f"used: {QUOTA_KEY}={used}, limited: {QUOTA_KEY}={hard}"
    )
