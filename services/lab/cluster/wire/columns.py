"""Columns that the API server shows of its own kinds, as `kubectl get` prints them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.lab.cluster.storage.resources import Obj, ResourceType

NONE, UNSET = "<none>", "<unset>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        read: Its cell, from the object.
        type: As the Table says it; a `date` is shown as an age.
        priority: 1: only with `-o wide`.
    """

    name: str
    read: Callable[[Obj], Any]
    type: str = "string"
    priority: int = 0
    description: str = ""


def built_in(rtype: ResourceType) -> Sequence[Column]:
    """Columns after the name; the age alone for kinds that have no others."""
    return _COLUMNS.get(rtype.kind, (_AGE,))


def has_name_first(rtype: ResourceType) -> bool:
    """Events are distinguished by their contents, not by their names."""
    return rtype.kind != "Event"


def _spec(obj: Obj) -> Obj:
    return obj.get("spec") or {}


def _status(obj: Obj) -> Obj:
    return obj.get("status") or {}


def _count(name: str) -> Callable[[Obj], int]:
    return lambda obj: int(_status(obj).get(name) or 0)


def _wanted(obj: Obj) -> int:
    return int(_spec(obj).get("replicas", 1))


def _ready_of_wanted(obj: Obj) -> str:
    return f"{_count('readyReplicas')(obj)}/{_wanted(obj)}"


def _containers(part: str) -> Callable[[Obj], str]:
    def read(obj: Obj) -> str:
        found = ((_spec(obj).get("template") or {}).get("spec") or {}).get("containers") or ()
        return ",".join(str(container.get(part, "")) for container in found)

    return read


def _selector(obj: Obj) -> str:
    labels = (_spec(obj).get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items())) or NONE


def _pod_ready(obj: Obj) -> str:
    found = _status(obj).get("containerStatuses") or ()
    n_all = len(_spec(obj).get("containers") or ())
    return f"{sum(bool(each.get('ready')) for each in found)}/{n_all}"


def _pod_status(obj: Obj) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for each in _status(obj).get("containerStatuses") or ():
        waiting = (each.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return str(waiting["reason"])
    return str(_status(obj).get("reason") or _status(obj).get("phase") or "Unknown")


def _restarts(obj: Obj) -> str:
    found = _status(obj).get("containerStatuses") or ()
    return str(sum(int(each.get("restartCount") or 0) for each in found))


def _node_status(obj: Obj) -> str:
    conditions = {c["type"]: c["status"] for c in _status(obj).get("conditions") or ()}
    parts = ["Ready" if conditions.get("Ready") == "True" else "NotReady"]
    if "Ready" not in conditions:
        parts = ["Unknown"]
    if _spec(obj).get("unschedulable"):
        parts.append("SchedulingDisabled")
    return ",".join(parts)


def _node_version(obj: Obj) -> str:
    return str((_status(obj).get("nodeInfo") or {}).get("kubeletVersion") or "<unknown>")


def _hpa_reference(obj: Obj) -> str:
    target = _spec(obj).get("scaleTargetRef") or {}
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _hpa_targets(obj: Obj) -> str:
    return ", ".join(_hpa_target(each) for each in _spec(obj).get("metrics") or ()) or NONE


def _hpa_target(metric: Mapping[str, Any]) -> str:
    """Target of a metric; its current value is unknown, as nobody measures it here."""
    of_kind = next((v for k, v in metric.items() if k != "type" and isinstance(v, dict)), {})
    target = of_kind.get("target") or {}
    name = f"{of_kind['name']}: " if metric.get("type") == "Resource" and "name" in of_kind else ""
    if "averageUtilization" in target:
        return f"{name}<unknown>/{target['averageUtilization']}%"
    if "averageValue" in target:
        return f"{name}<unknown>/{target['averageValue']} (avg)"
    return f"{name}<unknown>/{target.get('value', '')}"


def _quota(part: str) -> Callable[[Obj], str]:
    def read(obj: Obj) -> str:
        hard, used = _status(obj).get("hard") or _spec(obj).get("hard") or {}, _status(obj)
        chosen = sorted(k for k in hard if k.startswith("limits.") == (part == "limits"))
        return ", ".join(f"{k}: {(used.get('used') or {}).get(k, '0')}/{hard[k]}" for k in chosen)

    return read


def _event_object(obj: Obj) -> str:
    about = obj.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _event_seen(obj: Obj) -> str:
    series = obj.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or obj.get("lastTimestamp")
        or obj.get("eventTime")
        or obj["metadata"]["creationTimestamp"]
    )


