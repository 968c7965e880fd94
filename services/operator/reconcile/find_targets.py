"""Find scale targets and their pods: one LIST per kind in use, and `/scale` of custom kinds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from services.kernel import telemetry
from services.operator.cluster import ownership, targets
from services.operator.cluster.listed import ODD, ListedTarget
from services.operator.cluster.ownership import LINK_KINDS, Links, OwnedPod, PodIndex
from services.operator.cluster.rollout import STILL_S
from services.operator.cluster.targets import Object, TargetProblem, TargetState
from services.operator.kueue.gates import follow_gates
from services.operator.reconcile.memory import KnownRollout, KnownScale, OperatorDeps, UnreadScale
from services.operator.resource.autoscaler import ScaleTarget, TargetKey
from services.operator.wire.discovery import WELL_KNOWN, ServedKind, may_be_of_kind
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

Names = dict[tuple[str, str], ScaleTarget]
"""Targets by namespace and name."""
_UNREACHABLE = 0
_OWN_PODS = {(served.group, served.kind) for served in WELL_KNOWN.values()}


@dataclass(slots=True)
class Targets:
    """Targets that were found, and the problems of the others.

    Attributes:
        has_custom: Some are of kinds whose pods may be several owners away.
    """

    states: dict[TargetKey, TargetState] = field(default_factory=dict)
    problems: dict[TargetKey, TargetProblem] = field(default_factory=dict)
    has_custom: bool = False


def find_targets(deps: OperatorDeps, wanted: Iterable[ScaleTarget]) -> Targets:
    """Look up every target.

    A kind that cannot be read costs its own targets only; an API server that is away, the pass.

    Raises:
        KubeError: The API server is away, or Deployments or StatefulSets cannot be read.
    """
    by_kind: dict[tuple[str, str], set[ScaleTarget]] = defaultdict(set)
    for target in wanted:
        by_kind[target.api_version, target.kind].add(target)
    found, seen = Targets(), set[str]()
    for (api_version, kind), group in sorted(by_kind.items()):
        problem = _find_kind(deps, api_version, kind, group, found, seen)
        for target in group if problem is not None else ():
            assert problem is not None, "the loop is empty without one"
            found.problems[target.key] = problem
    deps.memory.scales = {uid: s for uid, s in deps.memory.scales.items() if uid in seen}
    _mark_hung(deps, found)
    add_patched(deps, found)
    return found


def add_patched(deps: OperatorDeps, found: Targets) -> None:
    """Show targets as this process left them, where a list is older than that.

    What is announced from an old count could not be told from what the patch before it made.
    """
    for key, known in deps.memory.patched.items():
        if key in found.states:
            found.states[key] = known.applied_to(found.states[key])


def list_pods(deps: OperatorDeps, found: Targets) -> PodIndex:
    """Living pods by owner; what stands between is listed when it is not known yet.

    It is listed again when a target has no pods: what stands between keeps its uid when another
    owner takes it over, as a Deployment does that is made anew while its pods run on.
    """
    listed: list[OwnedPod] = deps.kube.list_objects("Pod")
    pods, deps.memory.gates = follow_gates(listed, deps.memory.gates, deps.clock.now())
    kinds = LINK_KINDS if found.has_custom else LINK_KINDS[:1]
    old = []
    for kind in kinds:
        if _links(deps).unknown((pod.owner for pod in pods), (kind,)):
            _list_links(deps, found, kind)
        elif kind in deps.memory.links:
            old.append(kind)
    by_owner = ownership.index(pods, _links(deps))
    has_all = all(s.replicas == 0 or by_owner.owned_by(s.uid) for s in found.states.values())
    if has_all or not old:
        return by_owner
    for kind in old:
        _list_links(deps, found, kind)
    return ownership.index(pods, _links(deps))


def waiting_of_others(found: Targets, pods: PodIndex) -> list[OwnedPod]:
    """Pods that wait for a node with accelerators and are of no target.

    Those of a target are among its replicas.
    """
    if not pods.waiting:
        return []
    own = {
        pod.uid
        for (_, _, namespace, _), state in found.states.items()
        for pod in pods.of_target(namespace, state.uid, state.selector)
    }
    return [pod for pod in pods.waiting if pod.state.uid not in own]


def _list_links(deps: OperatorDeps, found: Targets, kind: str) -> None:
    """List the owners of what is of `kind`.

    Where a kind that may stand between cannot be listed, targets of custom kinds are unreadable:
    without their pods they would seem to have no replicas.
    """
    try:
        between: list[ListedTarget] = deps.kube.list_objects(kind)
    except KubeError as error:
        if kind == LINK_KINDS[0]:
            raise
        allow_forbidden(error, "target_unreadable")
        _drop_custom(found, error.message)
    else:
        deps.memory.links[kind] = {each.state.uid: each.owner for each in between}


def _links(deps: OperatorDeps) -> Links:
    return Links({uid: o for links in deps.memory.links.values() for uid, o in links.items()})


def _drop_custom(found: Targets, message: str) -> None:
    """Make targets of custom kinds unreadable: which pods are theirs is not known."""
    for key in [key for key in found.states if key[:2] not in _OWN_PODS]:
        del found.states[key]
        found.problems[key] = targets.without_pods(message)


def allow_forbidden(error: KubeError, reason: str) -> None:
    """Count and log a missing right, so that the pass goes on without what needs it.

    Raises:
        KubeError: It is another error.
    """
    if error.status != 403:
        raise error
    note_unreadable(error, reason)


def note_unreadable(error: KubeError, reason: str) -> None:
    """Count and log what cannot be read."""
    log.warning(reason, error=error.message)
    telemetry.reconcile_errors_total.labels(reason).inc()


def _mark_hung(deps: OperatorDeps, found: Targets) -> None:
    """Mark roll-outs that hang; a new operator counts the time from its own start."""
    now, known = deps.clock.now(), deps.memory.rollouts
    for key, state in found.states.items():
        if not state.rollout:
            known.pop(state.uid, None)
            continue
        before = known.get(state.uid)
        if before is None or before.progress != state.rollout:
            before = known[state.uid] = KnownRollout(state.rollout, now)
        if (now - before.since).total_seconds() >= STILL_S:
            found.states[key] = targets.with_hung_rollout(state, before.since)


def _find_kind(
    deps: OperatorDeps,
    api_version: str,
    kind: str,
    group: set[ScaleTarget],
    found: Targets,
    seen: set[str],
) -> TargetProblem | None:
    """Look up the targets of one kind; the problem of all of them, if there is one."""
    try:
        served = deps.kube.find_kind(api_version, kind)
    except KubeError as error:
        return _unreadable(error, "discovery", next(iter(group)))
    if served is None:
        return targets.not_served(next(iter(group)))
    if not served.has_scale or not served.is_namespaced:
        return targets.not_scalable(served)
    is_well_known = (api_version, kind) in WELL_KNOWN
    found.has_custom |= not is_well_known
    try:
        names = {(target.namespace, target.name): target for target in group}
        if is_well_known:
            _find_known(deps.kube.list_objects(kind), names, found)
        else:
            resources = deps.kube.list_kind(served)
            seen |= _find_custom(deps, served, resources, names, found)
    except KubeError as error:
        if is_well_known and error.status != 403:
            raise
        return _unreadable(error, served.resource, next(iter(group)), served)
    for target in names.values():
        found.problems[target.key] = targets.missing(target)
    return None


def _find_known(listed: Iterable[ListedTarget], names: Names, found: Targets) -> None:
    """Targets of kinds that every cluster has; what is found leaves `names`."""
    for each in listed:
        target = names.pop((each.namespace, each.name), None)
        if target is None:
            continue
        if each.problem:
            found.problems[target.key] = _of_odd_fields(target, each.state.uid, each.problem)
        else:
            found.states[target.key] = each.state


def _of_odd_fields(target: ScaleTarget, uid: str, error: str) -> TargetProblem:
    telemetry.reconcile_errors_total.labels("target_unreadable").inc()
    log.warning("target_unreadable", what=target.label, uid=uid, error=error)
    return targets.unreadable(f"{target.label} has fields of other types ({error})")


def _find_custom(
    deps: OperatorDeps,
    served: ServedKind,
    resources: Iterable[Object],
    names: Names,
    found: Targets,
) -> set[str]:
    """Targets of another kind; what is found leaves `names`.

    Returns:
        Their uids.
    """
    seen = set()
    for resource in resources:
        metadata = resource["metadata"]
        target = names.pop((str(metadata["namespace"]), str(metadata["name"])), None)
        if target is not None:
            seen.add(str(metadata["uid"]))
            _read_scale(deps, served, target, resource, found)
    return seen


def _read_scale(
    deps: OperatorDeps, served: ServedKind, target: ScaleTarget, resource: Object, found: Targets
) -> None:
    """A target whose replicas only `/scale` gives; read again when the object changed."""
    metadata = resource["metadata"]
    uid, version = str(metadata["uid"]), str(metadata["resourceVersion"])
    known = deps.memory.scales.get(uid)
    if known is None or not known.is_of(version, deps.clock.now()):
        known = deps.memory.scales[uid] = _ask_scale(deps, served, target, version, known)
    scale = known.scale
    if isinstance(scale, UnreadScale):
        found.problems[target.key] = scale.problem
        return
    try:
        state = targets.to_target_state(resource, scale.replicas, scale.selector)
    except ODD as error:
        found.problems[target.key] = _of_odd_fields(target, uid, f"{error!r:.200}")
        return
    found.states[target.key] = state


def _ask_scale(
    deps: OperatorDeps,
    served: ServedKind,
    target: ScaleTarget,
    version: str,
    before: KnownScale | None,
) -> KnownScale:
    """The scale as it is now, or why it cannot be read.

    An object whose replicas are not set yet is answered 500 for as long as they are not.
    """
    try:
        return KnownScale(version, deps.kube.get_scale(target, is_final_500=True))
    except KubeError as error:
        problem = _unreadable(error, f"{served.resource}/scale", target, served)
        problem = targets.missing(target) if error.is_missing else problem
    since = now = deps.clock.now()
    if before is not None and before.resource_version == version:
        since = before.scale.since if isinstance(before.scale, UnreadScale) else now
    return KnownScale(version, UnreadScale(problem, since, now))


def _unreadable(
    error: KubeError, what: str, target: ScaleTarget, served: ServedKind | None = None
) -> TargetProblem:
    """Count and log an error; the problem of the targets of a kind.

    Raises:
        KubeError: The API server is away.
    """
    is_of_kind = may_be_of_kind(error, target.api_version, target.kind)
    if error.status == _UNREACHABLE and not is_of_kind:
        raise error
    telemetry.reconcile_errors_total.labels("target_unreadable").inc()
    log.warning("target_unreadable", what=what, error=error.message)
    if served is not None and error.status == 403:
        return targets.forbidden(served, error.message)
    return targets.unreadable(error.message)
