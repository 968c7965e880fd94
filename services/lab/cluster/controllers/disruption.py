"""PodDisruptionBudgets: whether one more pod may be evicted."""

from __future__ import annotations

import math

from services.lab.cluster.storage import failures
from services.lab.cluster.storage.resources import POD_DISRUPTION_BUDGETS, PODS, Obj
from services.lab.cluster.storage.selection import matches_label_selector
from services.lab.cluster.storage.store import Store


def check_budgets(store: Store, pod: Obj) -> None:
    """Raises 429 when evicting `pod` would break a budget."""
    namespace = pod["metadata"]["namespace"]
    labels = pod["metadata"].get("labels") or {}
    if not _is_ready(pod):
        return
    for stored in store.each(POD_DISRUPTION_BUDGETS, namespace):
        spec = stored.obj["spec"]
        selector = spec.get("selector") or {}
        if not matches_label_selector(selector, labels):
            continue
        pods = [
            each.obj
            for each in store.each(PODS, namespace)
            if matches_label_selector(selector, each.facts.labels)
        ]
        n_ready = sum(map(_is_ready, pods))
        if n_ready - 1 < _needed(spec, len(pods)):
            name = stored.obj["metadata"]["name"]
            why = (
                "Cannot evict pod as it would violate the pod's disruption budget. "
                f"The disruption budget {name} needs {_needed(spec, len(pods))} healthy pods and "
                f"has {n_ready} currently"
            )
            raise failures.too_many_requests(why, 10)


def _is_ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _needed(spec: Obj, n_pods: int) -> int:
    if spec.get("minAvailable") is not None:
        return _count(spec["minAvailable"], n_pods)
    return n_pods - _count(spec.get("maxUnavailable", 0), n_pods)


def _count(value: int | str, n_pods: int) -> int:
    if isinstance(value, str):
        return math.ceil(float(value.rstrip("%")) * n_pods / 100)
    return value
