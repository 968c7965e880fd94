"""CapacityBuffers that are kept to the size that is advised, where a GPUBudget asks for that."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from services.kernel import telemetry
from services.operator.cluster.placement import NodeState, Shape
from services.operator.headroom.buffer_pods import is_by_claims, pod_spec
from services.operator.kube.client import KubeClient, Object
from services.operator.plan.buffers import (
    GROUP,
    KIND,
    OWN,
    VERSIONS,
    Advised,
    BufferSize,
    buffer_name,
    buffer_of,
    gpus_to_hold,
    noted,
    owner_of,
    template_of,
)
from services.operator.plan.headroom import BufferState, HeadroomAdvice
from services.operator.plan.seen_buffers import BufferProblem, SeenBuffer, to_seen
from services.operator.plan.supply import TypeSupply
from services.operator.resource.fields import API_VERSION
from services.operator.wire.discovery import ServedKind
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

POD_TEMPLATE = ServedKind("v1", "PodTemplate", "podtemplates", has_scale=False)
_REFUSED = "BufferRefused"
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
    problem="nothing is held: neither a NodePool nor a node of the type is known that pods of its "
    "services may go to, which a buffer has to name; set settings.operator_supply=true, or start "
    "the first node",
)
_NO_POOL_TAKES = BufferState(
    reason="NoPoolTakes",
    problem="nothing is held: no NodePool of the type takes the pods of a service of it; see the "
    "selector, affinity and tolerations of the pods, and the labels and taints of the pools",
)

_BY_CLAIMS = BufferState(
    reason="ClaimsNotHeld",
    problem="nothing is held: services of the type claim their devices, and a buffer holds only "
    "GPUs that pods ask for by the name of a resource; set spec.supply.headroom.mode to advise, "
    "and hold as much with pods of your own that claim devices",
)


@dataclass(frozen=True, slots=True)
class BufferPlace:
    """Where buffers are kept, and for whom.

    Attributes:
        is_on: They may be kept.
        namespace: Of the operator; empty: none is known.
        owners: The GPUBudget that asks for it, by GPU type.
        nodes: All nodes with GPUs.
        shapes: Pods of a replica of each service, by GPU type.
        unreadable: GPU types of which it cannot be read what is asked for.
        advised: Memory of what was advised, by GPU type.
    """

    is_on: bool
    namespace: str
    owners: Mapping[str, Object]
    nodes: Sequence[NodeState]
    shapes: Mapping[str, Sequence[Shape]] = field(default_factory=dict)
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
    return BufferState(reason=_REFUSED, problem=f"it cannot be kept: {error.message}")


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
        problem = None if seen is None else seen.problem(self.now, supply.startup.patience_s)
        if advice is None or owner is None:
            # what is not known lets go of nothing
            held = 0 if seen is None else seen.replicas * (seen.chunk_gpus or 0)
            return None if seen is None else self._state(seen.name, held, problem)
        shapes = self.place.shapes.get(supply.gpu_type, ())
        spec = pod_spec(supply, self.place.nodes, shapes, advice.chunk_gpus)
        if spec is None:
            return self._without_place(supply, seen)
        chunks = self._chunks(supply, seen, advice)
        if seen is None and chunks == 0:
            return None
        name = buffer_name(supply.gpu_type)
        template = template_of(name, spec, owner_of(owner, API_VERSION))
        size = BufferSize(chunks, advice.chunk_gpus, str(template["metadata"]["name"]))
        is_refused = problem is not None and problem.reason == _REFUSED
        self._write(supply.gpu_type, seen, template, size, is_refused=is_refused)
        return self._state(name, chunks * advice.chunk_gpus, problem)

    def _without_place(self, supply: TypeSupply, seen: SeenBuffer | None) -> BufferState:
        """What no pod may use is let go of; where nothing is known it stays."""
        place = self.place
        shapes = place.shapes.get(supply.gpu_type, ())
        if is_by_claims(supply.gpu_type, place.nodes, shapes):
            if seen is not None:
                self.remove(seen)
            return _BY_CLAIMS
        if not any(new.pool is not None for new in supply.resolved.new):
            return _NODES_UNKNOWN
        if seen is not None:
            self.remove(seen)
        return _NO_POOL_TAKES

    def _chunks(self, supply: TypeSupply, seen: SeenBuffer | None, advice: HeadroomAdvice) -> int:
        """Pods to ask room for: as many as the GPUs to hold take, as far as the ceiling lets them.

        All is counted in GPUs until the end, since the size of a chunk changes with the services.
        """
        patience_s, memory = supply.startup.patience_s, self.place.advised
        advised = noted(memory.get(supply.gpu_type, ()), advice.gpus, self.now, patience_s)
        memory[supply.gpu_type] = advised
        size = advice.chunk_gpus
        current = 0 if seen is None else seen.replicas * (seen.chunk_gpus or size)
        gpus = gpus_to_hold(current, advised, self.now, patience_s)
        most = max(0, supply.left_to_targets - supply.use.asked) // size
        return min(math.ceil(gpus / size), most)

    def _write(
        self,
        gpu_type: str,
        seen: SeenBuffer | None,
        template: Object,
        size: BufferSize,
        *,
        is_refused: bool,
    ) -> None:
        """Write what is not so yet; of one that is refused the template may be gone."""
        namespace, chunks = self.place.namespace, size.chunks
        is_same = seen is not None and size == BufferSize(
            seen.replicas, seen.chunk_gpus or 0, seen.template
        )
        if is_same and not is_refused:
            return
        if seen is None or seen.template != size.template or is_refused:
            self._create_template(template)
        if seen is None:
            owner = template["metadata"]["ownerReferences"][0]
            made = buffer_of(gpu_type, size, owner, self.now)
            body = {"apiVersion": self.kind.api_version, **made}
            self.kube.create_in(self.kind, namespace, body)
            log.info("headroom_held", gpu_type=gpu_type, chunks=chunks)
            return
        if is_same:
            return
        self.kube.patch_in(self.kind, namespace, seen.name, size.changed(self.now))
        log.info("headroom_resized", gpu_type=gpu_type, chunks=chunks, was=seen.replicas)
        if seen.template != size.template and seen.template:
            self.kube.delete_in(POD_TEMPLATE, namespace, seen.template)

    def _create_template(self, template: Object) -> None:
        """One of its name that is there already has the same in it."""
        try:
            self.kube.create_in(POD_TEMPLATE, self.place.namespace, template)
        except KubeError as error:
            if not error.is_conflict:
                raise

    def _state(self, name: str, gpus: int, problem: BufferProblem | None) -> BufferState:
        where = f"{KIND}/{self.place.namespace}/{name}"
        if problem is None:
            return BufferState(where, gpus)
        return BufferState(where, gpus, problem.reason, f"{where}: {problem.told}")

    def remove(self, seen: SeenBuffer) -> None:
        """Let go of a buffer that nobody asks for any longer."""
        self.place.advised.pop(seen.gpu_type, None)
        self.kube.delete_in(self.kind, self.place.namespace, seen.name)
        if seen.template:
            self.kube.delete_in(POD_TEMPLATE, self.place.namespace, seen.template)
        log.info("headroom_let_go", gpu_type=seen.gpu_type)
