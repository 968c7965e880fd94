"""The watcher: every change of a Deployment's replicas, in the cluster's own order."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from services.kernel.clock import SystemClock
from services.lab.bench.faults.outside.own_thread import OwnThread

_DEPLOYMENTS = "/apis/apps/v1/deployments"
_WATCH_S = 5
_RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class SeenScale:
    """A Deployment as an event of the watch showed it.

    Attributes:
        at: When the watcher saw it.
        key: `namespace/name`.
        replicas: Replicas that its spec asks for.
        pods: Pods that it has, by its status.
    """

    at: datetime
    key: str
    replicas: int
    pods: int


class ScaleWatcher(OwnThread):
    """Watches Deployments from a thread of its own, straight at the API server.

    A watch that breaks goes on after the newest version that was seen, so that nothing is missed.
    """

    def __init__(self, url: str) -> None:
        """Watch the cluster at `url`."""
        super().__init__("scale-watcher", 3.0 * _WATCH_S)
        self._http = httpx.Client(base_url=url, timeout=4.0 * _WATCH_S, trust_env=False)
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._seen: list[SeenScale] = []
        self._version = ""
        self._versions: dict[str, str] = {}

    def _begin(self) -> None:
        listed = self._listed()
        for item in listed["items"]:
            self._note(item)
        self._version = listed["metadata"]["resourceVersion"]

    def _listed(self) -> dict[str, Any]:
        found: dict[str, Any] = self._http.get(_DEPLOYMENTS).raise_for_status().json()
        return found

    def _close(self) -> None:
        self._http.close()

    def seen(self) -> list[SeenScale]:
        """All that was seen so far, in the cluster's order."""
        with self._lock:
            return list(self._seen)

    def catch_up(self, patience_s: float) -> bool:
        """Wait until each Deployment was seen as it is by now; false: it was not in time."""
        deadline = time.monotonic() + patience_s
        while not self._has_seen_all():
            if time.monotonic() > deadline:
                return False
            self._stop.wait(_RETRY_S)
        return True

    def _has_seen_all(self) -> bool:
        try:
            items = self._listed()["items"]
        except httpx.HTTPError:
            return False
        now = {_key(item): item["metadata"]["resourceVersion"] for item in items}
        with self._lock:
            return now.items() <= self._versions.items()

    def _run(self) -> None:
        while not self._stop.is_set():
            query = {
                "watch": "1",
                "resourceVersion": self._version,
                "timeoutSeconds": str(_WATCH_S),
            }
            try:
                with self._http.stream("GET", _DEPLOYMENTS, params=query) as answer:
                    for line in answer.iter_lines():
                        self._take(json.loads(line))
            except (httpx.HTTPError, json.JSONDecodeError):  # a fault of the run: ask again
                self._stop.wait(_RETRY_S)

    def _take(self, event: dict[str, Any]) -> None:
        if event.get("type") not in ("ADDED", "MODIFIED"):
            return
        self._note(event["object"])
        self._version = event["object"]["metadata"]["resourceVersion"]

    def _note(self, item: dict[str, Any]) -> None:
        one = SeenScale(
            self._clock.now(),
            _key(item),
            int(item["spec"]["replicas"]),
            int((item.get("status") or {}).get("replicas") or 0),
        )
        with self._lock:
            self._seen.append(one)
            self._versions[one.key] = item["metadata"]["resourceVersion"]


def _key(item: dict[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"
