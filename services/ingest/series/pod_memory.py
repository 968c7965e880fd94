"""Pods whose counters a process has seen, and the bucket edges that matter of each."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

_SAME = 1e-9


class PodKey(NamedTuple):
    """A pod's series of one count; the threshold, since other edges matter of another."""

    workload_id: int
    indicator: str
    pod: int
    threshold_s: float | None


@dataclass(slots=True)
class PodMemory:
    """Saves asking and storing what is known; safe to share, and nothing is lost with it.

    Attributes:
        max_entries: Pods to remember; of more, those longest without a sample are forgotten.
    """

    max_entries: int = 200_000
    _known: OrderedDict[PodKey, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def unknown(self, keys: Iterable[PodKey]) -> set[PodKey]:
        """Those that this process has not seen."""
        with self._lock:
            return {key for key in keys if key not in self._known}

    def useful_edges(self, key: PodKey, edges_s: Iterable[float]) -> set[float]:
        """Of these edges of a pod, the ones to keep: all, and those next to the threshold.

        Edges come in any order and in several requests. So one may be kept that a nearer one
        makes useless later; what is made of both goes by the nearer.
        """
        found = set(edges_s)
        with self._lock:
            below, above = self._known.pop(key, (-math.inf, math.inf))
            if key.threshold_s is not None:
                limit = key.threshold_s
                below = max([below, *(e for e in found if e <= limit * (1 + _SAME))])
                above = min([above, *(e for e in found if e >= limit * (1 - _SAME))])
            self._known[key] = (below, above)
            while len(self._known) > self.max_entries:
                self._known.popitem(last=False)
        return found & {below, above, math.inf}
