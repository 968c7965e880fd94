"""Pods of one template, and the workload whose revisions they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise

from services.lab.cluster.controllers.manifests import PodLife
from services.lab.cluster.storage.resources import Obj, ResourceType
from services.simulator.engine.engine import Interval


@dataclass(slots=True)
class Group:
    """Pods of one template: those of a ReplicaSet or a StatefulSet.

    Attributes:
        wanted: Pods that it is to have; the engine has fewer where a quota refuses some.
        refusal: Message about the first pod that was refused.
        revisions: Of a StatefulSet: the template's hash of each pod that is of an earlier one.
    """

    engine_key: str
    owner_type: ResourceType
    owner_name: str
    hash: str
    template: Obj
    revision: int
    wanted: int = 0
    refusal: str = ""
    revisions: dict[int, str] = field(default_factory=dict)
    lives: dict[int, PodLife] = field(default_factory=dict)
    ordinals: dict[str, int] = field(default_factory=dict)

    def from_the_end(self) -> list[int]:
        """Ordinals of the engine, that of the highest name first: how StatefulSets give up pods."""
        names = sorted(self.ordinals, key=lambda name: -int(name.rpartition("-")[2]))
        return [self.ordinals[name] for name in names]


@dataclass(slots=True)
class SimulatedWorkload:
    """A Deployment, StatefulSet or ReplicaSet of its own with its groups, oldest revision first."""

    rtype: ResourceType
    namespace: str
    name: str
    groups: list[Group] = field(default_factory=list)
    n_revisions: int = 0

    @property
    def label(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


def sum_of(parts: Iterable[list[Interval]]) -> list[Interval]:
    """Piecewise-constant histories added up."""
    steps: dict[float, list[int]] = {}
    for part in parts:
        for piece in part:
            for at_s, sign in ((piece.start_s, 1), (piece.end_s, -1)):
                step = steps.setdefault(at_s, [0, 0])
                step[0] += sign * piece.ready
                step[1] += sign * piece.bound
    total: list[Interval] = []
    ready = bound = 0
    times = sorted(steps)
    for start_s, end_s in pairwise(times):
        ready += steps[start_s][0]
        bound += steps[start_s][1]
        last = total[-1] if total else None
        if last is not None and (last.ready, last.bound) == (ready, bound):
            total[-1] = replace(last, end_s=end_s)
        else:
            total.append(Interval(start_s, end_s, ready, bound))
    return total
