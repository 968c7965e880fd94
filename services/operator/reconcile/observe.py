"""Observe the cluster: one LIST per kind, turned into values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from services.operator.cluster import quotas
from services.operator.cluster.free_gpus import FreeGpus, beside_waiting, free_gpus
from services.operator.cluster.gangs import to_gangs
from services.operator.cluster.listed import ListedAutoscaler
from services.operator.cluster.node_sources import (
    SeenSources,
    learn_pools,
    with_products,
    with_told,
)
from services.operator.cluster.other_autoscalers import OtherAutoscalers, older_autoscalers
from services.operator.cluster.ownership import PodIndex
from services.operator.cluster.placement import NodeState, resources_asked
from services.operator.cluster.pods import PodState, Replicas
from services.operator.cluster.quotas import GpuQuota, QuotasOfNamespace
from services.operator.cluster.targets import TargetState, missing
from services.operator.devices.claim_room import PATIENCE_S, ClaimRoom
from services.operator.devices.claimed_targets import look_up_claims, room_of_claims
from services.operator.devices.seen_devices import AskedDevices, SeenDevices, with_devices
from services.operator.kube.client import Object, list_other_autoscalers
from services.operator.kube.devices import devices_of_targets
from services.operator.kube.node_sources import read_sources
from services.operator.kube.queues import queues_of_targets
from services.operator.kueue.queue_room import QueueRoom, queue_room, queued_pods
from services.operator.kueue.queues import SeenQueues
from services.operator.plan.gpus_to_grow import CEILING, CLAIMS, NODES, REFUSED, GpusToGrow
from services.operator.plan.part_members import combine, members_of
from services.operator.plan.plan import Situation
from services.operator.plan.spot import Leaving, leaving_of, with_claims
from services.operator.plan.supply import ReplicaNeed, TypeSupply
from services.operator.reconcile.find_targets import (
    Targets,
    allow_forbidden,
    find_targets,
    list_pods,
    note_unreadable,
    waiting_of_others,
)
from services.operator.reconcile.memory import OperatorDeps, Translated
from services.operator.resource import translate
from services.operator.resource.autoscaler import Autoscaler, Key, TargetKey
from services.operator.resource.spec import SLAClassSpec
from services.operator.resource.translate import stored_spec
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

_Listed = TypeVar("_Listed")


@dataclass(frozen=True, slots=True)
class View:
    """The cluster as it was listed.

    Attributes:
        specs: `workloads.spec` of each autoscaler that can be used, as JSON, by position.
        object_specs: What autoscalers say by themselves, as JSON, where the API's controls make
            `specs` another, and where annotations hold something beside these.
        pod_uids: Uids of all living pods.
        quotas: Tightest quotas on accelerators by namespace; None: they could not be read.
        others: HPAs and ScaledObjects; None: could not be read.
        older_autoscalers: Label of the oldest GPUAutoscaler of a target, by the uid of each
            younger one of it.
        budgets: The `GPUBudget` objects; None: could not be listed.
        free: What is free, beside what pods of others that wait will take first.
        statuses: Status of each autoscaler as the API server has it, as JSON, by uid.
        nodes: Nodes with GPUs by name, those that take no pods too.
        listed: All nodes by uid, those without GPUs too; None: they were not listed.
        sources: What adds nodes.
        queues: Queues of Kueue that pods are sent to.
        devices: Devices and claims of dynamic resource allocation.
        supplies: Where the GPUs of a type come from; a type that is absent has a fixed supply.
        spot: Names of the spot nodes.
        spot_types: GPU types of which all nodes are stated to be such.
        notices: What tells that a node is about to go, by its name.
        is_live: Its time does not leap, as that of a replay does.
    """

    autoscalers: list[Autoscaler]
    specs: list[bytes | None]
    targets: Targets
    pods: PodIndex
    pod_uids: set[str]
    free: FreeGpus
    others: OtherAutoscalers | None
    quotas: Mapping[str, QuotasOfNamespace] | None = field(default_factory=dict)
    older_autoscalers: Mapping[str, str] = field(default_factory=dict)
    budgets: list[Object] | None = field(default_factory=list)
    statuses: Mapping[str, bytes] = field(default_factory=dict)
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    listed: Mapping[str, NodeState] | None = None
    sources: SeenSources = field(default_factory=SeenSources)
    queues: SeenQueues = field(default_factory=SeenQueues)
    devices: SeenDevices = field(default_factory=SeenDevices)
    supplies: Mapping[str, TypeSupply] = field(default_factory=dict)
    spot: frozenset[str] = frozenset()
    spot_types: frozenset[str] = frozenset()
    notices: Mapping[str, str] = field(default_factory=dict)
    is_live: bool = False
    object_specs: Mapping[Key, bytes] = field(default_factory=dict)

    def members(self) -> Iterator[Autoscaler]:
        """One autoscaler for each target that is scaled: of several of one target the oldest."""
        seen: set[TargetKey] = set()
        for autoscaler in sorted(self.autoscalers, key=lambda each: each.seniority):
            for member in members_of(autoscaler):
                if member.spec is not None and member.target.key not in seen:
                    seen.add(member.target.key)
                    yield member

    def target_of(self, autoscaler: Autoscaler) -> TargetState | None:
        """The autoscaler's target, where it exists."""
        return self.targets.states.get(autoscaler.target.key)

    def version_of(self, autoscaler: Autoscaler) -> str:
        """Version of the autoscaler's target; empty where it does not exist."""
        target = self.target_of(autoscaler)
        return "" if target is None else target.resource_version

    def replicas_of(self, autoscaler: Autoscaler) -> list[PodState]:
        """Replicas of the autoscaler's target: its pods, or groups of them."""
        target = self.target_of(autoscaler)
        if target is None:
            return []
        pods = self.pods_of(autoscaler)
        return pods if target.gang_size == 1 else to_gangs(pods, target.gang_size)

    def pods_of(self, autoscaler: Autoscaler) -> list[PodState]:
        """Pods of the autoscaler's target."""
        target = self.target_of(autoscaler)
        if target is None:
            return []
        return self.pods.of_target(autoscaler.namespace, target.uid, target.selector)

    def leaving(self, autoscaler: Autoscaler) -> Leaving:
        """Replicas of an autoscaler's one target on nodes that are about to go."""
        if not self.notices:
            return Leaving()
        return leaving_of(self.replicas_of(autoscaler), self.notices)

    def gpu_room(self, autoscaler: Autoscaler, replicas: Replicas) -> GpusToGrow:
        """GPUs that more replicas could have, and what holds back the rest."""
        spec, target = autoscaler.spec, self.target_of(autoscaler)
        if spec is None:
            return GpusToGrow(None)
        shape = () if target is None else target.shape
        claims = self.claim_room(autoscaler, replicas)
        need = ReplicaNeed(spec.gpus_per_replica, shape, replicas.pending)
        room = self._by_supply(spec.gpu_type, need)
        if claims is not None and claims.is_known:
            room = GpusToGrow(0, CLAIMS)
        elif claims is not None and not any(pod.asked for pod in shape):
            room = GpusToGrow(None)  # what is asked for by name is known all the same
        supply = self.supplies.get(spec.gpu_type)
        most = None if supply is None else supply.most_of(need)
        if most is not None:
            room = room.within(most, CEILING)
        quota, queue = self.quota_of(autoscaler), self.queue_room(autoscaler)
        # pods that wait for a node count as used; they are served first all the same
        if quota is not None:
            waiting = replicas.pending * spec.gpus_per_replica
            room = room.within(quota.free + waiting, f"ResourceQuota/{quota.name}")
        if queue is not None and queue.gpus is not None:
            admitted = (replicas.pending - replicas.gated) * spec.gpus_per_replica
            room = room.within(queue.gpus + admitted, queue.name)
        return room

    def queue_room(self, autoscaler: Autoscaler) -> QueueRoom | None:
        """What the queue leaves that the replicas are sent to; None: they are sent to none."""
        pods = queued_pods(autoscaler, self.target_of(autoscaler), self.nodes.values())
        return None if pods is None else queue_room(self.queues, pods)

    def claim_room(self, autoscaler: Autoscaler, replicas: Replicas) -> ClaimRoom | None:
        """What claims of devices hold back, or leave unknown; None: nothing."""
        spec, target = autoscaler.spec, self.target_of(autoscaler)
        if spec is None or target is None:
            return None
        supply, patience_s = self.supplies.get(spec.gpu_type), PATIENCE_S
        if supply is not None and supply.is_provisioned:
            patience_s = supply.startup.patience_s
        return room_of_claims(self.devices, target, replicas, patience_s)

    def quota_of(self, autoscaler: Autoscaler) -> GpuQuota | None:
        """The quota that leaves least of what the replicas ask for; None: there is none."""
        spec, target = autoscaler.spec, self.target_of(autoscaler)
        own = (self.quotas or {}).get(autoscaler.namespace)
        if spec is None or not own:
            return None
        shape = () if target is None else target.shape
        return quotas.tightest(own, resources_asked(shape, spec.gpu_type, self.nodes.values()))

    def _by_supply(self, gpu_type: str, need: ReplicaNeed) -> GpusToGrow:
        """What is free and what is to come, without quotas and ceilings of a fixed supply."""
        on_nodes = self.free.schedulable(gpu_type, need.gpus_per_replica, need.shape)
        warm = self.free.warm(gpu_type, need.gpus_per_replica, need.shape)
        supply = self.supplies.get(gpu_type)
        is_unknown = on_nodes is None and self.free.may_be_elsewhere(gpu_type, need.shape)
        if supply is None or not supply.is_provisioned or is_unknown:
            return GpusToGrow(on_nodes, "" if on_nodes is None else NODES, warm=warm)
        here = on_nodes or 0
        found, limit = supply.room(here, need), REFUSED if supply.is_short(here, need) else CEILING
        every = GpusToGrow(here + found.on_new_nodes, limit, found.on_new_nodes, warm)
        return every.within(found.gpus, limit)


