"""What the targets of the fleet hold of the GPU budgets, and what the budgets are.

What a target holds is the larger of what it asks for and of the replicas that can be seen, those
that are leaving included. Where it cannot be seen it is the larger of what was decided last and of
what was last seen; of what was never seen it is the most that it may be, never nothing. Targets of
a spec that went bad are seen as those of the last good one, and so are, for an hour, those of an
autoscaler that is gone: they run on, and it may be made again any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from services.kernel.domain import known_spec, part_specs, stored_targets
from services.kernel.domain.schedules import bounds_at
from services.operator.cluster.gpu_types import is_product, may_be_both
from services.operator.cluster.placement import NodeState, Shape, nodes_of_type
from services.operator.cluster.pods import PodState
from services.operator.cluster.targets import TargetState
from services.operator.devices.seen_devices import is_claimed
from services.operator.plan.gpu_room import TargetUse
from services.operator.plan.part_members import members_of
from services.operator.plan.plan import StoredDecision
from services.operator.plan.supply import GpusInUse
from services.operator.reconcile import budgets, repository
from services.operator.reconcile.find_targets import Targets, find_targets, list_pods
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.resource.autoscaler import Autoscaler, Key, ScaleTarget, TargetKey
from services.operator.stored import budgets_repository
from services.operator.wire.discovery import WELL_KNOWN

_USUAL_VERSION = "apps/v1"
LEFT_BEHIND_FOR = timedelta(hours=1)
"""How long targets hold GPUs of a budget after their autoscaler has gone.

Long enough to make deleted objects again by hand; short enough that who takes a service out of
Harmony for good has its GPUs of the budget for others on the same day.
"""


@dataclass(frozen=True, slots=True)
class FleetAtHand:
    """The autoscalers that a pass applies decisions to, and a way to see all the others.

    Attributes:
        view: What the pass works on.
        ids: Workload id of each registered autoscaler.
        whole: Gives the view of every autoscaler as it is now; asked where a budget matters.
        known: Every autoscaler as the last pass saw it: what nodes have is as old as that.
    """

    view: View
    ids: Mapping[Key, int]
    whole: Callable[[], View]
    known: View


def load_gpu_budgets(
    connection: Connection, deps: OperatorDeps, view: View, now: datetime
) -> dict[str, int | None]:
    """GPUs by type; None: not known. What is listed no longer holds as stored while it is fresh.

    Of a type with a total over the cells no more than this cluster's part of it.
    """
    known = budgets_repository.load_gpu_budgets(connection, now - budgets.stale_after(deps))
    if view.budgets is not None:
        gone: dict[str, int | None] = {k: v for k, v in known.items() if v is not None}
        listed = [budgets.to_budget(resource) for resource in view.budgets]
        known = gone | {row.gpu_type: row.gpus for row in budgets.to_rows(listed)}
    return with_cell_parts(known, budgets_repository.load_cell_parts(connection))


def with_cell_parts(
    known: Mapping[str, int | None], parts: Mapping[str, int | None]
) -> dict[str, int | None]:
    """Budgets that hold a cluster's parts of totals; what is not known of either is not known.

    Args:
        known: GPUs by type; the row of any type: not all budgets are known.
        parts: Parts by type.
    """
    held: dict[str, int | None] = {}
    for gpu_type, part in parts.items():
        is_limited = gpu_type in known or budgets.ANY_TYPE in known
        limit = known.get(gpu_type) if is_limited else part
        held[gpu_type] = None if limit is None or part is None else min(limit, part)
    return {**known, **held}


def target_uses(
    connection: Connection,
    deps: OperatorDeps,
    fleet: FleetAtHand,
    newest: Mapping[int, StoredDecision],
) -> dict[TargetKey, TargetUse]:
    """What each target of the fleet asks for and holds, by target.

    An autoscaler that cannot be used counts by its last good spec, as it does for decisions. Of
    several of one target the oldest says what it is, for that one alone scales it.
    """
    view, now = fleet.whole(), deps.clock.now()
    stored = _last_good_specs(connection, fleet, view.autoscalers)
    members: list[_Member] = []
    for autoscaler in sorted(view.autoscalers, key=lambda each: each.seniority):
        id_ = fleet.ids.get(autoscaler.key, -1)
        members += _members(id_, autoscaler, stored.get(autoscaler.key), now)
    members += _left_behind(connection, now)
    view = _with_unlisted(deps, view, [each.member for each in members])
    unread = [each for each in members if _is_unread(view, each.member)]
    ids, parts = [each.workload_id for each in unread], [each.part for each in unread]
    seen = repository.load_last_seen(connection, ids, parts)
    found: dict[TargetKey, TargetUse] = {}
    for each in members:
        least = _least_held(newest.get(each.workload_id), each, seen)
        use = _use(deps, view, each, least)
        found.setdefault(each.member.target.key, use)
    return found


@dataclass(frozen=True, slots=True)
class _Member:
    """One target.

    Attributes:
        part: Name of the variant or pool; empty: the workload has one target.
        member: It as an autoscaler of its own.
        least: Its minimum now.
        most: Its maximum now.
    """

    workload_id: int
    part: str
    member: Autoscaler
    gpu_type: str
    gpus_per_replica: int
    least: int
    most: int


def _left_behind(connection: Connection, now: datetime) -> Iterator[_Member]:
    """Targets of autoscalers that are gone; one that another autoscaler names counts as its."""
    for row in repository.load_left_behind(connection, now - LEFT_BEHIND_FOR):
        target = ScaleTarget(_USUAL_VERSION, "", row["namespace"], "")
        gone = Autoscaler(row["namespace"], row["name"], "", 0, now, target, None)
        yield from _members(row["id"], gone, row["spec"], now)


def _is_unread(view: View, member: Autoscaler) -> bool:
    """It cannot be seen, and is not known to be gone either."""
    problem = view.targets.problems.get(member.target.key)
    return view.target_of(member) is None and (problem is None or not problem.is_known)


def _members(id_: int, autoscaler: Autoscaler, stored: Any, now: datetime) -> Iterator[_Member]:
    """The targets of an autoscaler; of one whose spec is bad those of its stored one.

    Of a stored spec that somebody spoilt by hand each target as far as it can be told: no other
    workload waits for it.
    """
    if autoscaler.spec is None and stored is None:
        return
    try:
        whole = replace(autoscaler, spec=autoscaler.spec or known_spec(stored))
    except ValidationError:
        for each in stored_targets(stored):
            member = replace(autoscaler, target=_target_of(autoscaler, each.target))
            bounds = each.min_replicas, each.max_replicas
            yield _Member(id_, each.name, member, each.gpu_type, each.gpus_per_replica, *bounds)
        return
    for name, member in _parts(whole):
        spec = member.spec
        assert spec is not None, "a part has the spec of its own"
        bounds = bounds_at(spec, now)
        yield _Member(id_, name, member, spec.gpu_type, spec.gpus_per_replica, *bounds)


def _parts(autoscaler: Autoscaler) -> Iterator[tuple[str, Autoscaler]]:
    """Each part's name with its autoscaler; of a spec that went bad those of the last good one."""
    spec = autoscaler.spec
    assert spec is not None, "what is divided has a spec"
    if autoscaler.parts:
        names = (part.name for part in autoscaler.parts)
        yield from zip(names, members_of(autoscaler), strict=True)
    elif not spec.parts:
        yield "", replace(autoscaler, target=_target_of(autoscaler, spec.target))
    else:
        for part, own in zip(spec.parts, part_specs(spec), strict=True):
            yield (
                part.name,
                replace(autoscaler, spec=own, target=_target_of(autoscaler, own.target)),
            )


