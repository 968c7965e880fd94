"""Reading the cluster: one LIST per kind, turned into values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from services.kernel import telemetry
from services.operator import kube as cluster
from services.operator import snapshot, translate
from services.operator.autoscaler import Autoscaler
from services.operator.kube_http import KubeError
from services.operator.memory import Deps, Translated
from services.operator.plan import Situation
from services.operator.schemas import SLAClassSpec
from services.operator.snapshot import FreeGpus, PodState, TargetState

log = structlog.get_logger("operator")


@dataclass(frozen=True, slots=True)
class View:
    """The cluster as it was listed.

    Attributes:
        specs: `workloads.spec` of each autoscaler that can be used, by position.
        targets: By (kind, namespace, name).
        pods: By the uid of the owning target.
        foreign: Who else scales what; None: could not be read.
        budgets: The `GPUBudget` objects; None: could not be listed.
    """

    autoscalers: list[Autoscaler]
    specs: list[Mapping[str, Any] | None]
    targets: dict[tuple[str, str, str], TargetState]
    pods: dict[str, list[PodState]]
    pod_uids: set[str]
    free: FreeGpus
    foreign: Mapping[tuple[str, str, str], str] | None
    rivals: Mapping[str, str] = field(default_factory=dict)
    budgets: list[cluster.Object] | None = field(default_factory=list)

    def target_of(self, autoscaler: Autoscaler) -> TargetState | None:
        """The autoscaler's target, where it exists."""
        return self.targets.get(snapshot.target_key(autoscaler.target))

    def pods_of(self, autoscaler: Autoscaler) -> list[PodState]:
        """Pods that the autoscaler's target owns."""
        target = self.target_of(autoscaler)
        return [] if target is None else self.pods.get(target.uid, [])


def observe(deps: Deps) -> View:
    """List everything.

    Raises:
        KubeError: The API server cannot be read.
    """
    kube = deps.kube
    resources = kube.list_objects("GPUAutoscaler")
    classes: Mapping[str, SLAClassSpec] = {}
    if any((((r.get("spec") or {}).get("sla")) or {}).get("class") for r in resources):
        classes = translate.to_classes(kube.list_objects("SLAClass"))
    translated = _translate(deps, resources, classes)
    autoscalers = [entry.autoscaler for entry in translated]
    kinds = [k for k in cluster.TARGET_KINDS if any(a.target.kind == k for a in autoscalers)]
    targets: dict[tuple[str, str, str], TargetState] = {}
    for kind, objects in cluster.list_targets(kube, kinds).items():
        targets |= snapshot.to_target_states(objects, kind)
    pods = _pods(deps) if autoscalers else []
    nodes = snapshot.to_nodes(kube.list_objects("Node")) if autoscalers else []
    return View(
        autoscalers,
        [entry.spec for entry in translated],
        targets,
        snapshot.pods_by_owner(pods),
        {pod.uid for pod in pods},
        snapshot.free_gpus(nodes, pods),
        _foreign(deps) if autoscalers else {},
        rivals(autoscalers),
        _budgets(deps),
    )


def _translate(
    deps: Deps, resources: list[cluster.Object], classes: Mapping[str, SLAClassSpec]
) -> list[Translated]:
    """Translate what changed; a status that changed alone needs no new translation."""
    known = deps.memory.translated
    found: dict[str, Translated] = {}
    for resource in resources:
        metadata = resource["metadata"]
        source = (
            metadata.get("generation"),
            metadata.get("annotations"),
            metadata.get("labels"),
            classes,
        )
        entry = known.get(metadata["uid"])
        if entry is None or entry.source != source or not metadata.get("generation"):
            autoscaler = translate.to_autoscaler(resource, classes)
            spec = None if autoscaler.spec is None else autoscaler.spec.model_dump(mode="json")
            entry = Translated(source, autoscaler, spec)
        else:
            fresh = replace(entry.autoscaler, status=resource.get("status") or {})
            entry = replace(entry, autoscaler=fresh)
        found[metadata["uid"]] = entry
    deps.memory.translated = found
    return list(found.values())


def _pods(deps: Deps) -> list[PodState]:
    resources = deps.kube.list_objects("Pod")
    memory = deps.memory
    if snapshot.unknown_replica_sets(resources, memory.replica_set_owners):
        memory.replica_set_owners = snapshot.to_replica_set_owners(
            deps.kube.list_objects("ReplicaSet")
        )
    return snapshot.to_pods(resources, memory.replica_set_owners)


def _budgets(deps: Deps) -> list[cluster.Object] | None:
    try:
        return deps.kube.list_objects("GPUBudget")
    except KubeError as error:
        log.warning("budgets_unreadable", error=error.message)
        telemetry.reconcile_errors_total.labels("budgets_unreadable").inc()
        return None


def _foreign(deps: Deps) -> Mapping[tuple[str, str, str], str] | None:
    try:
        return cluster.foreign_autoscalers(deps.kube)
    except KubeError as error:
        log.warning("autoscalers_unreadable", error=error.message)
        telemetry.reconcile_errors_total.labels("autoscalers_unreadable").inc()
        return None


def rivals(autoscalers: list[Autoscaler]) -> dict[str, str]:
    """For each autoscaler but the oldest of a target: the oldest, which keeps the target."""
    oldest: dict[tuple[str, str, str], Autoscaler] = {}
    for autoscaler in sorted(autoscalers, key=lambda a: (a.created_at, a.uid)):
        oldest.setdefault(snapshot.target_key(autoscaler.target), autoscaler)
    found = {}
    for autoscaler in autoscalers:
        first = oldest[snapshot.target_key(autoscaler.target)]
        if first.uid != autoscaler.uid:
            found[autoscaler.uid] = f"GPUAutoscaler/{first.name}"
    return found


def situation_of(view: View, autoscaler: Autoscaler) -> Situation:
    """Everything that decides what may be done for an autoscaler."""
    target = view.target_of(autoscaler)
    key = snapshot.target_key(autoscaler.target)
    conflict = view.rivals.get(autoscaler.uid, "") or (view.foreign or {}).get(key, "")
    return Situation(
        spec=autoscaler.spec,
        replicas=None if target is None else target.replicas,
        problem=autoscaler.problem,
        target_problem=_target_problem(autoscaler),
        conflict=conflict,
        is_conflict_known=view.foreign is not None,
        pause=autoscaler.pause,
        approval=autoscaler.approval,
    )


def _target_problem(autoscaler: Autoscaler) -> str:
    target = autoscaler.target
    if target.kind not in cluster.TARGET_KINDS:
        kinds = " or ".join(cluster.TARGET_KINDS)
        return f"scaleTargetRef.kind={target.kind!r} is not supported; use a {kinds}"
    return (
        f"{target.label} does not exist in namespace {target.namespace}; "
        "create it or correct scaleTargetRef"
    )
