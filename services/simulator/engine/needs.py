"""Demands of a pod on a node beyond GPUs: labels it must have, taints it may have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

GPU = "nvidia.com/gpu"
"""The resource of GPUs where nothing else is said."""
_REPELLING = ("NoSchedule", "NoExecute")


class NodeLabel(NamedTuple):
    """A label of a node."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class NodeTaint:
    """A taint that keeps pods away."""

    key: str
    value: str
    effect: str

    @property
    def text(self) -> str:
        """As the scheduler names it."""
        return f"{{{self.key}: {self.value}}}"


@dataclass(frozen=True, slots=True)
class PodToleration:
    """Toleration of a pod; empty parts match everything."""

    key: str = ""
    value: str = ""
    effect: str = ""
    is_any_value: bool = False

    def covers(self, taint: NodeTaint) -> bool:
        """Check whether the pod may go where the taint is."""
        return (
            self.key in ("", taint.key)
            and self.effect in ("", taint.effect)
            and (self.is_any_value or self.value == taint.value)
        )


@dataclass(frozen=True, slots=True)
class NodeExpression:
    """One expression of a required node affinity."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Check whether a node with these labels meets it; an unknown operator is never met."""
        value = labels.get(self.key)
        if self.operator in ("Gt", "Lt"):
            bound = self.values[0] if self.values else ""
            if value is None or not value.isdigit() or not bound.isdigit():
                return False
            return int(value) > int(bound) if self.operator == "Gt" else int(value) < int(bound)
        return {
            "In": value in self.values,
            "NotIn": value not in self.values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }.get(self.operator, False)


@dataclass(frozen=True, slots=True)
class Needs:
    """Needs of the pods of one template.

    Attributes:
        resource: Name by which they ask for GPUs.
        affinity: Terms of the required node affinity, of which one has to hold; empty: none.
    """

    labels: tuple[NodeLabel, ...] = ()
    tolerations: tuple[PodToleration, ...] = ()
    resource: str = GPU
    affinity: tuple[tuple[NodeExpression, ...], ...] = ()

    def is_selected(self, labels: tuple[NodeLabel, ...]) -> bool:
        """Check whether a node with these labels is one of those asked for."""
        if self.labels and not set(self.labels) <= set(labels):
            return False
        if not self.affinity:
            return True
        known = dict(labels)
        return any(term and all(each.holds(known) for each in term) for term in self.affinity)

    def repelled_by(self, taints: tuple[NodeTaint, ...]) -> NodeTaint | None:
        """The first taint that keeps the pods away."""
        return next((t for t in taints if not any(o.covers(t) for o in self.tolerations)), None)


NO_NEEDS = Needs()


def to_needs(pod_spec: dict[str, Any], but: str, resource: str = GPU) -> Needs:
    """Read the needs of a pod specification, all but what the caller reads.

    Args:
        pod_spec: `spec` of a pod.
        but: The label that the caller reads.
        resource: Name by which the pod asks for GPUs.
    """
    selector = pod_spec.get("nodeSelector") or {}
    return Needs(
        tuple(sorted(NodeLabel(k, str(v)) for k, v in selector.items() if k != but)),
        to_tolerations(pod_spec.get("tolerations") or ()),
        resource,
        _to_affinity(pod_spec),
    )


def _to_affinity(pod_spec: dict[str, Any]) -> tuple[tuple[NodeExpression, ...], ...]:
    """The terms of a required node affinity; a term without expressions selects no node."""
    node = (pod_spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return tuple(
        tuple(
            NodeExpression(each["key"], each["operator"], tuple(map(str, each.get("values") or ())))
            for each in term.get("matchExpressions") or ()
        )
        for term in required.get("nodeSelectorTerms") or ()
    )


def to_tolerations(written: Iterable[dict[str, Any]]) -> tuple[PodToleration, ...]:
    """Tolerations as they are written in a pod specification."""
    return tuple(
        PodToleration(
            each.get("key") or "",
            each.get("value") or "",
            each.get("effect") or "",
            each.get("operator") == "Exists",
        )
        for each in written
    )


def to_taints(node_spec: dict[str, Any]) -> tuple[NodeTaint, ...]:
    """The taints of a node specification that keep pods away."""
    return tuple(
        NodeTaint(each["key"], each.get("value") or "", each["effect"])
        for each in node_spec.get("taints") or ()
        if each["effect"] in _REPELLING
    )
