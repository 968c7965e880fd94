"""Who else scales a target, and who of them does what Harmony says, pure.

An HPA or a ScaledObject that follows Harmony's decisions (docs/interop.md) is no rival of the
autoscaler that it follows: the operator decides and asks as ever, and leaves the writing to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.operator.resource.autoscaler import Key, Target, TargetKey
from services.operator.resource.spec import GROUP

Object = Mapping[str, Any]

SCALED_OBJECT, HPA = "ScaledObject", "HorizontalPodAutoscaler"
FOLLOWS = f"{GROUP}/follows"
"""Annotation of an HPA or a ScaledObject: name of the GPUAutoscaler that it follows."""
ADVISED_METRIC = "harmony_advised_replicas"
_EXTERNAL = {"external", "external-push"}
_WORKLOAD = re.compile(r'\bworkload="([^"]*)"')
_OF_KEDA = "scaledobject.keda.sh/name"


@dataclass(frozen=True, slots=True)
class Rival:
    """Something else that scales a target.

    Attributes:
        label: `Kind/name`.
        follows: Autoscalers that it follows.
    """

    label: str
    follows: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True)
class Foreign:
    """Everything else that scales anything.

    Attributes:
        rivals: By what they scale.
        unread: Why ScaledObjects could not be listed; empty: they were. Each of them makes an
            HPA, so a target that one scales is known all the same.
    """

    rivals: Mapping[TargetKey, Sequence[Rival]] = field(default_factory=dict)
    unread: str = ""

    def conflict(self, target: TargetKey, own: Key) -> str:
        """Who scales a target and does not follow the autoscaler `own`; empty when nobody does."""
        found = self.rivals.get(target, ())
        return next((rival.label for rival in found if own not in rival.follows), "")

    def follower(self, target: TargetKey, own: Key) -> str:
        """Who scales a target as the autoscaler `own` says; empty when nobody does."""
        found = self.rivals.get(target, ())
        return next((rival.label for rival in found if own in rival.follows), "")


def to_foreign(
    scaled_objects: Sequence[Object] | None, hpas: Sequence[Object], unread: str = ""
) -> Foreign:
    """Rivals from objects.

    The HPA that KEDA makes for a ScaledObject is told by what a person wrote, where that is known.

    Args:
        scaled_objects: None: they cannot be listed.
        hpas: HorizontalPodAutoscalers.
        unread: Why ScaledObjects cannot be listed.
    """
    found: dict[TargetKey, list[Rival]] = {}
    for resource in scaled_objects or ():
        found.setdefault(_target(resource), []).append(_rival(SCALED_OBJECT, resource))
    known = {(r["metadata"]["namespace"], r["metadata"]["name"]) for r in scaled_objects or ()}
    for resource in hpas:
        metadata = resource["metadata"]
        made_for = (metadata.get("labels") or {}).get(_OF_KEDA)
        if made_for is None or (metadata["namespace"], made_for) not in known:
            found.setdefault(_target(resource), []).append(_rival(HPA, resource))
    return Foreign(found, unread)


def _target(resource: Object) -> TargetKey:
    reference = (resource.get("spec") or {}).get("scaleTargetRef") or {}
    return Target(
        str(reference.get("apiVersion") or "apps/v1"),
        str(reference.get("kind") or "Deployment"),
        str(resource["metadata"]["namespace"]),
        str(reference.get("name", "")),
    ).key


def _rival(kind: str, resource: Object) -> Rival:
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    namespace = str(metadata["namespace"])
    found = _asked(namespace, spec) if kind == SCALED_OBJECT else _read(namespace, spec)
    names = set(found)
    said = (metadata.get("annotations") or {}).get(FOLLOWS)
    if said:
        names.add((namespace, said))
    return Rival(f"{kind}/{metadata['name']}", frozenset(names))


def _asked(namespace: str, spec: Object) -> Iterator[Key]:
    """Autoscalers that a ScaledObject's triggers ask for: the external scaler, or the gauge."""
    for trigger in spec.get("triggers") or ():
        metadata = trigger.get("metadata") or {}
        if trigger.get("type") in _EXTERNAL:
            place, slash, name = str(metadata.get("workload", "")).partition("/")
            if slash:
                yield place, name
            elif metadata.get("autoscaler"):
                yield namespace, str(metadata["autoscaler"])
        query = str(metadata.get("query", ""))
        if ADVISED_METRIC in query:
            yield from ((namespace, name) for name in _WORKLOAD.findall(query))


def _read(namespace: str, spec: Object) -> Iterator[Key]:
    """Autoscalers whose gauge an HPA reads as an external metric."""
    for metric in spec.get("metrics") or ():
        named = (metric.get("external") or {}).get("metric") or {}
        labels = (named.get("selector") or {}).get("matchLabels") or {}
        if named.get("name") == ADVISED_METRIC and labels.get("workload"):
            yield namespace, str(labels["workload"])
