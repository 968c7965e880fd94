"""The operator's view of the API server: the few reads and writes that it makes, and no others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from services.operator.cluster import listed, node_pools
from services.operator.cluster.kills import read_kill
from services.operator.cluster.listed import ListedKind
from services.operator.cluster.node_pools import KARPENTER_VERSION, NODE_CLAIM, NODE_POOL
from services.operator.cluster.other_autoscalers import (
    HPA,
    SCALED_OBJECT,
    OtherAutoscalers,
    to_other_autoscalers,
)
from services.operator.kube.last_states import LastStates
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.resource.fields import API_VERSION
from services.operator.wire.discovery import Discovery, ServedKind
from services.operator.wire.http import Call, KubeError, KubeHttp

Object = Mapping[str, Any]

MERGE_PATCH = "application/merge-patch+json"
KEDA_VERSION = "keda.sh/v1alpha1"
_ABSENT_FOR_S = 120.0
_MOST_WARNINGS = 100
_EVENTS_OF_NONE = "default"
"""Namespace of Events about objects that have none."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The `/scale` subresource of a target.

    Attributes:
        selector: Selects the pods of its replicas; empty: not stated.
    """

    replicas: int
    resource_version: str
    selector: str = ""


def _scalable(resource: str, kind: str) -> ListedKind:
    return ListedKind(resource, "/apis/apps/v1", read=partial(listed.read_target, kind=kind))


PATHS: dict[str, ListedKind] = {
    "GPUAutoscaler": ListedKind(
        "gpuautoscalers", f"/apis/{API_VERSION}", is_cached=False, read=listed.read_autoscaler
    ),
    "SLAClass": ListedKind("slaclasses", f"/apis/{API_VERSION}", is_optional=True),
    "GPUBudget": ListedKind(
        "gpubudgets", f"/apis/{API_VERSION}", is_cached=False, is_optional=True
    ),
    "Deployment": _scalable("deployments", "Deployment"),
    "StatefulSet": _scalable("statefulsets", "StatefulSet"),
    "ReplicaSet": _scalable("replicasets", "ReplicaSet"),
    "Pod": ListedKind("pods", "/api/v1", read=listed.read_pod, read_last=read_kill),
    "Node": ListedKind("nodes", "/api/v1", read=listed.read_node),
    "ResourceQuota": ListedKind("resourcequotas", "/api/v1"),
    HPA: ListedKind(
        "horizontalpodautoscalers",
        "/apis/autoscaling/v2",
        is_optional=True,
        read=listed.read_other_autoscaler,
    ),
    SCALED_OBJECT: ListedKind(
        "scaledobjects",
        f"/apis/{KEDA_VERSION}",
        is_optional=True,
        read=listed.read_other_autoscaler,
    ),
    NODE_POOL: ListedKind(
        "nodepools",
        f"/apis/{KARPENTER_VERSION}",
        is_optional=True,
        read=node_pools.to_node_pools,
    ),
    NODE_CLAIM: ListedKind(
        "nodeclaims",
        f"/apis/{KARPENTER_VERSION}",
        is_optional=True,
        read=node_pools.to_node_claim,
        read_last=node_pools.to_ended_claim,
        is_newest_kept=True,
    ),
}
"""Kinds that are listed; of most objects only the fields that a pass reads are kept."""


class KubeClient:
    """The calls that the operator makes to a cluster, over HTTP."""

    def __init__(self, http: KubeHttp) -> None:
        self._http = http
        self._discovery = Discovery(http)
        self._absent_until: dict[str, float] = {}
        self._last: dict[str, LastStates] = {}
        self._warnings: dict[str, str] = {}

    @property
    def n_calls(self) -> int:
        """Requests sent so far."""
        return self._http.n_calls

    def list_objects(self, kind: str) -> list[Any]:
        """The kept values of all objects; an absent optional kind is retried every two minutes."""
        where = PATHS[kind]
        if time.monotonic() < self._absent_until.get(kind, 0.0):
            return []
        query = "?resourceVersion=0" if where.is_cached else ""
        try:
            answer = self._http.send(Call("list", where.resource, _join(where, "", query)))
        except KubeError as error:
            if not (where.is_optional and error.is_missing):
                raise with_hint(error, kind) from None
            self._absent_until[kind] = time.monotonic() + _ABSENT_FOR_S
            return []
        items = answer.get("items") or ()
        last = self._last.setdefault(kind, LastStates(where))
        for item in items:
            last.see(item)
        return [value for value in map(where.read, items) if value is not None]

    def last_states(self, kind: str) -> list[Any]:
        """What outlives the objects of a kind that were seen, the newest of them."""
        return self._last[kind].values() if kind in self._last else []

    def warning_about(self, uid: str) -> str:
        """What the newest Event of type Warning says about an object that has no namespace.

        It is asked for once. Empty: there is none, or Events cannot be read.
        """
        if uid in self._warnings or time.monotonic() < self._absent_until.get("Event", 0.0):
            return self._warnings.get(uid, "")
        selector = quote(f"involvedObject.uid={uid},type=Warning")
        path = f"/api/v1/namespaces/{_EVENTS_OF_NONE}/events?fieldSelector={selector}"
        try:
            found: list[Object] = self._http.send(Call("list", "events", path)).get("items") or []
        except KubeError:
            self._absent_until["Event"] = time.monotonic() + _ABSENT_FOR_S
            return ""
        newest: Object = {}
        if found:
            newest = max(found, key=lambda each: str(each.get("lastTimestamp") or ""))
        said = filter(None, (str(newest.get(key) or "") for key in ("reason", "message")))
        self._warnings[uid] = ": ".join(said)
        if len(self._warnings) > _MOST_WARNINGS:
            del self._warnings[next(iter(self._warnings))]
        return self._warnings[uid]

    def find_config_map(self, namespace: str, name: str) -> Object | None:
        """A ConfigMap; None: there is none.

        Raises:
            KubeError: It cannot be read.
        """
        path = f"/api/v1/namespaces/{quote(namespace)}/configmaps/{quote(name)}"
        try:
            found: Object = self._http.send(Call("get", "configmaps", path))
        except KubeError as error:
            if not error.is_missing:
                raise
            return None
        return found

    def find_kind(self, api_version: str, kind: str) -> ServedKind | None:
        """Find a kind as it is served; None: it is not.

        Raises:
            KubeError: It cannot be found out.
        """
        return self._discovery.find(api_version, kind)

    def list_kind(self, kind: ServedKind) -> list[Object]:
        """All objects of a kind, in every namespace.

        Raises:
            KubeError: They cannot be read; never because the kind is there but has none.
        """
        path = f"{kind.root}/{kind.resource}?resourceVersion=0"
        answer = self._http.send(Call("list", kind.resource, path))
        return list(answer.get("items") or ())

    def list_in(self, kind: ServedKind, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """Objects of a kind in one namespace that have some labels, as they are now."""
        selector = quote(",".join(f"{name}={value}" for name, value in sorted(labels.items())))
        path = f"{_inside(kind, namespace)}?labelSelector={selector}"
        answer = self._http.send(Call("list", kind.resource, path))
        return list(answer.get("items") or ())

    def create_in(self, kind: ServedKind, namespace: str, body: Object) -> None:
        """Create an object; not repeated here when the outcome is unknown.

        Raises:
            KubeError: A conflict where there is one of its name.
        """
        call = Call("create", kind.resource, _inside(kind, namespace), body, is_repeatable=False)
        self._http.send(call)

    def patch_in(self, kind: ServedKind, namespace: str, name: str, change: Object) -> None:
        """Merge a change into an object."""
        path = f"{_inside(kind, namespace)}/{quote(name)}"
        self._http.send(Call("patch", kind.resource, path, change, MERGE_PATCH))

    def delete_in(self, kind: ServedKind, namespace: str, name: str) -> None:
        """Delete an object; one that is gone already is."""
        path = f"{_inside(kind, namespace)}/{quote(name)}"
        try:
            self._http.send(Call("delete", kind.resource, path))
        except KubeError as error:
            if not error.is_missing:
                raise

    def get_scale(self, target: ScaleTarget, *, is_final_500: bool = False) -> Scale:
        """Replicas that the target is asked to have."""
        call = Call("get", *self._scale_path(target), is_final_500=is_final_500)
        return _to_scale(self._http.send(call))

    def patch_scale(self, target: ScaleTarget, replicas: int, resource_version: str) -> Scale:
        """Ask for `replicas`, provided that the target is still at `resource_version`.

        Raises:
            KubeError: A conflict when it is not; not repeated here when the outcome is unknown.
        """
        body = {"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}}
        call = Call("patch", *self._scale_path(target), body, MERGE_PATCH, is_repeatable=False)
        return _to_scale(self._http.send(call))

    def _scale_path(self, target: ScaleTarget) -> tuple[str, str]:
        kind = self._discovery.find(target.api_version, target.kind)
        if kind is None:
            message = f"{target.api_version} {target.kind} is not served"
            raise KubeError(404, "NotFound", message)
        where = f"{kind.root}/namespaces/{quote(target.namespace)}/{kind.resource}"
        return f"{kind.resource}/scale", f"{where}/{quote(target.name)}/scale"

    def annotate_pod(self, namespace: str, name: str, annotations: Object) -> None:
        """Set annotations of a pod; None removes one. Not repeated here when it fails."""
        path = f"{_join(PATHS['Pod'], namespace)}/{quote(name)}"
        body = {"metadata": {"annotations": annotations}}
        self._http.send(Call("patch", "pods", path, body, MERGE_PATCH, is_repeatable=False))

    def patch_status(self, namespace: str, name: str, status: Object) -> Object:
        """Replace fields of a GPUAutoscaler's status; the object as it is now."""
        return self._patch_status(PATHS["GPUAutoscaler"], namespace, name, status)

    def patch_budget_status(self, name: str, status: Object) -> Object:
        """Replace fields of a GPUBudget's status; the object as it is now."""
        return self._patch_status(PATHS["GPUBudget"], "", name, status)

    def _patch_status(self, where: ListedKind, namespace: str, name: str, status: Object) -> Object:
        path = f"{_join(where, namespace)}/{quote(name)}/status"
        body = {"status": status}
        call = Call("patch", f"{where.resource}/status", path, body, MERGE_PATCH, is_final_500=True)
        answer: Object = self._http.send(call)
        return answer

    def post_event(self, namespace: str, event: Object) -> None:
        """Create an Event; not repeated when the outcome is unknown."""
        path = f"/api/v1/namespaces/{quote(namespace)}/events"
        self._http.send(Call("create", "events", path, event, is_repeatable=False))


