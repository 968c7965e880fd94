"""The operator's view of the API server: the few reads and writes that it makes, and no others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from services.operator.autoscaler import Target
from services.operator.kube_http import Call, KubeError, KubeHttp
from services.operator.schemas import API_VERSION

Object = Mapping[str, Any]

MERGE_PATCH = "application/merge-patch+json"
_ABSENT_FOR_S = 120.0


@dataclass(frozen=True, slots=True)
class Scale:
    """The `/scale` subresource of a target."""

    replicas: int
    resource_version: str


class Kube(Protocol):
    """What the operator needs of a cluster."""

    @property
    def n_calls(self) -> int:
        """Requests sent so far."""
        ...

    def list_objects(self, kind: str) -> list[Object]:
        """All objects of a kind named in `PATHS`; none where the cluster lacks the kind."""
        ...

    def get_scale(self, target: Target) -> Scale:
        """Replicas that the target is asked to have."""
        ...

    def patch_scale(self, target: Target, replicas: int, resource_version: str) -> Scale:
        """Ask for `replicas`, provided that the target is still at `resource_version`."""
        ...

    def patch_status(self, namespace: str, name: str, status: Object) -> None:
        """Replace fields of a GPUAutoscaler's status."""
        ...

    def patch_budget_status(self, name: str, status: Object) -> None:
        """Replace fields of a GPUBudget's status."""
        ...

    def post_event(self, namespace: str, event: Object) -> None:
        """Create an Event."""
        ...


@dataclass(frozen=True, slots=True)
class Collection:
    """Where objects of a kind are.

    Attributes:
        is_cached: The API server may answer from its memory, a moment behind.
        is_optional: The kind may be absent.
    """

    resource: str
    root: str
    is_cached: bool = True
    is_optional: bool = False


PATHS: dict[str, Collection] = {
    "GPUAutoscaler": Collection("gpuautoscalers", f"/apis/{API_VERSION}", is_cached=False),
    "SLAClass": Collection("slaclasses", f"/apis/{API_VERSION}", is_optional=True),
    "GPUBudget": Collection(
        "gpubudgets", f"/apis/{API_VERSION}", is_cached=False, is_optional=True
    ),
    "Deployment": Collection("deployments", "/apis/apps/v1"),
    "StatefulSet": Collection("statefulsets", "/apis/apps/v1"),
    "ReplicaSet": Collection("replicasets", "/apis/apps/v1"),
    "Pod": Collection("pods", "/api/v1"),
    "Node": Collection("nodes", "/api/v1"),
    "HorizontalPodAutoscaler": Collection(
        "horizontalpodautoscalers", "/apis/autoscaling/v2", is_optional=True
    ),
    "ScaledObject": Collection("scaledobjects", "/apis/keda.sh/v1alpha1", is_optional=True),
}
TARGET_KINDS = ("Deployment", "StatefulSet")


class KubeClient:
    """`Kube` over HTTP."""

    def __init__(self, http: KubeHttp) -> None:
        self._http = http
        self._absent_until: dict[str, float] = {}

    @property
    def n_calls(self) -> int:
        """Requests sent so far."""
        return self._http.n_calls

    def list_objects(self, kind: str) -> list[Object]:
        """All objects of a kind; an absent optional kind is asked for every two minutes only."""
        where = PATHS[kind]
        if time.monotonic() < self._absent_until.get(kind, 0.0):
            return []
        query = "?resourceVersion=0" if where.is_cached else ""
        try:
            answer = self._http.send(Call("list", where.resource, _join(where, "", query)))
        except KubeError as error:
            if error.is_missing and kind == "GPUAutoscaler":
                hint = "the CRDs are not installed; apply those of the chart (helm/harmony/crds)"
                raise KubeError(error.status, error.reason, f"{error.message}; {hint}") from error
            if not (where.is_optional and error.is_missing):
                raise
            self._absent_until[kind] = time.monotonic() + _ABSENT_FOR_S
            return []
        return list(answer.get("items") or ())

    def get_scale(self, target: Target) -> Scale:
        """Replicas that the target is asked to have."""
        return _to_scale(self._http.send(Call("get", *_scale_path(target))))

    def patch_scale(self, target: Target, replicas: int, resource_version: str) -> Scale:
        """Ask for `replicas`, provided that the target is still at `resource_version`.

        Raises:
            KubeError: A conflict when it is not; not repeated here when the outcome is unknown.
        """
        body = {"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}}
        call = Call("patch", *_scale_path(target), body, MERGE_PATCH, is_repeatable=False)
        return _to_scale(self._http.send(call))

    def patch_status(self, namespace: str, name: str, status: Object) -> None:
        """Replace fields of a GPUAutoscaler's status."""
        self._patch_status(PATHS["GPUAutoscaler"], namespace, name, status)

    def patch_budget_status(self, name: str, status: Object) -> None:
        """Replace fields of a GPUBudget's status."""
        self._patch_status(PATHS["GPUBudget"], "", name, status)

    def _patch_status(self, where: Collection, namespace: str, name: str, status: Object) -> None:
        path = f"{_join(where, namespace)}/{quote(name)}/status"
        body = {"status": status}
        self._http.send(Call("patch", f"{where.resource}/status", path, body, MERGE_PATCH))

    def post_event(self, namespace: str, event: Object) -> None:
        """Create an Event; not repeated when the outcome is unknown."""
        path = f"/api/v1/namespaces/{quote(namespace)}/events"
        self._http.send(Call("create", "events", path, event, is_repeatable=False))


def _join(where: Collection, namespace: str, query: str = "") -> str:
    middle = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{where.root}{middle}/{where.resource}{query}"


def _scale_path(target: Target) -> tuple[str, str]:
    where = PATHS[target.kind]
    path = f"{_join(where, target.namespace)}/{quote(target.name)}/scale"
    return f"{where.resource}/scale", path


def _to_scale(answer: Object) -> Scale:
    return Scale(
        int((answer.get("spec") or {}).get("replicas", 0)),
        str(answer["metadata"]["resourceVersion"]),
    )


def foreign_autoscalers(kube: Kube) -> dict[tuple[str, str, str], str]:
    """Who else scales what: `Kind/name` of HPAs and ScaledObjects by (kind, namespace, name).

    Raises:
        KubeError: They cannot be read.
    """
    found: dict[tuple[str, str, str], str] = {}
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for resource in kube.list_objects(kind):
            reference = (resource.get("spec") or {}).get("scaleTargetRef") or {}
            metadata = resource["metadata"]
            key = (
                str(reference.get("kind", "Deployment")),
                str(metadata["namespace"]),
                str(reference.get("name", "")),
            )
            found.setdefault(key, f"{kind}/{metadata['name']}")
    return found


def list_targets(kube: Kube, kinds: Sequence[str]) -> dict[str, list[Object]]:
    """Objects of each target kind in use, by kind."""
    return {kind: kube.list_objects(kind) for kind in kinds}