def observe(deps: OperatorDeps) -> View:
    """List everything.

    Raises:
        KubeError: The API server cannot be read.
    """
    kube = deps.kube
    listed: list[ListedAutoscaler] = kube.list_objects("GPUAutoscaler")
    translated = _translate(deps, listed, load_classes(deps, listed))
    every = (target for entry in translated for target in entry.autoscaler.targets)
    found = find_targets(deps, (target for target in every if target.kind))
    devices = devices_of_targets(kube, found.states.values(), is_on=deps.settings.operator_dra)
    asked = look_up_claims(found.states, devices)
    budgets = _list_or_none(lambda: kube.list_objects("GPUBudget"), "budgets_unreadable")
    counted = deps.memory.counted(translated, found.states, budgets)
    autoscalers = [entry.autoscaler for entry in counted]
    # those of a spec that went bad, or is gone, are looked up where a budget asks for them only
    deps.memory.drop_patched(found.states, deps.clock.now())
    uids = {state.uid for state in found.states.values()}
    deps.memory.rollouts = {uid: r for uid, r in deps.memory.rollouts.items() if uid in uids}
    pods = list_pods(deps, found) if autoscalers else PodIndex()
    is_looked_for = bool(autoscalers) and deps.settings.operator_supply
    sources = read_sources(kube) if is_looked_for else SeenSources()
    listed_nodes = _nodes(deps, devices, asked, sources) if autoscalers else None
    if sources.pools is not None:
        told = learn_pools(deps.memory.told_pools, sources.pools, listed_nodes or ())
        deps.memory.told_pools, sources = told, with_told(sources, told)
        listed_nodes = listed_nodes and with_products(listed_nodes, sources.pools)
    nodes = [node for node in listed_nodes or () if node.accelerators]
    of_others, known = waiting_of_others(found, pods), deps.memory.fitting
    left = beside_waiting(free_gpus(nodes, pods.every), of_others, known, deps.clock.now())
    deps.memory.fitting = left.fitting
    others: OtherAutoscalers | None = OtherAutoscalers()
    found_quotas: dict[str, QuotasOfNamespace] | None = {}
    if autoscalers:
        others = _list_or_none(lambda: list_other_autoscalers(kube), "autoscalers_unreadable")
        found_quotas = _list_or_none(
            lambda: quotas.to_quotas(kube.list_objects("ResourceQuota")), "quotas_unreadable"
        )
    return View(
        autoscalers,
        [entry.spec for entry in counted],
        found,
        pods,
        {pod.uid for pod in pods.every},
        left.free,
        others,
        found_quotas,
        older_autoscalers(autoscalers),
        budgets,
        {each.uid: each.status for each in listed},
        {node.name: node for node in nodes},
        None if listed_nodes is None else {node.uid: node for node in listed_nodes},
        sources,
        queues_of_targets(kube, found.states.values(), is_on=deps.settings.operator_kueue),
        devices,
        notices={node.name: node.notice for node in nodes if node.notice},
        is_live=deps.settings.clock == "system",
    )


