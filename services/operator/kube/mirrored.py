"""`Kube` that reads from copies and writes over HTTP."""

from __future__ import annotations

from typing import Any

from services.operator.cluster.listed import ListedKind
from services.operator.kube.client import PATHS, KubeClient, Object, Scale
from services.operator.kube.mirror import Mirror
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.wire.discovery import ServedKind
from services.operator.wire.http import KubeError, KubeHttp

EVERY_PASS = (
    "GPUAutoscaler",
    "Deployment",
    "ReplicaSet",
    "Pod",
    "Node",
    "ResourceQuota",
    "HorizontalPodAutoscaler",
    "ScaledObject",
    "GPUBudget",
)
"""Kinds that every pass asks for."""


class MirroredKube:
    """Reads from mirrors, which start when their kind is first listed.

    Writes go through a client of their own, and the API server's answer is in the mirror before
    the next read.
    """

    def __init__(self, client: KubeClient, http: KubeHttp) -> None:
        """Write through `client`; list and watch over `http`."""
        self._client = client
        self._http = http
        self._mirrors: dict[str, Mirror] = {}

    @property
    def n_calls(self) -> int:
        """Requests sent so far, those of the mirrors too."""
        return self._client.n_calls + self._http.n_calls

    def stop(self) -> None:
        """End the mirrors."""
        for mirror in self._mirrors.values():
            mirror.stop()

    def warm(self, kinds: tuple[str, ...]) -> None:
        """Begin to mirror kinds that every pass asks for, all at once."""
        for kind in kinds:
            self._mirror(PATHS[kind])

    def list_objects(self, kind: str) -> list[Any]:
        """The kept values of all objects of a kind of `PATHS`; none where the kind is absent."""
        try:
            return self._mirror(PATHS[kind]).objects()
        except KubeError as error:
            if error.is_missing and kind == "GPUAutoscaler":
                hint = "the CRDs are not installed; apply those of the chart (helm/harmony/crds)"
                raise KubeError(error.status, error.reason, f"{error.message}; {hint}") from error
            raise

    def _mirror(self, kind: ListedKind) -> Mirror:
        mirror = self._mirrors.get(kind.path)
        if mirror is None:
            mirror = self._mirrors[kind.path] = Mirror(self._http, kind)
            mirror.start()
        return mirror

    def find_kind(self, api_version: str, kind: str) -> ServedKind | None:
        """Find a kind as it is served; None: it is not."""
        return self._client.find_kind(api_version, kind)

    def list_kind(self, kind: ServedKind) -> list[Object]:
        """All objects of a kind, in every namespace."""
        return self._mirror(ListedKind(kind.resource, kind.root)).objects()

    def get_scale(self, target: ScaleTarget) -> Scale:
        """Replicas that the target is asked to have, always from the API server."""
        return self._client.get_scale(target)

    def patch_scale(self, target: ScaleTarget, replicas: int, resource_version: str) -> Scale:
        """Ask for `replicas`, provided that the target is still at `resource_version`."""
        return self._client.patch_scale(target, replicas, resource_version)

    def patch_status(self, namespace: str, name: str, status: Object) -> Object:
        """Replace fields of a GPUAutoscaler's status."""
        return self._store("GPUAutoscaler", self._client.patch_status(namespace, name, status))

    def patch_budget_status(self, name: str, status: Object) -> Object:
        """Replace fields of a GPUBudget's status."""
        return self._store("GPUBudget", self._client.patch_budget_status(name, status))

    def _store(self, kind: str, answer: Any) -> Object:
        if answer and "metadata" in answer:
            self._mirror(PATHS[kind]).store(answer)
        found: Object = answer
        return found

    def annotate_pod(self, namespace: str, name: str, annotations: Object) -> None:
        """Set annotations of a pod; None removes one."""
        self._client.annotate_pod(namespace, name, annotations)

    def post_event(self, namespace: str, event: Object) -> None:
        """Create an Event."""
        self._client.post_event(namespace, event)
