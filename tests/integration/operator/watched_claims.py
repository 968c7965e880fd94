"""An operator that follows NodeClaims by a watch, in step with the cluster.

A claim that its provider has no node for comes and goes between two lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kubernetes import client

from services.operator.cluster.node_pools import NODE_CLAIM
from services.operator.kube.client import KubeClient
from services.operator.kube.mirrored import MirroredKube
from services.operator.wire.http import KubeHttp
from tests.integration.operator.conftest import Bench
from tests.integration.operator.mirroring import eventually, in_step

EVENTS = "/api/v1/namespaces/default/events"


class WatchedClaims(KubeClient):
    """Lists everything but NodeClaims, of which it has a copy."""

    def __init__(self, bench: Bench, http: KubeHttp, copies: MirroredKube) -> None:
        super().__init__(http)
        self._bench, self._copies = bench, copies

    def list_objects(self, kind: str) -> list[Any]:
        if kind != NODE_CLAIM:
            return super().list_objects(kind)
        eventually(in_step(self._copies, kind), "the copy to follow")
        eventually(self._has_seen_all, "the copy to see every claim that went")
        return self._copies.list_objects(kind)

    def last_states(self, kind: str) -> list[Any]:
        return self._copies.last_states(kind) if kind == NODE_CLAIM else super().last_states(kind)

    def _has_seen_all(self) -> bool:
        selector = {"fieldSelector": "reason=InsufficientCapacityError"}
        told = self._bench.lab.http.get(EVENTS, params=selector).json()["items"]
        seen = {each.uid for each in self._copies.last_states(NODE_CLAIM)}
        return {event["involvedObject"]["uid"] for event in told} <= seen


@contextmanager
def watched_claims(bench: Bench) -> Iterator[None]:
    """The bench's operator follows NodeClaims; those that went before are forgotten."""
    bench.lab.http.delete(EVENTS)
    configuration = client.Configuration()
    configuration.host = bench.lab.url
    https = [KubeHttp(configuration, sleep=lambda _: None) for _ in range(3)]
    copies = MirroredKube(https[0], https[1])
    bench.deps = replace(bench.deps, kube=WatchedClaims(bench, https[2], copies))
    copies.list_objects(NODE_CLAIM)
    try:
        yield
    finally:
        copies.stop()
        for http in https:
            http.close()