def _target_of(autoscaler: Autoscaler, stored: str) -> ScaleTarget:
    """A stored target; its API version is that of the object, which names it still."""
    kind, _, name = stored.partition("/")
    for target in (autoscaler.target, *autoscaler.written):
        if (target.kind, target.name) == (kind, name):
            return target
    return replace(autoscaler.target, api_version=_USUAL_VERSION, kind=kind, name=name)


def _with_unlisted(deps: OperatorDeps, view: View, members: Sequence[Autoscaler]) -> View:
    """The view with the targets that only a last good spec names, and their pods.

    One of a custom kind whose API version is not known any longer stays unread.
    """
    found = view.targets
    missing = {
        target.key: target
        for target in (member.target for member in members)
        if target.key not in found.states
        and target.key not in found.problems
        and (
            (target.api_version, target.kind) in WELL_KNOWN or target.api_version != _USUAL_VERSION
        )
    }
    if not missing:
        return view
    scales = deps.memory.scales
    more = find_targets(deps, missing.values())
    deps.memory.scales = scales | deps.memory.scales
    targets = Targets(
        found.states | more.states,
        found.problems | more.problems,
        found.has_custom or more.has_custom,
    )
    return replace(view, targets=targets, pods=list_pods(deps, targets))


def _last_good_specs(
    connection: Connection, fleet: FleetAtHand, autoscalers: Sequence[Autoscaler]
) -> dict[Key, Mapping[str, Any]]:
    """Stored specs of the autoscalers that cannot be used."""
    bad = {a.key: fleet.ids[a.key] for a in autoscalers if a.spec is None and a.key in fleet.ids}
    if not bad:
        return {}
    stored = repository.load_specs(connection, list(bad.values()))
    return {key: stored[id_] for key, id_ in bad.items() if id_ in stored}


