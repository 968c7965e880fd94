"""Placement: first fit of whole gangs on nodes with the right GPU type."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from services.simulator.engine.needs import NO_NEEDS, Needs
from services.simulator.engine.specs import ANY_GPU_TYPE, NodeSpec


class Nodes:
    """The nodes of a cluster and their free GPUs."""

    def __init__(self, nodes: Iterable[NodeSpec]) -> None:
        self._specs: dict[str, NodeSpec] = {}
        self._free: dict[str, int] = {}
        self._cordoned: set[str] = set()
        for node in nodes:
            self.add(node)

    def add(self, node: NodeSpec) -> None:
        """Add a node with all its GPUs free."""
        if node.name in self._specs:
            raise ValueError(f"node {node.name!r} exists already; names must be unique")
        self._specs[node.name] = node
        self._free[node.name] = node.gpus

    def remove(self, name: str) -> None:
        """Forget a node; its pods are the caller's business."""
        self.require(name)
        del self._specs[name], self._free[name]
        self._cordoned.discard(name)

    def cordon(self, name: str, is_cordoned: bool = True) -> None:
        """Let no further pod onto a node, or lift that."""
        self.require(name)
        (self._cordoned.add if is_cordoned else self._cordoned.discard)(name)

    def require(self, name: str) -> NodeSpec:
        """The node called `name`.

        Raises:
            KeyError: If there is none.
        """
        if name not in self._specs:
            raise KeyError(f"no node {name!r}; there are {sorted(self._specs)}")
        return self._specs[name]

    def all(self) -> list[NodeSpec]:
        """Every node, in order of addition."""
        return list(self._specs.values())

    def free_gpus(self, name: str) -> int:
        """Free GPUs of one node."""
        return self._free[name]

    def update(self, node: NodeSpec) -> None:
        """Take new labels and taints of a node; the pods on it stay."""
        known = self.require(node.name)
        self._specs[node.name] = replace(known, labels=node.labels, taints=node.taints)

    def resize(self, node: NodeSpec) -> None:
        """Take the GPUs of a node and their resource; the pods on it stay."""
        known = self.require(node.name)
        self._specs[node.name] = replace(known, gpus=node.gpus, resource=node.resource)
        self._free[node.name] += node.gpus - known.gpus

    def take(self, gpu_type: str, gpus: int, needs: Needs = NO_NEEDS) -> str | None:
        """Reserve `gpus` on the first node that fits; None when no node does."""
        for name, node in self._specs.items():
            if (
                self._free[name] >= gpus
                and (not gpus or needs.resource == node.resource)
                and gpu_type in (ANY_GPU_TYPE, node.gpu_type)
                and name not in self._cordoned
                and needs.is_selected(node.labels)
                and (not node.taints or needs.repelled_by(node.taints) is None)
            ):
                self._free[name] -= gpus
                return name
        return None

    def give_back(self, name: str, gpus: int) -> None:
        """Return GPUs of a pod that ended; a node that is gone takes nothing."""
        if name in self._free:
            self._free[name] += gpus
