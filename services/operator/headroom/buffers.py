"""CapacityBuffers that are kept to the size that is advised, where a GPUBudget asks for that."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from services.kernel import telemetry
from services.operator.cluster.placement import NodeState
from services.operator.kube.client import KubeClient, Object
from services.operator.plan.buffers import (
    GROUP,
    KIND,
    OWN,
    VERSIONS,
    Advised,
    SeenBuffer,
    buffer_of,
    chunks_to_hold,
    noted,
    owner_of,
    pod_spec,
    template_of,
    to_seen,
)
from services.operator.plan.headroom import BufferState
from services.operator.plan.supply import TypeSupply
from services.operator.resource.fields import API_VERSION
from services.operator.wire.discovery import ServedKind
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

POD_TEMPLATE = ServedKind("v1", "PodTemplate", "podtemplates", has_scale=False)
_APPLY_OFF = BufferState(
    reason="ApplyOff",
    problem="nothing is held: HARMONY_OPERATOR_HEADROOM is false; set it to true "
    "(settings.operator_headroom in the chart, with the rights that it needs)",
)
_NO_NAMESPACE = BufferState(
    reason="ApplyOff", problem="nothing is held: set HARMONY_LEASE_NAMESPACE outside of a cluster"
)
_NOT_SERVED = BufferState(
    reason="BuffersNotServed",
    problem=f"nothing is held: the API server serves no {KIND} of {GROUP} in "
    f"{' or '.join(VERSIONS)}; install it with what adds nodes",
)
_NODES_UNKNOWN = BufferState(
    reason="NodesUnknown",
    problem="nothing is held: neither a NodePool nor a node of the type is known, which a buffer "
    "has to name; set settings.operator_supply=true, or start the first node",
)


@dataclass(frozen=True, slots=True)
class BufferPlace:
    """Where buffers are kept, and for whom.

    Attributes:
        is_on: They may be kept.
        namespace: Of the operator; empty: none is known.
        owners: The GPUBudget that asks for it, by GPU type.
        nodes: All nodes with GPUs.
        unreadable: GPU types of which it cannot be read what is asked for.
        advised: Memory of what was advised, by GPU type.
    """

    is_on: bool
    namespace: str
    owners: Mapping[str, Object]
    nodes: Sequence[NodeState]
    unreadable: frozenset[str] = frozenset()
    advised: MutableMapping[str, Advised] = field(default_factory=dict)


def keep_buffers(
    kube: KubeClient, place: BufferPlace, supplies: Mapping[str, TypeSupply], now: datetime
) -> dict[str, TypeSupply]:
    """The supplies with how it stands with their buffers, which are made, resized and removed.

    A buffer that cannot be kept is said, and keeps no other from being kept. One is removed where
    nobody asks for it, and stays as it is where that, or the ceiling, cannot be read.
    """
    asked = {name for name, supply in supplies.items() if supply.headroom.is_applied}
    applied = {name: supplies[name] for name in asked if supplies[name].is_provisioned}
    if not place.is_on:
        return _all_told(supplies, applied, _APPLY_OFF)
    if not place.namespace:
        return _all_told(supplies, applied, _NO_NAMESPACE)
    try:
        kind = _served(kube)
        if kind is None:
            return _all_told(supplies, applied, _NOT_SERVED)
        listed = kube.list_in(kind, place.namespace, OWN)
    except KubeError as error:
        return _all_told(supplies, applied, _refused(error))
    seen = {buffer.gpu_type: buffer for buffer in map(to_seen, listed)}
    found = dict(supplies)
    for name, supply in applied.items():
        keeper = _Keeper(kube, kind, place, now)
        try:
            state = keeper.keep(supply, seen.get(name))
        except KubeError as error:
            state = _refused(error)
        found[name] = _told(supply, state)
    for name in seen.keys() - asked - place.unreadable:
        try:
            _Keeper(kube, kind, place, now).remove(seen[name])
        except KubeError as error:
            _refused(error)
    return found


def _served(kube: KubeClient) -> ServedKind | None:
    found = (kube.find_kind(f"{GROUP}/{version}", KIND) for version in VERSIONS)
    return next((kind for kind in found if kind is not None), None)


def _refused(error: KubeError) -> BufferState:
    telemetry.reconcile_errors_total.labels("headroom").inc()
    log.warning("headroom_not_held", error=error.message)
    return BufferState(reason="BufferRefused", problem=f"it cannot be kept: {error.message}")


def _told(supply: TypeSupply, state: BufferState | None) -> TypeSupply:
    return replace(supply, headroom=replace(supply.headroom, buffer=state))


def _all_told(
    supplies: Mapping[str, TypeSupply], applied: Mapping[str, TypeSupply], state: BufferState
) -> dict[str, TypeSupply]:
    return dict(supplies) | {name: _told(supply, state) for name, supply in applied.items()}


@dataclass(frozen=True, slots=True)
class _Keeper:
    kube: KubeClient
    kind: ServedKind
    place: BufferPlace
    now: datetime

    def keep(self, supply: TypeSupply, seen: SeenBuffer | None) -> BufferState | None:
        """Make a type's buffer what it should be; None: there is none, and nothing is advised."""
        advice, owner = supply.headroom.advice, self.place.owners.get(supply.gpu_type)
        if advice is None or owner is None:
            # what is not known lets go of nothing
            return None if seen is None else self._state(seen, seen.replicas, 0)
        spec = pod_spec(supply, self.place.nodes, advice.chunk_gpus)
        if spec is None:
            return _NODES_UNKNOWN
        chunks = self._chunks(supply, seen, advice.gpus // advice.chunk_gpus, advice.chunk_gpus)
        if seen is None and chunks == 0:
            return None
        reference = owner_of(owner, API_VERSION)
        name = buffer_of(supply.gpu_type, {}, "", reference)["metadata"]["name"]
        template = template_of(name, spec, reference)
        self._write(supply.gpu_type, seen, template, chunks)
        return self._state(seen, chunks, advice.chunk_gpus, name)

    def _chunks(
        self, supply: TypeSupply, seen: SeenBuffer | None, wanted: int, chunk_gpus: int
    ) -> int:
        patience_s, memory = supply.startup.patience_s, self.place.advised
        advised = noted(memory.get(supply.gpu_type, ()), wanted, self.now, patience_s)
        memory[supply.gpu_type] = advised
        current = 0 if seen is None else seen.replicas
        most = max(0, supply.left_to_targets - supply.use.asked) // chunk_gpus
        return min(chunks_to_hold(current, advised, self.now, patience_s), most)

    def _write(self, gpu_type: str, seen: SeenBuffer | None, template: Object, chunks: int) -> None:
        name, namespace = str(template["metadata"]["name"]), self.place.namespace
        spec = {"podTemplateRef": {"name": name}, "replicas": chunks}
        is_same = seen is not None and (seen.template, seen.replicas) == (name, chunks)
        is_refused = seen is not None and bool(seen.problem)  # its template may be gone
        if is_same and not is_refused:
            return
        if seen is None or seen.template != name or is_refused:
            self._create_template(template)
        if seen is None:
            owner = template["metadata"]["ownerReferences"][0]
            buffer = buffer_of(gpu_type, spec, self.kind.api_version, owner)
            self.kube.create_in(self.kind, namespace, buffer)
            log.info("headroom_held", gpu_type=gpu_type, chunks=chunks)
            return
        if is_same:
            return
        self.kube.patch_in(self.kind, namespace, seen.name, {"spec": spec})
        log.info("headroom_resized", gpu_type=gpu_type, chunks=chunks, was=seen.replicas)
        if seen.template != name and seen.template:
            self.kube.delete_in(POD_TEMPLATE, namespace, seen.template)

    def _create_template(self, template: Object) -> None:
        """One of its name that is there already has the same in it."""
        try:
            self.kube.create_in(POD_TEMPLATE, self.place.namespace, template)
        except KubeError as error:
            if not error.is_conflict:
                raise

    def _state(
        self, seen: SeenBuffer | None, chunks: int, chunk_gpus: int, name: str = ""
    ) -> BufferState:
        where = f"{KIND}/{self.place.namespace}/{name or (seen.name if seen else '')}"
        if seen is not None and seen.is_unread(self.now):
            return BufferState(
                where,
                chunks * chunk_gpus,
                "BufferUnread",
                f"{where} has no status since {seen.created_at:%Y-%m-%dT%H:%M:%SZ}: nothing that "
                "adds nodes reads it, so nothing is held (Karpenter and the Cluster Autoscaler "
                "have a feature gate for it)",
            )
        if seen is not None and seen.problem:
            return BufferState(
                where, chunks * chunk_gpus, "BufferRefused", f"{where}: {seen.problem}"
            )
        return BufferState(where, chunks * chunk_gpus)

    def remove(self, seen: SeenBuffer) -> None:
        """Let go of a buffer that nobody asks for any longer."""
        self.place.advised.pop(seen.gpu_type, None)
        self.kube.delete_in(self.kind, self.place.namespace, seen.name)
        if seen.template:
            self.kube.delete_in(POD_TEMPLATE, self.place.namespace, seen.template)
        log.info("headroom_let_go", gpu_type=seen.gpu_type)