def load_classes(
    deps: OperatorDeps, listed: Sequence[ListedAutoscaler]
) -> Mapping[str, SLAClassSpec]:
    """SLA classes by name, where an autoscaler refers to one.

    Without the right to list them there are none: only autoscalers that refer to one suffer.

    Raises:
        KubeError: They cannot be read for another reason.
    """
    if not any(each.sla_class for each in listed):
        return {}
    try:
        return translate.to_classes(deps.kube.list_objects("SLAClass"))
    except KubeError as error:
        allow_forbidden(error, "classes_unreadable")
        return {}


def _nodes(
    deps: OperatorDeps,
    devices: SeenDevices,
    asked: Sequence[AskedDevices],
    sources: SeenSources,
) -> list[NodeState] | None:
    """All nodes; None without the right to list them: room for more is not known then."""
    try:
        found: list[NodeState] = deps.kube.list_objects("Node")
    except KubeError as error:
        allow_forbidden(error, "nodes_unreadable")
        return None
    return with_claims(with_devices(found, devices, asked), sources.claims)


def _translate(
    deps: OperatorDeps, listed: Sequence[ListedAutoscaler], classes: Mapping[str, SLAClassSpec]
) -> list[Translated]:
    """Translate what changed; a status that changed alone needs no new translation."""
    known = deps.memory.translated
    found: dict[str, Translated] = {}
    for each in listed:
        source = (each.generation, each.annotations, each.labels, classes)
        entry = known.get(each.uid)
        if entry is None or entry.source != source or not each.generation:
            autoscaler = translate.to_autoscaler(each.resource, classes)
            entry = Translated(source, autoscaler, stored_spec(autoscaler.spec))
        found[each.uid] = entry
    deps.memory.translated = found
    return list(found.values())