def with_hint(error: KubeError, kind: str) -> KubeError:
    """The error of a LIST, with what to do where the kind is not installed."""
    if not error.is_missing or kind != "GPUAutoscaler":
        return error
    hint = "the CRDs are not installed; apply those of the chart (helm/harmony/crds)"
    return KubeError(error.status, error.reason, f"{error.message}; {hint}")


def _join(where: ListedKind, namespace: str, query: str = "") -> str:
    middle = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{where.root}{middle}/{where.resource}{query}"


def _inside(kind: ServedKind, namespace: str) -> str:
    return f"{kind.root}/namespaces/{quote(namespace)}/{kind.resource}"


def _to_scale(answer: Object) -> Scale:
    return Scale(
        int((answer.get("spec") or {}).get("replicas", 0)),
        str(answer["metadata"]["resourceVersion"]),
        str((answer.get("status") or {}).get("selector") or ""),
    )


def list_other_autoscalers(kube: KubeClient) -> OtherAutoscalers:
    """List HPAs and ScaledObjects.

    Without the right to list ScaledObjects their HPAs stand for them: KEDA makes one for each.

    Raises:
        KubeError: They cannot be read.
    """
    unread, scaled_objects = "", None
    try:
        scaled_objects = kube.list_objects(SCALED_OBJECT)
    except KubeError as error:
        if error.status != 403:
            raise
        # a right that is missing hides whether the kind is there at all; discovery needs none
        if kube.find_kind(KEDA_VERSION, SCALED_OBJECT) is not None:
            unread = error.message
    return to_other_autoscalers(scaled_objects, kube.list_objects(HPA), unread)
