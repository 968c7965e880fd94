"""GPUs of pods and nodes by the resource name of their device plugin: one for each pod and node."""

from __future__ import annotations

from collections.abc import Iterable

from services.lab.cluster.storage.resources import Obj
from services.operator.cluster.accelerators import plugin_of
from services.simulator.engine.needs import GPU

_QUOTA = "requests."


def resource_asked_by(spec: Obj) -> str:
    """Name by which a pod specification asks for GPUs.

    Raises:
        ValueError: It asks for several.
    """
    containers = spec.get("containers") or ()
    return _only(n for c in containers for n in (c.get("resources") or {}).get("limits") or ())


def resource_of(amounts: Obj) -> str:
    """Name by which a node with these amounts offers GPUs.

    Raises:
        ValueError: It offers several.
    """
    return _only(amounts)


def _only(names: Iterable[str]) -> str:
    found = sorted({name for name in names if plugin_of(name) is not None})
    if len(found) > 1:
        raise ValueError(f"{' and '.join(found)}: the laboratory knows one for each pod and node")
    return found[0] if found else GPU


def product_label(resource: str) -> str:
    """Label of nodes that names the product of a resource; empty: none does."""
    plugin = plugin_of(resource)
    return "" if plugin is None else next(iter(plugin.own_labels), "")


def limited_by(hard: Obj) -> list[str]:
    """Resources of GPUs that a quota limits."""
    names = (key.removeprefix(_QUOTA) for key in hard if key.startswith(_QUOTA))
    return [name for name in names if plugin_of(name) is not None]


def quota_key(resource: str) -> str:
    """Name of a resource in a quota."""
    return f"{_QUOTA}{resource}"
