"""Calls of the operator as the cluster counted them, and the times when replicas changed."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import httpx

from services.lab.bench.operator.fleet import Name

WRITES = ("create", "update", "patch", "delete", "deletecollection")
_PATIENCE_S = 10.0
_DEPLOYMENTS = "/apis/apps/v1/deployments"


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls by verb and resource."""

    counts: dict[tuple[str, str], int]

    def writes(self) -> int:
        """Writes of anything but the Lease."""
        return sum(
            n for (verb, what), n in self.counts.items() if verb in WRITES and what != "leases"
        )

    def lease(self) -> int:
        """Calls about the Lease."""
        return sum(n for (_, what), n in self.counts.items() if what == "leases")

    def total(self) -> int:
        """All calls, those about the Lease too."""
        return sum(self.counts.values())

    def listed(self) -> dict[str, int]:
        """`verb resource` with its count."""
        return {f"{verb} {what}": n for (verb, what), n in sorted(self.counts.items())}


class CallObserver:
    """The cluster's own count of calls, and a watch on the replicas of Deployments.

    The watch is opened before counting begins, so that it does not count.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._moved: dict[Name, tuple[int, float]] = {}
        self._thread = threading.Thread(target=self._watch, name="scales", daemon=True)
        self._is_watching = threading.Event()
        self._watch_http = httpx.Client(base_url=url, timeout=3600, trust_env=False)

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections; the watch ends with the cluster."""
        self._thread.join(_PATIENCE_S)
        self._watch_http.close()
        self._http.close()

    def forget(self) -> None:
        """Count from now on."""
        self._http.delete("/lab/requests").raise_for_status()

    def calls(self) -> Calls:
        """Calls since `forget`."""
        found = self._http.get("/lab/requests").raise_for_status().json()["requests"]
        return Calls({(c["verb"], c["resource"]): int(c["count"]) for c in found})

    def n_statuses(self) -> int:
        """GPUAutoscalers that have a status with conditions."""
        items = self._http.get("/apis/scaling.harmony.dev/v1alpha1/gpuautoscalers").json()["items"]
        return sum(1 for item in items if (item.get("status") or {}).get("conditions"))

    def start_watch(self) -> None:
        """Begin to note when replicas change."""
        self._thread.start()
        self._is_watching.wait()

    def moved(self, name: Name) -> tuple[int, float]:
        """Replicas that a Deployment was asked to have last, and the monotonic time of it."""
        return self._moved.get(name, (0, 0.0))

    def _watch(self) -> None:
        start = self._http.get(_DEPLOYMENTS, params={"limit": 1}).json()["metadata"]
        query = {"watch": "true", "resourceVersion": start["resourceVersion"]}
        with (
            suppress(httpx.TransportError),  # the cluster has gone: the measurement is over
            self._watch_http.stream("GET", _DEPLOYMENTS, params=query) as answer,
        ):
            self._is_watching.set()
            for line in answer.iter_lines():
                self._note(json.loads(line), time.monotonic())

    def _note(self, event: dict[str, Any], at_s: float) -> None:
        if event["type"] not in ("ADDED", "MODIFIED"):
            return
        metadata, replicas = event["object"]["metadata"], int(event["object"]["spec"]["replicas"])
        name = Name(metadata["namespace"], metadata["name"])
        if self.moved(name)[0] != replicas:
            self._moved[name] = (replicas, at_s)
