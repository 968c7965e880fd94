"""Accelerators that ResourceQuotas leave to a namespace, pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.operator.cluster.accelerators import NVIDIA_GPU, plugin_of, whole

Object = Mapping[str, Any]

_PREFIX = "requests."


@dataclass(frozen=True, slots=True)
class GpuQuota:
    """The tightest quota on one resource of a namespace."""

    name: str
    hard: int
    used: int
    resource: str = NVIDIA_GPU

    @property
    def free(self) -> int:
        """GPUs that pods yet to be created may ask for; a pod that waits is counted as used."""
        return max(0, self.hard - self.used)


QuotasOfNamespace = Mapping[str, GpuQuota]
"""The tightest quota by resource."""


def to_quotas(resources: Iterable[Object]) -> dict[str, QuotasOfNamespace]:
    """The tightest quotas by namespace.

    A quota with scopes is left out: whether it counts a pod depends on more than its GPUs. So is
    one whose controller has not counted yet.
    """
    found: dict[str, dict[str, GpuQuota]] = {}
    for resource in resources:
        spec = resource.get("spec") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue
        own = found.setdefault(str(resource["metadata"]["namespace"]), {})
        for name, quota in _limits(resource):
            if name not in own or quota.free < own[name].free:
                own[name] = quota
    return {namespace: own for namespace, own in found.items() if own}


def tightest(quotas: QuotasOfNamespace, resources: Iterable[str]) -> GpuQuota | None:
    """The quota that leaves least of the resources; None: there is none on any of them."""
    own = (quotas[name] for name in sorted(set(resources)) if name in quotas)
    return min(own, key=lambda quota: quota.free, default=None)


def _limits(resource: Object) -> Iterator[tuple[str, GpuQuota]]:
    """The accelerators that a quota limits, by resource, as far as they have been counted."""
    status = resource.get("status") or {}
    hard, used = (status.get(part) or {} for part in ("hard", "used"))
    for key in hard:
        name = str(key).removeprefix(_PREFIX)
        limit, taken = whole(hard[key]), whole(used.get(key))
        if name == key or plugin_of(name) is None or limit is None or taken is None:
            continue
        yield name, GpuQuota(str(resource["metadata"]["name"]), limit, taken, name)
