"""Other autoscalers of a target, and which of them follow Harmony, pure.

An HPA or a ScaledObject that follows Harmony's decisions (docs/interop.md) does not conflict with
the autoscaler that it follows: the operator decides and asks as ever, and leaves the writing to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.operator.resource.autoscaler import Autoscaler, Key, ScaleTarget, TargetKey
from services.operator.resource.fields import GROUP

Object = Mapping[str, Any]

SCALED_OBJECT, HPA = "ScaledObject", "HorizontalPodAutoscaler"
FOLLOWS = f"{GROUP}/follows"
"""Annotation of an HPA or a ScaledObject: name of the GPUAutoscaler that it follows."""
ADVISED_METRIC = "harmony_advised_replicas"
_EXTERNAL = {"external", "external-push"}
_WORKLOAD = re.compile(r'\bworkload="([^"]*)"')
_OF_KEDA = "scaledobject.keda.sh/name"


@dataclass(frozen=True, slots=True)
class OtherAutoscaler:
    """An HPA or a ScaledObject that scales a target.

    Attributes:
        label: `Kind/name`.
        follows: Autoscalers that it follows.
    """

    label: str
    follows: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True)
class OtherAutoscalers:
    """All HPAs and ScaledObjects.

    Attributes:
        by_target: They by what they scale.
        unread: Why ScaledObjects could not be listed; empty: they were. Each of them makes an
            HPA, so a target that one scales is known all the same.
    """

    by_target: Mapping[TargetKey, Sequence[OtherAutoscaler]] = field(default_factory=dict)
    unread: str = ""

    def conflict(self, target: TargetKey, own: Key) -> str:
        """Label of one that scales the target and does not follow `own`; empty: there is none."""
        found = self.by_target.get(target, ())
        return next((other.label for other in found if own not in other.follows), "")

    def follower(self, target: TargetKey, own: Key) -> str:
        """Label of one that scales the target and follows `own`; empty: there is none."""
        found = self.by_target.get(target, ())
        return next((other.label for other in found if own in other.follows), "")


def to_other_autoscalers(
    scaled_objects: Sequence[Object] | None, hpas: Sequence[Object], unread: str = ""
) -> OtherAutoscalers:
    """Other autoscalers from their objects.

    An HPA that KEDA made is left out where the ScaledObject that it was made for is known.

    Args:
        scaled_objects: None: they cannot be listed.
        hpas: HorizontalPodAutoscalers.
        unread: Why ScaledObjects cannot be listed.
    """
    found: dict[TargetKey, list[OtherAutoscaler]] = {}
    for resource in scaled_objects or ():
        found.setdefault(_target(resource), []).append(_to_other(SCALED_OBJECT, resource))
    known = {(r["metadata"]["namespace"], r["metadata"]["name"]) for r in scaled_objects or ()}
    for resource in hpas:
        metadata = resource["metadata"]
        made_for = (metadata.get("labels") or {}).get(_OF_KEDA)
        if made_for is None or (metadata["namespace"], made_for) not in known:
            found.setdefault(_target(resource), []).append(_to_other(HPA, resource))
    return OtherAutoscalers(found, unread)


def _target(resource: Object) -> TargetKey:
    reference = (resource.get("spec") or {}).get("scaleTargetRef") or {}
    return ScaleTarget(
        str(reference.get("apiVersion") or "apps/v1"),
        str(reference.get("kind") or "Deployment"),
        str(resource["metadata"]["namespace"]),
        str(reference.get("name", "")),
    ).key


def _to_other(kind: str, resource: Object) -> OtherAutoscaler:
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    namespace = str(metadata["namespace"])
    found = (
        _from_triggers(namespace, spec) if kind == SCALED_OBJECT else _from_metrics(namespace, spec)
    )
    follows = set(found)
    annotated = (metadata.get("annotations") or {}).get(FOLLOWS)
    if annotated:
        follows.add((namespace, annotated))
    return OtherAutoscaler(f"{kind}/{metadata['name']}", frozenset(follows))


def _from_triggers(namespace: str, spec: Object) -> Iterator[Key]:
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
            yield from ((namespace, _of_series(name)) for name in _WORKLOAD.findall(query))


def _from_metrics(namespace: str, spec: Object) -> Iterator[Key]:
    """Autoscalers whose gauge an HPA reads as an external metric."""
    for metric in spec.get("metrics") or ():
        external = (metric.get("external") or {}).get("metric") or {}
        labels = (external.get("selector") or {}).get("matchLabels") or {}
        if external.get("name") == ADVISED_METRIC and labels.get("workload"):
            yield namespace, _of_series(str(labels["workload"]))


def _of_series(workload: str) -> str:
    """The autoscaler of a series; one of a variant or pool is named `AUTOSCALER_PART`."""
    return workload.partition("_")[0]


def older_autoscalers(autoscalers: list[Autoscaler]) -> dict[str, str]:
    """For each autoscaler but the oldest of a target: the oldest, which keeps the target.

    Of two that are equally old, the one whose name comes first is the older; the mode does not
    matter.
    """
    oldest: dict[TargetKey, Autoscaler] = {}
    for autoscaler in sorted(autoscalers, key=lambda a: a.seniority):
        for target in autoscaler.targets:
            oldest.setdefault(target.key, autoscaler)
    found = {}
    for autoscaler in autoscalers:
        for target in reversed(autoscaler.targets):
            first = oldest[target.key]
            if first.uid != autoscaler.uid:
                found[autoscaler.uid] = f"GPUAutoscaler/{first.name}"
    return found
