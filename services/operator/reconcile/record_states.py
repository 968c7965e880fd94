"""Record states: the replicas of each workload now, how its pods started and ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.kernel import telemetry
from services.kernel.clock import floor_step
from services.operator.cluster.images import cause_of
from services.operator.cluster.kills import KilledPod
from services.operator.cluster.placement import NodeState
from services.operator.cluster.pods import (
    CLOCK_SKEW,
    PodState,
    Replicas,
    ReplicaSnapshot,
    SpotUse,
    count_replicas,
)
from services.operator.cluster.queue_labels import is_managed
from services.operator.plan.part_members import members_of
from services.operator.plan.spot import spot_use
from services.operator.plan.supply import TypeSupply
from services.operator.reconcile import repository
from services.operator.reconcile.apply_parts import count_parts
from services.operator.reconcile.memory import KnownStart, OperatorDeps, State
from services.operator.reconcile.observe import View
from services.operator.resource.autoscaler import Autoscaler, Key
from services.operator.stored.columns import to_count
from services.operator.stored.kills_repository import store_kills

_LONGEST_START_S = 7200.0
_SHORTEST_START_S = 1.0


@dataclass(slots=True)
class FleetSnapshot:
    """Replicas of each workload, and the memory that follows once they are stored.

    Attributes:
        kills: Uids of the killed pods that were seen.
        n_killed: How many of them are new, and went by a scaling in.
    """

    replicas: dict[Key, Replicas] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    starts: dict[str, KnownStart] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    lead_times: list[tuple[str, float]] = field(default_factory=list)
    kills: frozenset[str] = frozenset()
    n_killed: int = 0


def record_states(
    connection: Connection, deps: OperatorDeps, view: View, ids: Mapping[Key, int], now: datetime
) -> FleetSnapshot:
    """Store the replica states and pod starts that are new.

    A state is stored when it changed and once per step; `remember_states` must follow the commit.
    """
    found = FleetSnapshot()
    rows = []
    step_at = floor_step(now, deps.settings.step_s)
    for autoscaler in view.autoscalers:
        workload_id = ids.get(autoscaler.key)
        if workload_id is None or autoscaler.spec is None:
            continue
        seen = (
            count_parts(view, autoscaler, now)
            if autoscaler.parts
            else _count(view, autoscaler, now)
        )
        if seen is None:
            continue
        found.replicas[autoscaler.key] = seen.replicas
        before = deps.memory.states.get(workload_id)
        if before is not None and _is_same(before, (step_at, seen.replicas, seen.identity)):
            continue
        found.states[workload_id] = (step_at, seen.replicas, seen.identity)
        rows.append(_row(workload_id, now, seen))
    repository.store_states(connection, rows)
    _follow_starts(connection, deps, view, ids, found, now)
    _follow_kills(connection, deps, found)
    return found


def _count(view: View, autoscaler: Autoscaler, now: datetime) -> ReplicaSnapshot | None:
    """Replicas of an autoscaler of one kind; None where its target is not there."""
    target = view.target_of(autoscaler)
    if target is None:
        return None
    pods = view.replicas_of(autoscaler)
    replicas = count_replicas(pods, now, is_live=view.is_live)
    spot = spot_use(pods, view.spot, view.notices)
    room = view.gpu_room(autoscaler, replicas)
    return ReplicaSnapshot(
        target.replicas,
        replicas,
        room.gpus,
        on_new_nodes=room.on_new_nodes,
        warm=room.warm,
        spot=None if spot == SpotUse() else spot,
    )


def _is_same(before: State, after: State) -> bool:
    counts = [(r.ready, r.starting, r.pending) for r in (before[1], after[1])]
    return before[0] == after[0] and before[2] == after[2] and counts[0] == counts[1]


def _row(workload_id: int, now: datetime, seen: ReplicaSnapshot) -> tuple[Any, ...]:
    replicas = seen.replicas
    return (
        workload_id,
        now,
        to_count(seen.spec_replicas),
        replicas.ready,
        replicas.starting,
        replicas.pending,
        list(replicas.start_ages_s),
        to_count(seen.room),
        seen.column,
        to_count(seen.on_new_nodes),
        to_count(seen.warm),
        *((None,) * 3 if seen.spot is None else astuple(seen.spot)),
    )


def _follow_starts(
    connection: Connection,
    deps: OperatorDeps,
    view: View,
    ids: Mapping[Key, int],
    found: FleetSnapshot,
    now: datetime,
) -> None:
    known = _known_starts(connection, deps)
    rows = []
    for autoscaler in view.autoscalers:
        workload_id = ids.get(autoscaler.key)
        if workload_id is None or autoscaler.spec is None:
            continue
        for gpu_type, pod in _pods_of(view, autoscaler):
            before = known.get(pod.uid)
            after = _with_node(_follow(pod, before, workload_id, gpu_type), pod, view.nodes)
            after = _with_cause(after, pod, view.nodes)
            after = _with_refusal(after, pod, view.supplies.get(gpu_type))
            if after is None:
                continue
            if after == before:
                # an unfinished start is worth more to the fit the longer it was watched
                if not after.is_ready and workload_id in found.states:
                    rows.append(_start_row(pod.uid, after, None, None, now))
                continue
            found.starts[pod.uid] = after
            if after.is_stored:
                ready_at = _ready_at(pod, after, now) if view.is_live else pod.ready_at
                rows.append(_start_row(pod.uid, after, ready_at, None, now))
                if ready_at is not None:
                    lead_s = (ready_at - after.requested_at).total_seconds()
                    found.lead_times.append((after.gpu_type, lead_s))
    # without an autoscaler no pods are listed, and none is known to be gone
    for uid in known.keys() - view.pod_uids if view.autoscalers else ():
        found.gone.append(uid)
        if known[uid].is_stored:
            gone = _gone(known[uid], view.supplies.get(known[uid].gpu_type))
            rows.append(_start_row(uid, gone, None, now, now))
    repository.store_starts(connection, rows)


def _follow_kills(connection: Connection, deps: OperatorDeps, found: FleetSnapshot) -> None:
    """Store the pods that were killed after a scaling in.

    They are gone by now: whose they were is known of those that were followed until then.
    """
    seen: list[KilledPod] = deps.kube.last_states("Pod")
    starts, known = deps.memory.starts or {}, deps.memory.kills
    fresh = [each for each in seen if each.uid in starts and each.uid not in known]
    new = store_kills(connection, fresh, [starts[each.uid].workload_id for each in fresh])
    found.kills, found.n_killed = frozenset(each.uid for each in seen), len(new)


def _pods_of(view: View, autoscaler: Autoscaler) -> list[tuple[str, PodState]]:
    """Replicas with the GPU type that they run on."""
    found = []
    for member in members_of(autoscaler):
        gpu_type = "" if member.spec is None else member.spec.gpu_type
        found += [(gpu_type, pod) for pod in view.replicas_of(member)]
    return found


def _known_starts(connection: Connection, deps: OperatorDeps) -> dict[str, KnownStart]:
    if deps.memory.starts is None:
        deps.memory.starts = {
            row["pod_uid"]: KnownStart(
                row["workload_id"],
                row["gpu_type"],
                row["requested_at"],
                row["ready_at"] is not None,
                bound_at=row["bound_at"],
                is_new_node=row["is_new_node"],
                cause=row["cause"],
                refused_at=row["refused_at"],
            )
            for row in repository.load_open_starts(connection)
        }
    return deps.memory.starts


def _follow(
    pod: PodState, before: KnownStart | None, workload_id: int, gpu_type: str
) -> KnownStart | None:
    """The start of a pod as it is known now; None: it is not worth knowing.

    A pod that is ready when it is first seen counts as a measured start only when its times are
    those of a start: a readiness probe that failed once since moves the transition time, and a pod
    that was ready within a second was never seen to start. One that is ready no more when it is
    first seen has started long ago. A pod that a gate holds has not begun to start; of one that may
    have been let go unseen it is not known when it did.
    """
    if before is not None:
        became_ready = not before.is_ready and pod.ready_at is not None
        return replace(before, is_ready=True) if became_ready else before
    if pod.is_leaving or pod.is_gated:
        return None
    was_ready = pod.ready_at is not None or pod.lost_at is not None
    start = KnownStart(workload_id, gpu_type, pod.requested_at, was_ready)
    if pod.lost_at is not None:
        return replace(start, is_stored=False)
    if pod.ready_at is None:
        return replace(start, is_stored=pod.is_release_seen)
    lead_s = (pod.ready_at - pod.requested_at).total_seconds()
    is_told = pod.is_release_seen and (pod.released_at is not None or not is_managed(pod.labels))
    is_start = _SHORTEST_START_S <= lead_s <= _LONGEST_START_S
    return replace(start, is_stored=is_told and is_start)


def _ready_at(pod: PodState, start: KnownStart, now: datetime) -> datetime | None:
    """When a pod that was asked for became ready; None: it is not.

    Its node says so by a clock of its own. What cannot be by the other clocks is when it was seen.
    """
    if pod.ready_at is None:
        return None
    can_be = start.requested_at < pod.ready_at <= now + CLOCK_SKEW
    return pod.ready_at if can_be else now


def _with_node(
    start: KnownStart | None, pod: PodState, nodes: Mapping[str, NodeState]
) -> KnownStart | None:
    """The start with when the pod was given its node, and whether that came after it."""
    if start is None or start.is_new_node is not None or pod.bound_at is None:
        return start
    node = nodes.get(pod.node)
    made_at = None if node is None else node.created_at
    is_new = None if made_at is None else made_at >= start.requested_at
    return replace(start, bound_at=pod.bound_at, is_new_node=is_new)


def _with_refusal(
    start: KnownStart | None, pod: PodState, supply: TypeSupply | None
) -> KnownStart | None:
    """The start with since when it is known that no node comes for it.

    Where the supply is fixed nobody was expected to add one. Of one that came all the same it is
    known how long it took.
    """
    if start is None:
        return None
    is_fixed = supply is None or not supply.is_provisioned
    if pod.node:
        return replace(start, refused_at=None) if is_fixed and start.refused_at else start
    if start.refused_at is not None or start.is_ready:
        return start
    since = start.requested_at if supply is None or is_fixed else supply.state.none_since
    return start if since is None else replace(start, refused_at=max(since, start.requested_at))


def _with_cause(
    start: KnownStart | None, pod: PodState, nodes: Mapping[str, NodeState]
) -> KnownStart | None:
    """The start with what it has to do first, by its node as it is when the pod comes to it.

    Once it is ready its images are on its node whatever it did.
    """
    if start is None or start.cause is not None or not pod.node:
        return start
    node = nodes.get(pod.node)
    on_node = frozenset[str]() if node is None or start.is_ready else node.images
    cause = cause_of(on_node, pod.images, is_restored=pod.is_restored)
    return start if cause is None else replace(start, cause=cause)


def _gone(start: KnownStart, supply: TypeSupply | None) -> KnownStart:
    """The start of a pod that went: one of an attempt that no node came of was refused."""
    since = None if supply is None else supply.state.refused_since
    if since is None or start.refused_at or start.bound_at or start.is_ready:
        return start
    return replace(start, refused_at=max(since, start.requested_at))


def _start_row(
    uid: str, start: KnownStart, ready_at: datetime | None, gone_at: datetime | None, now: datetime
) -> dict[str, Any]:
    return {
        "pod_uid": uid,
        "workload_id": start.workload_id,
        "gpu_type": start.gpu_type,
        "requested_at": start.requested_at,
        "ready_at": ready_at,
        "gone_at": gone_at,
        "observed_at": now,
        "bound_at": start.bound_at,
        "is_new_node": start.is_new_node,
        "cause": start.cause,
        "refused_at": start.refused_at,
    }


def remember_states(deps: OperatorDeps, found: FleetSnapshot) -> None:
    """Update the memory with a snapshot that has been committed."""
    memory = deps.memory
    memory.states.update(found.states)
    starts = memory.starts if memory.starts is not None else {}
    starts.update(found.starts)
    for uid in found.gone:
        starts.pop(uid, None)
    memory.starts = starts
    for gpu_type, lead_s in found.lead_times:
        telemetry.cold_start_seconds.labels(gpu_type).observe(lead_s)
    memory.kills = found.kills
    telemetry.killed_pods_total.inc(found.n_killed)