def _event_source(obj: Obj) -> str:
    source = obj.get("source") or {}
    return str(source.get("component") or obj.get("reportingComponent") or "")


def _bound(part: str) -> Callable[[Obj], str]:
    return lambda obj: str(_spec(obj).get(part, "N/A"))


_CREATED = "creationTimestamp"
_AGE = Column("Age", lambda obj: obj["metadata"][_CREATED], "date")
_CREATED_AT = Column("Created At", lambda obj: obj["metadata"][_CREATED])
_WIDE = (
    Column("Containers", _containers("name"), priority=1),
    Column("Images", _containers("image"), priority=1),
)
_SELECTOR = Column("Selector", _selector, priority=1)

_COLUMNS: dict[str, tuple[Column, ...]] = {
    "Pod": (
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _restarts),
        _AGE,
        Column("IP", lambda obj: _status(obj).get("podIP") or NONE, priority=1),
        Column("Node", lambda obj: _spec(obj).get("nodeName") or NONE, priority=1),
        Column("Nominated Node", lambda _: NONE, priority=1),
        Column("Readiness Gates", lambda _: NONE, priority=1),
    ),
    "Deployment": (
        Column("Ready", _ready_of_wanted),
        Column("Up-to-date", _count("updatedReplicas"), "integer"),
        Column("Available", _count("availableReplicas"), "integer"),
        _AGE,
        *_WIDE,
        _SELECTOR,
    ),
    "ReplicaSet": (
        Column("Desired", _wanted, "integer"),
        Column("Current", _count("replicas"), "integer"),
        Column("Ready", _count("readyReplicas"), "integer"),
        _AGE,
        *_WIDE,
        _SELECTOR,
    ),
    "StatefulSet": (Column("Ready", _ready_of_wanted), _AGE, *_WIDE),
    "Node": (
        Column("Status", _node_status),
        Column("Roles", lambda _: NONE),
        _AGE,
        Column("Version", _node_version),
    ),
    "Namespace": (Column("Status", lambda obj: _status(obj).get("phase", "Active")), _AGE),
    "HorizontalPodAutoscaler": (
        Column("Reference", _hpa_reference),
        Column("Targets", _hpa_targets),
        Column("MinPods", lambda obj: str(_spec(obj).get("minReplicas", UNSET))),
        Column("MaxPods", lambda obj: _spec(obj).get("maxReplicas", 0), "integer"),
        Column("Replicas", _count("currentReplicas"), "integer"),
        _AGE,
    ),
    "Event": (
        Column("Last Seen", _event_seen, "date"),
        Column("Type", lambda obj: obj.get("type", "")),
        Column("Reason", lambda obj: obj.get("reason", "")),
        Column("Object", _event_object),
        Column("Source", _event_source, priority=1),
        Column("Message", lambda obj: str(obj.get("message", "")).strip()),
        Column("Count", lambda obj: obj.get("count", 1), "integer", priority=1),
        Column("Name", lambda obj: obj["metadata"]["name"], priority=1),
    ),
    "Lease": (Column("Holder", lambda obj: _spec(obj).get("holderIdentity", "")), _AGE),
    "ConfigMap": (Column("Data", lambda obj: str(len(obj.get("data") or ()))), _AGE),
    "PodDisruptionBudget": (
        Column("Min Available", _bound("minAvailable")),
        Column("Max Unavailable", _bound("maxUnavailable")),
        Column("Allowed Disruptions", _count("disruptionsAllowed"), "integer"),
        _AGE,
    ),
    "ResourceQuota": (
        Column("Request", _quota("requests")),
        Column("Limit", _quota("limits")),
        _AGE,
    ),
    "CustomResourceDefinition": (_CREATED_AT,),
    "Role": (_CREATED_AT,),
    "ClusterRole": (_CREATED_AT,),
}
