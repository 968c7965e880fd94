"""Owners of pods, pure: chains of controller references, and pods by each of their owners.

Pods are counted by owner (pod -> ReplicaSet -> Deployment -> whatever made that), never by label
alone, so that a pod of another owner with the same labels is not counted.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.operator.cluster.placement import PodShape
from services.operator.cluster.pods import PodState

Object = Mapping[str, Any]
LINK_KINDS = ("ReplicaSet", "StatefulSet", "Deployment")
"""Kinds that stand between a pod and what is scaled, nearest to the pod first."""
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Owner:
    """A controlling owner as its dependent names it."""

    kind: str
    uid: str


@dataclass(frozen=True, slots=True)
class OwnedPod:
    """A living pod and its controlling owner.

    Attributes:
        needs: What it needs of a node, while it waits for one with accelerators; None: it does not.
    """

    state: PodState
    owner: Owner | None
    needs: PodShape | None = None


def controller_of(resource: Object) -> Owner | None:
    """The controlling owner."""
    for owner in resource["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return Owner(str(owner["kind"]), str(owner["uid"]))
    return None


@dataclass(frozen=True, slots=True)
class Links:
    """Owners of the objects between pods and what is scaled, by uid."""

    by_uid: Mapping[str, Owner | None] = field(default_factory=dict)

    def chain(self, owner: Owner | None) -> Iterator[Owner]:
        """`owner`, its owner, and so on as far as is known."""
        for _ in range(_MAX_DEPTH):
            if owner is None:
                return
            yield owner
            owner = self.by_uid.get(owner.uid)

    def unknown(self, owners: Iterable[Owner | None], kinds: Iterable[str]) -> set[str]:
        """Those of `kinds` of which an owner in a pod's chain is not known yet."""
        wanted, found = set(kinds), set()
        for first in owners:
            for owner in self.chain(first):
                if owner.kind in wanted and owner.uid not in self.by_uid:
                    found.add(owner.kind)
        return found


@dataclass(slots=True)
class PodIndex:
    """Living pods by everything that owns them.

    Attributes:
        by_owner: Pods by the uid of each owner in their chain.
        every: All of them.
        unresolved: Pods by namespace whose chain ends at something that cannot be looked up.
        waiting: Those that wait for a node with accelerators.
    """

    by_owner: dict[str, list[PodState]] = field(default_factory=lambda: defaultdict(list))
    unresolved: dict[str, list[PodState]] = field(default_factory=lambda: defaultdict(list))
    every: list[PodState] = field(default_factory=list)
    waiting: list[OwnedPod] = field(default_factory=list)

    def of_target(self, namespace: str, uid: str, selector: str) -> list[PodState]:
        """Pods of a target: those that it owns.

        Where it owns none that can be seen, its scale's selector selects from those whose owner
        cannot be looked up.
        """
        owned = self.owned_by(uid)
        return owned if owned or not selector else self.selected(namespace, selector)

    def owned_by(self, uid: str) -> list[PodState]:
        """Pods in whose chain `uid` is."""
        return self.by_owner.get(uid, [])

    def selected(self, namespace: str, selector: str) -> list[PodState]:
        """Pods of a namespace that a selector matches and whose owner cannot be looked up."""
        test = parse_selector(selector)
        return [pod for pod in self.unresolved.get(namespace, ()) if test(pod.labels)]


def index(pods: Sequence[OwnedPod], links: Links) -> PodIndex:
    """Sort pods by their owners.

    A pod that owns others (the leader of a group) is a link of its own.
    """
    leaders = {pod.state.uid: pod.owner for pod in pods}
    every = Links({**leaders, **links.by_uid})
    found = PodIndex(every=[pod.state for pod in pods])
    found.waiting += [pod for pod in pods if pod.needs is not None]
    for pod in pods:
        last: Owner | None = None
        for last in every.chain(pod.owner):
            found.by_owner[last.uid].append(pod.state)
        if last is not None and last.uid not in every.by_uid and last.kind not in LINK_KINDS:
            found.unresolved[pod.state.namespace].append(pod.state)
    return found


_REQUIREMENT = re.compile(
    r"\s*(?:(?P<not>!)\s*(?P<absent>[^\s,()=!]+)|(?P<key>[^\s,()=!]+)\s*"
    r"(?:(?P<op>==|=|!=)\s*(?P<value>[^\s,()]*)|(?P<set>in|notin)\s*\((?P<values>[^)]*)\))?)\s*"
    r"(?:,|$)"
)


def parse_selector(text: str) -> Callable[[Mapping[str, str]], bool]:
    """Test of labels that a selector such as `app=a,tier in (x,y),!old` means.

    An empty selector matches nothing: it means that the pods are not known, not all pods.
    """
    tests: list[Callable[[Mapping[str, str]], bool]] = []
    at = 0
    while at < len(text):
        found = _REQUIREMENT.match(text, at)
        if found is None or found.end() == at:
            return lambda labels: False
        tests.append(_requirement(found))
        at = found.end()
    return lambda labels: bool(tests) and all(test(labels) for test in tests)


def _requirement(found: re.Match[str]) -> Callable[[Mapping[str, str]], bool]:
    key, value = found["key"], found["value"]
    if found["not"]:
        absent = found["absent"]
        return lambda labels: absent not in labels
    if found["set"]:
        values = {part.strip() for part in found["values"].split(",")}
        is_in = found["set"] == "in"
        return lambda labels: (labels.get(key) in values) is is_in
    if found["op"] == "!=":
        return lambda labels: labels.get(key) != value
    if found["op"]:
        return lambda labels: labels.get(key) == value
    return lambda labels: key in labels
