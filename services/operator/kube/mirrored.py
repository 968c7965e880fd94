"""A client that reads from copies and writes over HTTP."""

from __future__ import annotations

import math
from typing import Any

from services.operator.cluster.listed import ListedKind
from services.operator.kube.client import PATHS, KubeClient, Object, with_hint
from services.operator.kube.mirror import Mirror
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
_UNUSED_S = 300.0
"""A kind that is found by name may be served no longer: its copy is not tried for ever."""


class MirroredKube(KubeClient):
    """Reads from mirrors, which start when their kind is first listed.

    Scales are read and everything is written through the client's own connection; a status that the
    API server answers is in the mirror before the next read.
    """

    def __init__(self, http: KubeHttp, mirror_http: KubeHttp) -> None:
        """Write over `http`; list and watch over `mirror_http`."""
        super().__init__(http)
        self._mirror_http = mirror_http
        self._mirrors: dict[str, Mirror] = {}

    @property
    def n_calls(self) -> int:
        """Requests sent so far, those of the mirrors too."""
        return super().n_calls + self._mirror_http.n_calls

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
            raise with_hint(error, kind) from None

    def last_states(self, kind: str) -> list[Any]:
        """What outlives the objects of a kind that were seen, the newest of them."""
        return self._mirror(PATHS[kind]).last_states()

    def list_kind(self, kind: ServedKind) -> list[Object]:
        """All objects of a kind, in every namespace."""
        return self._mirror(ListedKind(kind.resource, kind.root), _UNUSED_S).objects()

    def _mirror(self, kind: ListedKind, unused_s: float = math.inf) -> Mirror:
        mirror = self._mirrors.get(kind.path)
        if mirror is None or (mirror.has_ended and unused_s < math.inf):
            mirror = Mirror(self._mirror_http, kind, unused_s=unused_s)
            self._mirrors[kind.path] = mirror
            mirror.start()
        return mirror

    def _patch_status(self, where: ListedKind, namespace: str, name: str, status: Object) -> Object:
        answer = super()._patch_status(where, namespace, name, status)
        if answer and "metadata" in answer:
            self._mirror(where).store(answer)
        return answer
