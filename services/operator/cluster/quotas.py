"""GPUs that ResourceQuotas leave to a namespace, pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.operator.cluster.pods import GPU_RESOURCE

Object = Mapping[str, Any]

QUOTA_KEY = f"requests.{GPU_RESOURCE}"


@dataclass(frozen=True, slots=True)
class GpuQuota:
    """The tightest quota on GPUs of a namespace."""

    name: str
    hard: int
    used: int

    @property
    def free(self) -> int:
        """GPUs that pods yet to be created may ask for; a pod that waits is counted as used."""
        return max(0, self.hard - self.used)


def to_quotas(resources: Iterable[Object]) -> dict[str, GpuQuota]:
    """The tightest quota by namespace.

    A quota with scopes is left out: whether it counts a pod depends on more than its GPUs. So is
    one whose controller has not counted yet.
    """
    found: dict[str, GpuQuota] = {}
    for resource in resources:
        spec, status = resource.get("spec") or {}, resource.get("status") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue
        hard, used = (_count(status.get(part)) for part in ("hard", "used"))
        if hard is None or used is None:
            continue
        metadata = resource["metadata"]
        quota = GpuQuota(str(metadata["name"]), hard, used)
        namespace = str(metadata["namespace"])
        if namespace not in found or quota.free < found[namespace].free:
            found[namespace] = quota
    return found


def _count(amounts: object) -> int | None:
    text = str(amounts.get(QUOTA_KEY, "")) if isinstance(amounts, Mapping) else ""
    if text.endswith("k") and text[:-1].isdigit():
        return int(text[:-1]) * 1000
    return int(text) if text.isdigit() else None
