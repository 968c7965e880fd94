"""The cluster of a request, and which clusters there are."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from sqlalchemy import Engine

from services.kernel.db.clusters import load_clusters


@dataclass(slots=True)
class RequestCell:
    """The cluster of a request, once it is known; None: all that there are."""

    name: str | None = None


class KnownClusters:
    """Names of the clusters, asked for again after `ttl_s`; safe to share between threads."""

    def __init__(self, engine: Engine, ttl_s: float = 1.0) -> None:
        """Ask `engine`."""
        self._engine = engine
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._names: tuple[str, ...] = ()
        self._until_s = -float("inf")

    def names(self) -> tuple[str, ...]:
        """All of them, the oldest first."""
        with self._lock:
            if self._names and time.monotonic() < self._until_s:
                return self._names
        with self._engine.connect() as connection:
            found = tuple(each.name for each in load_clusters(connection))
        with self._lock:
            self._names, self._until_s = found, time.monotonic() + self._ttl_s
        return found