def _list_or_none(list_: Callable[[], _Listed], reason: str) -> _Listed | None:
    """The answer of `list_`; None where it cannot be read, which is counted and logged."""
    try:
        return list_()
    except KubeError as error:
        note_unreadable(error, reason)
        return None


def situation_of(view: View, autoscaler: Autoscaler, replicas: Replicas | None = None) -> Situation:
    """Everything that decides what may be done for an autoscaler.

    Args:
        view: The cluster.
        autoscaler: One of its autoscalers.
        replicas: Its replicas, where they have been counted: then `limit` is found out too.
    """
    if autoscaler.parts:
        return combine(autoscaler, _part_situations(view, autoscaler, replicas))
    target, key = view.target_of(autoscaler), autoscaler.target.key
    others = view.others or OtherAutoscalers()
    room = None if replicas is None else view.gpu_room(autoscaler, replicas)
    problem = view.targets.problems.get(key, missing(autoscaler.target))
    spec = autoscaler.spec
    supply = None if spec is None else view.supplies.get(spec.gpu_type)
    return Situation(
        spec=spec,
        replicas=None if target is None else target.replicas,
        problem=autoscaler.problem,
        target_problem=problem.message,
        target_reason=problem.reason,
        is_target_known=problem.is_known,
        conflict=view.older_autoscalers.get(autoscaler.uid, "")
        or others.conflict(key, autoscaler.key),
        is_conflict_known=view.others is not None,
        follower=others.follower(key, autoscaler.key),
        unread=others.unread,
        pause=autoscaler.pause,
        approval=autoscaler.approval,
        rollout="" if target is None else target.rollout,
        hung="" if target is None else target.hung,
        failure="" if target is None else target.failure,
        limit="" if room is None else room.limit,
        is_room_known=room is None or room.gpus is not None,
        is_short=spec is not None and room is not None and room.is_short(spec.gpus_per_replica),
        queue=None if replicas is None else view.queue_room(autoscaler),
        claims=None if replicas is None else view.claim_room(autoscaler, replicas),
        supply="" if supply is None else supply.words,
        n_pending=0 if replicas is None else replicas.pending - replicas.gated,
        n_gated=0 if replicas is None else replicas.gated,
        grace=None if target is None else target.grace,
    )


def _part_situations(
    view: View, autoscaler: Autoscaler, replicas: Replicas | None
) -> list[Situation]:
    counts = {} if replicas is None else dict(replicas.parts)
    default = None if replicas is None else Replicas()
    named = zip(autoscaler.parts, members_of(autoscaler), strict=True)
    return [situation_of(view, own, counts.get(part.name, default)) for part, own in named]
