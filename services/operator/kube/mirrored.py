"""`Kube` that reads from copies and writes over HTTP."""

from __future__ import annotations

from typing import Any

from services.operator.kube.client import PATHS, Collection, KubeClient, Object, Scale
from services.operator.kube.mirror import Mirror, Source
from services.operator.resource.autoscaler import Target
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
    """Reads from mirrors, which begin with the first question for their kind.

    What is written goes through a client of its own, and what the API server answers is in the
    mirror before the next question.
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
            self._of(PATHS[kind])

    def list_objects(self, kind: str) -> list[Any]:
        """What is kept of all objects of a kind of `PATHS`; none where the kind is absent."""
        try:
            return self._of(PATHS[kind]).objects()
        except KubeError as error:
            if error.is_missing and kind == "GPUAutoscaler":
                hint = "the CRDs are not installed; apply those of the chart (helm/harmony/crds)"
                raise KubeError(error.status, error.reason, f"{error.message}; {hint}") from error
            raise

    def _of(self, where: Collection) -> Mirror:
        path = f"{where.root}/{where.resource}"
        source = Source(where.resource, path, where.is_optional, where.read)
        return self._mirror(source)

    def _mirror(self, source: Source) -> Mirror:
        mirror = self._mirrors.get(source.path)
        if mirror is None:
            mirror = self._mirrors[source.path] = Mirror(self._http, source)
            mirror.start()
        return mirror

    def find_kind(self, api_version: str, kind: str) -> ServedKind | None:
        """How a kind is served; None: it is not."""
        return self._client.find_kind(api_version, kind)

    def list_kind(self, kind: ServedKind) -> list[Object]:
        """All objects of a kind, in every namespace."""
        return self._mirror(Source(kind.resource, f"{kind.root}/{kind.resource}")).objects()

    def get_scale(self, target: Target) -> Scale:
        """Replicas that the target is asked to have, asked anew."""
        return self._client.get_scale(target)

    def patch_scale(self, target: Target, replicas: int, resource_version: str) -> Scale:
        """Ask for `replicas`, provided that the target is still at `resource_version`."""
        return self._client.patch_scale(target, replicas, resource_version)

    def patch_status(self, namespace: str, name: str, status: Object) -> Object:
        """Replace fields of a GPUAutoscaler's status."""
        return self._took("GPUAutoscaler", self._client.patch_status(namespace, name, status))

    def patch_budget_status(self, name: str, status: Object) -> Object:
        """Replace fields of a GPUBudget's status."""
        return self._took("GPUBudget", self._client.patch_budget_status(name, status))

    def _took(self, kind: str, answer: Any) -> Object:
        if answer and "metadata" in answer:
            self._of(PATHS[kind]).take(answer)
        found: Object = answer
        return found

    def annotate_pod(self, namespace: str, name: str, annotations: Object) -> None:
        """Set annotations of a pod; None takes one away."""
        self._client.annotate_pod(namespace, name, annotations)

    def post_event(self, namespace: str, event: Object) -> None:
        """Create an Event."""
        self._client.post_event(namespace, event)
