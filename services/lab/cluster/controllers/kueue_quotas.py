"""Quotas of a ClusterQueue on GPUs, and the flavor that a pod may have, as Kueue finds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.lab.cluster.controllers.devices import product_label
from services.lab.cluster.storage.resources import Obj
from services.simulator.engine.engine import ANY_GPU_TYPE, EnginePod
from services.simulator.engine.needs import PodToleration, to_taints, to_tolerations


@dataclass(frozen=True, slots=True)
class QuotaPlace:
    """Where the quota of an admitted pod comes from."""

    cluster_queue: str
    flavor: str
    resource: str


Used = Counter[QuotaPlace]
"""GPUs that admitted pods hold."""


@dataclass(frozen=True, slots=True)
class FlavorLimit:
    """What a ClusterQueue may use of one flavor's resource."""

    place: QuotaPlace
    nominal: int
    borrowing: int | None


def spec_of(obj: Obj) -> Obj:
    """Specification of an object that may have none."""
    return obj.get("spec") or {}


def quotas_of(queue: Obj) -> Iterator[FlavorLimit]:
    """The quotas of a ClusterQueue, in the order of its flavors."""
    name = queue["metadata"]["name"]
    for group in spec_of(queue).get("resourceGroups") or ():
        for flavor in group["flavors"]:
            for each in flavor["resources"]:
                limit = each.get("borrowingLimit")
                place = QuotaPlace(name, flavor["name"], each["name"])
                borrowing = None if limit is None else int(limit)
                yield FlavorLimit(place, int(each["nominalQuota"]), borrowing)


def cohort_of(queue: Obj) -> str:
    """Cohort of a ClusterQueue; empty: it has none."""
    spec = spec_of(queue)
    return str(spec.get("cohortName") or spec.get("cohort") or "")


def left_of(quota: FlavorLimit, queues: Mapping[str, Obj], used: Used) -> int:
    """GPUs that a quota has room for, with what its cohort lends (without `lendingLimit`)."""
    place = quota.place
    own = quota.nominal - used[place]
    cohort = cohort_of(queues[place.cluster_queue])
    if not cohort:
        return own
    peers = [
        each
        for queue in queues.values()
        if cohort_of(queue) == cohort
        for each in quotas_of(queue)
        if (each.place.flavor, each.place.resource) == (place.flavor, place.resource)
    ]
    together = sum(each.nominal - used[each.place] for each in peers)
    return together if quota.borrowing is None else min(together, own + quota.borrowing)


def is_fit(flavor: Obj, pod: EnginePod) -> bool:
    """Check whether the nodes of a flavor are some that a pod may go to."""
    spec = spec_of(flavor)
    label = product_label(pod.needs.resource)
    for key, value in (spec.get("nodeLabels") or {}).items():
        if key == label and pod.gpu_type not in (ANY_GPU_TYPE, value):
            return False
        if any(each.key == key and each.value != value for each in pod.needs.labels):
            return False
    tolerations: Sequence[PodToleration] = (
        *pod.needs.tolerations,
        *to_tolerations(spec.get("tolerations") or ()),
    )
    taints = to_taints({"taints": spec.get("nodeTaints") or ()})
    return all(any(each.covers(taint) for each in tolerations) for taint in taints)
