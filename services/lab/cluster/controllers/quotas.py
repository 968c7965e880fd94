"""ResourceQuotas on GPUs: which pods they refuse, and how much they count as used."""

from __future__ import annotations

from dataclasses import dataclass

from services.lab.cluster.controllers.devices import limited_by, quota_key
from services.lab.cluster.storage.objects import Objects
from services.lab.cluster.storage.resources import RESOURCE_QUOTAS, Obj
from services.simulator.engine.engine import ClusterEngine, DeploymentSpec


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

    def room(self, namespace: str, spec: DeploymentSpec) -> Room | None:
        """Room for further pods of a deployment; None where no quota counts them."""
        found: Room | None = None
        gpus, key = spec.gpus_per_pod, quota_key(spec.needs.resource)
        if gpus == 0:
            return None
        for quota in self._each(namespace):
            hard, used = _hard(quota, key), self.used(namespace, spec.needs.resource)
            if hard is None:
                continue
            n_pods = max(0, hard - used) // gpus
            amounts = (gpus, used + n_pods * gpus, hard)
            room = Room(n_pods, _refusal(quota, key, amounts))
            if found is None or room.pods < found.pods:
                found = room
        return found

    def used(self, namespace: str, resource: str) -> int:
        """GPUs of a resource that pods of a namespace ask for, whether they have them or not."""
        keys = [k for k in self._engine.deployment_keys if k.startswith(f"{namespace}/")]
        specs = [s for k in keys if (s := self._engine.spec(k)).needs.resource == resource]
        return sum(len(self._engine.pods(spec.key)) * spec.gpus_per_pod for spec in specs)

    def publish(self, namespace: str) -> None:
        """Write what is used into the statuses."""
        for quota in self._each(namespace):
            hard = (quota.get("spec") or {}).get("hard") or {}
            used = {quota_key(r): str(self.used(namespace, r)) for r in limited_by(hard)}
            status = {"hard": hard, "used": used}
            self._objects.write_status(RESOURCE_QUOTAS, quota, status)

    def _each(self, namespace: str) -> list[Obj]:
        return [s.obj for s in self._objects.store.each(RESOURCE_QUOTAS, namespace)]


def _hard(quota: Obj, key: str) -> int | None:
    text = str(((quota.get("spec") or {}).get("hard") or {}).get(key, ""))
    return int(text) if text.isdigit() else None


def _refusal(quota: Obj, key: str, amounts: tuple[int, int, int]) -> str:
    asked, used, hard = amounts
    return (
        f"exceeded quota: {quota['metadata']['name']}, requested: {key}={asked}, "
        f"used: {key}={used}, limited: {key}={hard}"
    )