def _use(deps: OperatorDeps, view: View, each: _Member, unread: int) -> TargetUse:
    gpu_type, gpus, member = each.gpu_type, each.gpus_per_replica, each.member
    state = view.target_of(member)
    if state is None:
        asked = unread if _is_unread(view, member) else 0
        return TargetUse(gpu_type, gpus, asked, least=each.least)
    replicas = view.replicas_of(member)
    leaving = sum(pod.is_leaving for pod in replicas)
    asked = asked_for(deps, member.target.key, state)
    return TargetUse(gpu_type, gpus, asked, len(replicas) - leaving, leaving, each.least)


def asked_for(deps: OperatorDeps, key: TargetKey, state: TargetState) -> int:
    """Replicas that a target asks for: as listed, or more where a patch is newer than the list."""
    patched = deps.memory.patched.get(key)
    is_news = patched is not None and patched.is_news_to(state)
    return max(state.replicas, patched.replicas) if patched and is_news else state.replicas


def _least_held(
    decision: StoredDecision | None, each: _Member, seen: Mapping[tuple[int, str], int]
) -> int:
    """Replicas of a target that cannot be read, by the newest decision and by what was last seen.

    One that was never seen may have any count up to its maximum, whatever was decided.
    """
    known = seen.get((each.workload_id, each.part))
    counts = [each.most if known is None else known]
    if decision is not None and (each.part in decision.parts or not each.part):
        counts += decision.parts.get(each.part, (decision.current, decision.desired))
    return max(counts)


def gpus_in_use(
    deps: OperatorDeps,
    view: View,
    gpu_type: str,
    members: Iterable[Autoscaler],
    told: Mapping[str, str],
) -> GpusInUse:
    """GPUs that the targets of autoscalers and all other pods ask for.

    Args:
        deps: With what was patched since the last list.
        view: The cluster.
        gpu_type: Of which they are.
        members: The autoscalers of the type.
        told: Types that their GPUAutoscalers state, by the uids of pods.
    """
    asked, own, resources = 0, set(), set[str]()
    own_devices = 0
    for member in members:
        target = view.target_of(member)
        if target is None or member.spec is None:
            continue
        resources |= {each.resource for pod in target.shape for each in pod.asked}
        own |= {pod.uid for pod in view.pods_of(member)}
        replicas = view.replicas_of(member)
        leaving = sum(each.is_leaving for each in replicas)
        bound = sum(bool(each.node) for each in replicas)
        own_devices += bound * _devices_of(target.shape)
        wanted = asked_for(deps, member.target.key, target)
        asked += member.spec.gpus_per_replica * (max(wanted, len(replicas) - leaving) + leaving)
    nodes = {node.name: node for node in nodes_of_type(view.nodes.values(), gpu_type)}
    resources |= {each.resource for node in nodes.values() for each in node.accelerators}
    maybe = {name: node.maybe_of_type(gpu_type) for name, node in view.nodes.items()}
    of_pods = _OfPods(gpu_type, maybe, resources, told)
    others = sum(of_pods.asked(pod) for pod in view.pods.every if pod.uid not in own)
    allocated = view.devices.allocated
    held = sum(len(node.claimable & allocated) for node in nodes.values())
    others += max(0, held - own_devices)
    return GpusInUse(asked, others, sum(node.gpus for node in nodes.values()))


def _devices_of(shape: Shape) -> int:
    """Devices that one replica claims."""
    return sum(each.count for pod in shape for each in pod.asked if is_claimed(each.resource))


@dataclass(frozen=True, slots=True)
class _OfPods:
    """Accelerators of a type among those that pods ask for.

    Attributes:
        nodes: All nodes by name, with those accelerators alone that are of the type, or may be of
            it since nothing tells; None: it has none.
        resources: By which the type is asked for; empty: nobody knows, so it may be any.
        told: Types that their GPUAutoscalers state, by the uids of pods.
    """

    gpu_type: str
    nodes: Mapping[str, NodeState | None]
    resources: set[str]
    told: Mapping[str, str]

    def asked(self, pod: PodState) -> int:
        """What a pod holds of them; of one that waits: what may come to be, as far as it says.

        One that a scheduling gate holds asks for no node until it is let go.
        """
        if pod.is_gated:
            return 0
        if pod.node in self.nodes:
            node = self.nodes[pod.node]
            offered = {each.resource for each in node.accelerators} if node is not None else set()
            return sum(
                each.count
                for each in pod.asked
                if each.resource in offered and self._may_be(each.resource)
            )
        # it waits, or its node is not known
        told = self.told.get(pod.uid, self.gpu_type)
        return sum(
            each.count
            for each in pod.asked
            if self._may_be(each.resource)
            and (not each.product or is_product(each.product, self.gpu_type))
            and may_be_both(each.resource, told, self.gpu_type)
        )

    def _may_be(self, resource: str) -> bool:
        """True where the type may be asked for by a resource."""
        return not self.resources or resource in self.resources
