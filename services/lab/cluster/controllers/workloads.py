"""Controllers of Deployments, StatefulSets and Nodes: the engine's pods as API objects."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from services.lab.cluster.controllers.claims import DeviceClaims, PodName
from services.lab.cluster.controllers.groups import Group, SimulatedWorkload, sum_of
from services.lab.cluster.controllers.kueue import Kueue, Queued
from services.lab.cluster.controllers.manifests import (
    COST_ANNOTATION,
    DRAIN_ANNOTATION,
    WARM_ANNOTATION,
    drain_spec,
    node_spec,
    node_status,
    template_hash,
)
from services.lab.cluster.controllers.publishing import Publisher
from services.lab.cluster.controllers.quotas import Quotas
from services.lab.cluster.controllers.rollout import RollingRules, next_sizes
from services.lab.cluster.storage.objects import Objects, Write
from services.lab.cluster.storage.resources import (
    DEPLOYMENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    STATEFUL_SETS,
    Obj,
    ResourceType,
)
from services.simulator.engine.engine import (
    ClusterEngine,
    Interval,
    PodEvent,
    PodEventKind,
    ReplicaCounts,
)


class Workloads:
    """Keeps the engine and the API objects in step."""

    def __init__(
        self, objects: Objects, engine: ClusterEngine, queues: Kueue, claims: DeviceClaims
    ) -> None:
        self._objects = objects
        self._store = objects.store
        self.engine = engine
        self._queues = queues
        self._claims = claims
        self._publisher = Publisher(objects, engine)
        self._workloads: dict[tuple[ResourceType, str, str], SimulatedWorkload] = {}
        self._group_of: dict[str, tuple[SimulatedWorkload, Group]] = {}
        self._by_owner: dict[
            tuple[str | None, str, str | None], tuple[SimulatedWorkload, Group]
        ] = {}
        self._quotas = Quotas(objects, engine)
        self._refused: dict[tuple[ResourceType, str, str], SimulatedWorkload] = {}
        objects.listeners.append(self.on_write)

    # -- time ------------------------------------------------------------------------------------

    def advance(self, to_s: float) -> None:
        """Let time pass, and publish what happens."""
        # whether anything rolls is asked last: it looks at every workload
        while (due_s := self.engine.next_event_s()) is not None and due_s <= to_s:
            if not self._is_rolling():
                break
            self._publish(self.engine.advance(due_s))
        self._publish(self.engine.advance(to_s))
        self._publisher.publish_overdue()

    def _is_rolling(self) -> bool:
        return any(
            group.revisions or (group is not workload.groups[-1] and group.wanted)
            for workload in self._workloads.values()
            for group in workload.groups
        )

    # -- what can be seen ------------------------------------------------------------------------

    def each(self) -> Iterable[SimulatedWorkload]:
        """Every workload, in order of creation."""
        return self._workloads.values()

    def counts(self, workload: SimulatedWorkload) -> ReplicaCounts:
        """Replicas over all revisions; `spec` is what the object asks for."""
        parts = [self.engine.counts(group.engine_key) for group in workload.groups]
        obj = self._store.get(workload.rtype, workload.namespace, workload.name)
        return ReplicaCounts(
            spec=obj["spec"].get("replicas", 1) if obj else 0,
            ready=sum(part.ready for part in parts),
            starting=sum(part.starting for part in parts),
            pending=sum(part.pending for part in parts),
            start_ages_s=tuple(age for part in parts for age in part.start_ages_s),
            pending_ages_s=tuple(age for part in parts for age in part.pending_ages_s),
        )

    def timeline(self, workload: SimulatedWorkload, from_s: float, to_s: float) -> list[Interval]:
        """Exact history over all revisions."""
        parts = [self.engine.timeline(g.engine_key, from_s, to_s) for g in workload.groups]
        return parts[0] if len(parts) == 1 else sum_of(parts)

    # -- what clients write ----------------------------------------------------------------------

    def on_write(self, rtype: ResourceType, old: Obj | None, new: Obj | None) -> None:
        """Follow the objects that matter to pods."""
        if rtype in (DEPLOYMENTS, STATEFUL_SETS) or _is_own_set(rtype, new or old):
            if new is None or old is None or old["spec"] != new["spec"]:
                self._follow(rtype, new or old or {}, is_gone=new is None)
        elif rtype is REPLICA_SETS and new is None and old is not None:
            self._lose_group(old)
        elif rtype is PODS and old is not None:
            self._follow_pod(old, new)
        elif rtype is NODES:
            self._follow_node(old, new)
        elif rtype is RESOURCE_QUOTAS:
            self._follow_quota(old, new)
        elif self._queues.is_own(rtype) and (new or {}).get("spec") != (old or {}).get("spec"):
            self._publish([])
        elif self._claims.is_slice(rtype):
            self._follow_slice(new or old or {})

    def _follow(self, rtype: ResourceType, obj: Obj, *, is_gone: bool) -> None:
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        key = (rtype, namespace, name)
        if is_gone:
            lost = self._workloads.pop(key, None)
            self._refused.pop(key, None)
            if lost is not None:
                self._publisher.settle(lost)
                for group in lost.groups:
                    self._drop(lost, group)
        else:
            workload = self._workloads.setdefault(key, SimulatedWorkload(rtype, namespace, name))
            self._reconcile(workload, obj)
            self._publish(self.engine.take_events(), workload)
            return
        self._publish(self.engine.take_events())

    def _lose_group(self, replica_set: Obj) -> None:
        """A ReplicaSet was deleted: its pods go, and a Deployment that stays makes another."""
        meta = replica_set["metadata"]
        found = self._by_owner.get((REPLICA_SETS.kind, meta["namespace"], meta["name"]))
        if found is None:
            return
        workload, group = found
        workload.groups.remove(group)
        self._drop(workload, group)
        obj = self._store.get(workload.rtype, workload.namespace, workload.name)
        if obj is not None and not obj["metadata"].get("deletionTimestamp"):
            self._reconcile(workload, obj)
        self._publish(self.engine.take_events())

    def _drop(self, workload: SimulatedWorkload, group: Group) -> None:
        """Forget a group; the collector deletes its objects, which name their owner."""
        self._publisher.end_told(workload, group)
        self._publish(self.engine.take_events())
        self.engine.remove_deployment(group.engine_key)
        self._queues.forget(group.engine_key)
        del self._group_of[group.engine_key]
        del self._by_owner[group.owner_type.kind, workload.namespace, group.owner_name]

    def _follow_pod(self, old: Obj, new: Obj | None) -> None:
        """A deleted pod is replaced; a new deletion cost counts when scaling down."""
        meta = old["metadata"]
        references: list[Obj] = meta.get("ownerReferences") or [{}]
        owner = references[0]
        found = self._by_owner.get((owner.get("kind"), meta["namespace"], owner.get("name")))
        ordinal = found[1].ordinals.get(meta["name"]) if found else None
        if found is None or ordinal is None:
            return
        group = found[1]
        if new is None:
            self._publisher.forget(group, ordinal)
            self.engine.delete_pod(group.engine_key, ordinal)
            self._publish(self.engine.take_events())
            return
        if group.lives[ordinal].told_s is not None:
            return
        before, after = (each["metadata"].get("annotations") or {} for each in (old, new))
        cost = after.get(COST_ANNOTATION, "0")
        if before.get(COST_ANNOTATION, "0") != cost and cost.lstrip("-").isdigit():
            self.engine.set_deletion_cost(group.engine_key, ordinal, int(cost))
        if before.get(DRAIN_ANNOTATION) != after.get(DRAIN_ANNOTATION) and group.is_replica_set:
            with suppress(ValueError):  # one that cannot be read changes nothing
                drain = drain_spec(after, new["spec"])
                self.engine.set_drain(group.engine_key, ordinal, drain)

    def _follow_node(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self.engine.remove_node(old["metadata"]["name"])
        elif new is not None and old is None:
            self._objects.write_status(NODES, new, node_status(new, self._objects.now()))
            self.engine.add_node(node_spec(new))
            self._claims.update(new["metadata"]["name"])
        elif new is not None and old is not None:
            before, after = (bool(each["spec"].get("unschedulable")) for each in (old, new))
            if before != after:
                self.engine.cordon(new["metadata"]["name"], after)
            if node_spec(old) != node_spec(new):
                self._claims.update(new["metadata"]["name"])
        self._publish(self.engine.take_events())

    def _follow_slice(self, resource_slice: Obj) -> None:
        self._claims.update(resource_slice["spec"].get("nodeName", ""))
        self._publish(self.engine.take_events())

    def _follow_quota(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and old is not None and old["spec"] == new["spec"]:
            return
        self._try_refused()
        self._publish(self.engine.take_events())
        if new is not None:
            self._quotas.publish(new["metadata"]["namespace"])

    # -- reconciliation --------------------------------------------------------------------------

    def _reconcile(self, workload: SimulatedWorkload, obj: Obj) -> None:
        """Bring groups and their sizes to what the object asks for."""
        template = obj["spec"]["template"]
        wanted = template_hash(template)
        newest = workload.groups[-1] if workload.groups else None
        if newest is not None and workload.rtype is not DEPLOYMENTS:
            # Pods made from now on follow the new template; a StatefulSet replaces the rest.
            if newest.hash != wanted:
                for ordinal in newest.lives:
                    newest.revisions.setdefault(ordinal, newest.hash)
                newest.template, newest.hash = template, wanted
                spec = newest.engine_spec(is_warm=False)
                n_pods = len(self.engine.pods(newest.engine_key))
                self.engine.update(spec.with_replicas(n_pods))
        elif newest is None or newest.hash != wanted:
            again = next((group for group in workload.groups if group.hash == wanted), None)
            if again is None:
                self._add_group(workload, obj, wanted)
            else:
                workload.groups.remove(again)
                workload.groups.append(again)
        self._resize(workload, obj)

    def _add_group(self, workload: SimulatedWorkload, obj: Obj, wanted: str) -> None:
        workload.n_revisions += 1
        revision = workload.n_revisions
        template = obj["spec"]["template"]
        key = workload.label
        if workload.rtype is not DEPLOYMENTS:
            key = f"{key}#{workload.rtype.kind.lower()}"
        is_first = revision == 1
        annotations = (template.get("metadata") or {}).get("annotations") or {}
        is_warm = is_first and annotations.get(WARM_ANNOTATION) == "true"
        engine_key = key if is_first else f"{key}@{revision}"
        is_set = workload.rtype is not DEPLOYMENTS
        group = Group(
            engine_key=engine_key,
            owner_type=workload.rtype if is_set else REPLICA_SETS,
            owner_name=workload.name if is_set else f"{workload.name}-{wanted}",
            hash=wanted,
            template=template,
            revision=revision,
            queue=self._queues.queue_of(obj),
            claimed=self._claims.claimed(workload.namespace, template),
        )
        if group.queue:
            self._queues.enqueue(engine_key, Queued(workload.namespace, group.queue))
        workload.groups.append(group)
        self._group_of[engine_key] = (workload, group)
        self._by_owner[group.owner_type.kind, workload.namespace, group.owner_name] = (
            workload,
            group,
        )
        if not is_set:
            self._publisher.write_replica_set(workload, group, obj)
        spec = group.engine_spec(is_warm=is_warm)
        if is_warm:
            wanted_pods = obj["spec"].get("replicas", 1)
            room = self._quotas.room(workload.namespace, spec)
            spec = spec.with_replicas(min(wanted_pods, wanted_pods if room is None else room.pods))
        self.engine.add_deployment(spec)

    def _resize(self, workload: SimulatedWorkload, obj: Obj) -> None:
        """Give each revision its size; a rolling update moves as far as its limits allow."""
        if obj["metadata"].get("deletionTimestamp"):
            return
        counts = [
            replace(self.engine.counts(group.engine_key), spec=group.wanted)
            for group in workload.groups
        ]
        sizes = next_sizes(obj["spec"].get("replicas", 1), counts, RollingRules.of(obj["spec"]))
        for group, size in zip(workload.groups, sizes, strict=True):
            group.wanted = size
            self._give(workload, group)
        key = (workload.rtype, workload.namespace, workload.name)
        if any(group.refusal for group in workload.groups):
            self._refused[key] = workload
        else:
            self._refused.pop(key, None)

    def _give(self, workload: SimulatedWorkload, group: Group) -> None:
        """As many pods as a group wants, as far as the quotas let it have them."""
        spec = self.engine.spec(group.engine_key)
        pods = self.engine.pods(group.engine_key)
        n_pods, size = len(pods), group.wanted
        before, group.refusal = group.refusal, ""
        if size > n_pods:
            room = self._quotas.room(workload.namespace, spec)
            if room is not None and n_pods + room.pods < size:
                size, group.refusal = n_pods + room.pods, room.refusal
        if spec.replicas != size:
            first = group.to_lose(pods) if size < n_pods else ()
            self.engine.scale(group.engine_key, size, first)
        if group.refusal and not before:
            self._publisher.tell_refusal(workload, group)

    def _try_refused(self) -> None:
        """Pods that a quota refused may be allowed now."""
        for workload in list(self._refused.values()):
            obj = self._store.get(workload.rtype, workload.namespace, workload.name)
            if obj is not None:
                self._resize(workload, obj)

    def _roll(self, workload: SimulatedWorkload, obj: Obj) -> None:
        """Replace one pod of a StatefulSet's earlier template, the last first, when all serve."""
        group = workload.groups[-1]
        strategy = (obj["spec"].get("updateStrategy") or {}).get("type")
        counts = self.engine.counts(group.engine_key)
        if strategy == "OnDelete" or counts.ready < group.wanted:
            return
        old = [n for n in group.from_the_end() if n in group.revisions]
        pod = None if not old else group.lives.get(old[0])
        found = None if pod is None else self._store.get(PODS, workload.namespace, pod.name)
        if found is not None:
            write = Write("statefulset-controller", self._objects.now())
            self._objects.delete(PODS, found, {}, write)

    # -- publication -----------------------------------------------------------------------------

    def _publish(self, events: list[PodEvent], changed: SimulatedWorkload | None = None) -> None:
        """Write the objects of what happened, until nothing more happens.

        Args:
            events: What happened to pods.
            changed: A workload whose specification was seen: its status says so.
        """
        touched = {} if changed is None else {id(changed): changed}
        while True:
            for event in events:
                found = self._group_of.get(event.key)
                if found is not None:
                    touched[id(found[0])] = found[0]
                    self._publish_pod(*found, event)
            for workload in touched.values():
                self._move_on(workload)
            if self._refused:
                self._try_refused()
            self._queues.admit()
            events = self.engine.take_events()
            if not events:
                break
        for workload in touched.values():
            self._publisher.publish_status(workload)
        for namespace in {workload.namespace for workload in touched.values()}:
            self._quotas.publish(namespace)
        self._queues.publish()

    def _publish_pod(self, workload: SimulatedWorkload, group: Group, event: PodEvent) -> None:
        if event.kind is PodEventKind.DELETED:
            self._claims.forget(event)
        self._publisher.publish_pod(workload, group, event)
        life = group.lives.get(event.ordinal)
        if group.claimed is not None and life is not None:
            name = PodName(workload.namespace, life.name)
            self._claims.follow(name, event, group.claimed)

    def _move_on(self, workload: SimulatedWorkload) -> None:
        """A roll-out goes on when pods have come or gone."""
        is_rolling_set = workload.rtype is STATEFUL_SETS and workload.groups[-1].revisions
        if len(workload.groups) <= 1 and not is_rolling_set:
            return
        obj = self._store.get(workload.rtype, workload.namespace, workload.name)
        if obj is None:
            return
        if is_rolling_set:
            self._roll(workload, obj)
        else:
            self._resize(workload, obj)


def _is_own_set(rtype: ResourceType, obj: Obj | None) -> bool:
    """Check whether an object is a ReplicaSet that no Deployment made."""
    references = (obj or {}).get("metadata", {}).get("ownerReferences") or ()
    return rtype is REPLICA_SETS and not any(o["kind"] == "Deployment" for o in references)
