"""The Cluster Autoscaler's node groups: its status, in both forms that it is written in; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from services.operator.cluster.node_pools import NodeRefusal
from services.operator.cluster.pods import parse_kube_time

Object = Mapping[str, Any]

STATUS_NAMESPACE, STATUS_NAME = "kube-system", "cluster-autoscaler-status"
GROUPS_ANNOTATION = "scaling.harmony.dev/node-groups"
"""Annotation of a GPUBudget: the node groups of its type with the GPUs of one node, `a=8,b=4`."""
_OWN_KEYS = {"autoscalerStatus", "nodeGroups"}
_SCALE_UP = re.compile(r"\s*ScaleUp:\s+(\w+)")
_HEALTH = re.compile(r"\s*Health:\s+\w+ \((.*)\)")
_COUNT = re.compile(r"(\w+)=(\d+)")
_TRANSITION = re.compile(r"\s*LastTransitionTime:\s+(\S+ \S+)")


class UnreadableStatus(ValueError):
    """The status is in a form that is not known."""


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """One node group.

    Attributes:
        most: Nodes that it may have.
        nodes: Nodes that it is asked to have.
        refused: Why no node is added at present; None: nothing says so.
        rising_since: When it began to add the nodes that are on their way; None: it adds none, or
            nothing says since when.
        registered: Nodes of it that are in the cluster; None: nothing says so.
        starting: Those among them that are young and not ready: one that offers no GPUs yet is none
            that is (kubernetes/autoscaler, cluster-autoscaler/clusterstate).
    """

    name: str
    most: int
    nodes: int
    refused: NodeRefusal | None = None
    rising_since: datetime | None = None
    registered: int | None = None
    starting: int = 0

    @property
    def there(self) -> int:
        """Nodes of it that are in the cluster; as many as were asked for if nothing says so."""
        return self.nodes if self.registered is None else self.registered

    @property
    def coming(self) -> int:
        """Nodes that were asked for and offer no GPUs yet; what is refused does not come."""
        missing = 0 if self.refused is not None else max(0, self.nodes - self.there)
        return missing + self.starting


@dataclass(frozen=True, slots=True)
class GroupOfType:
    """A node group that a GPUBudget names, and the GPUs of one of its nodes."""

    name: str
    gpus_per_node: int


def to_groups_of_type(annotation: str) -> tuple[GroupOfType, ...]:
    """The groups that an annotation names.

    Raises:
        ValueError: It cannot be read.
    """
    found: dict[str, GroupOfType] = {}
    for part in filter(None, (each.strip() for each in annotation.split(","))):
        name, _, gpus = part.rpartition("=")
        if not name or not gpus.isdigit() or int(gpus) == 0:
            raise ValueError(
                f"annotation {GROUPS_ANNOTATION}={annotation!r}: {part!r} must be NAME=GPUS, the "
                "node group and the GPUs of one of its nodes, e.g. h100-pool=8"
            )
        if name in found:
            raise ValueError(
                f"annotation {GROUPS_ANNOTATION}={annotation!r}: node group {name!r} must be named "
                f"once, with the GPUs of one of its nodes, e.g. {name}={gpus}"
            )
        found[name] = GroupOfType(name, int(gpus))
    return tuple(found.values())


def named_once(groups: Iterable[GroupOfType]) -> tuple[GroupOfType, ...]:
    """Each node group once; where its nodes are told to be of several sizes, with the smallest."""
    by_size = sorted(groups, key=lambda each: each.gpus_per_node, reverse=True)
    return tuple({each.name: each for each in by_size}.values())


def to_node_groups(config_map: Object) -> dict[str, NodeGroup]:
    """Node groups by name, from the ConfigMap that holds the status.

    Raises:
        UnreadableStatus: It is in neither of the forms that are known.
    """
    status = str((config_map.get("data") or {}).get("status") or "")
    try:
        if status.startswith("Cluster-autoscaler status"):
            return {group.name: group for group in _of_text(status)}
        written = yaml.safe_load(status)
        if not isinstance(written, Mapping) or not _OWN_KEYS & written.keys():
            raise UnreadableStatus("its key `status` holds no status of the Cluster Autoscaler")
        found = [_of_yaml(each) for each in written.get("nodeGroups") or ()]
    except UnreadableStatus:
        raise
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableStatus(f"its key `status` cannot be read: {error}") from error
    return {group.name: group for group in found}


def _of_yaml(written: Mapping[str, Any]) -> NodeGroup:
    health, scale_up = written.get("health") or {}, written.get("scaleUp") or {}
    counts = (health.get("nodeCounts") or {}).get("registered") or {}
    registered = counts.get("total")
    refused, rising_since, stamp = None, None, scale_up.get("lastTransitionTime")
    if str(scale_up.get("status")) == "InProgress" and stamp:
        rising_since = _time(str(stamp))
    if str(scale_up.get("status")) == "Backoff":
        info = scale_up.get("backoffInfo") or {}
        said = ": ".join(str(info[k]) for k in ("errorCode", "errorMessage") if info.get(k))
        refused = _backed_off(str(written["name"]), str(scale_up["lastTransitionTime"]), said)
    return NodeGroup(
        str(written["name"]),
        int(health["maxSize"]),
        int(health.get("cloudProviderTarget") or 0),
        refused,
        rising_since,
        None if registered is None else int(registered),
        int(counts.get("notStarted") or 0),
    )


def _of_text(status: str) -> Iterator[NodeGroup]:
    """Node groups of the form before version 1.30, a block of lines for each."""
    _, _, blocks = status.partition("NodeGroups:")
    for block in re.split(r"^\s*Name:\s+", blocks, flags=re.MULTILINE)[1:]:
        name, _, rest = block.partition("\n")
        health = _HEALTH.search(rest)
        counts = dict(_COUNT.findall(health[1])) if health else {}
        if "maxSize" not in counts:
            raise UnreadableStatus(f"node group {name.strip()!r} states no maxSize")
        refused, rising_since, after = None, None, _SCALE_UP.search(rest)
        stamp = None if after is None else _TRANSITION.search(rest, after.end())
        if after is not None and after[1] == "Backoff":
            refused = _backed_off(name.strip(), stamp[1] if stamp else "", "")
        if after is not None and after[1] == "InProgress" and stamp is not None:
            rising_since = _time(stamp[1])
        nodes = int(counts.get("cloudProviderTarget", 0))
        there = int(counts["registered"]) if "registered" in counts else None
        most, starting = int(counts["maxSize"]), int(counts.get("notStarted", 0))
        yield NodeGroup(name.strip(), most, nodes, refused, rising_since, there, starting)


def _backed_off(name: str, stamp: str, said: str) -> NodeRefusal:
    why = f"the Cluster Autoscaler backs off from node group {name}"
    return NodeRefusal(_time(stamp), f"{why} ({said})" if said else why)


def _time(stamp: str) -> datetime:
    """A time as Kubernetes or as Go prints it (`2026-01-05 00:00:00.123456789`), aware UTC."""
    text = re.sub(r"(\.\d{1,6})\d*", r"\1", stamp.strip())
    if not text:
        raise UnreadableStatus("a node group backs off and does not state since when")
    if not re.search(r"(Z|[+-]\d\d:?\d\d)$", text):
        text = f"{text}+00:00"
    return parse_kube_time(text)
