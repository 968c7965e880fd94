"""Rolling updates: how large each revision of a Deployment may be now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.simulator.engine.engine import ReplicaCounts


@dataclass(frozen=True, slots=True)
class RollingRules:
    """Limits of a rolling update, as counts or shares such as `25%`."""

    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    is_recreate: bool = False

    @classmethod
    def of(cls, spec: dict[str, Any]) -> RollingRules:
        """The rules of a Deployment's specification."""
        strategy = spec.get("strategy") or {}
        rolling = strategy.get("rollingUpdate") or {}
        return cls(
            rolling.get("maxSurge", "25%"),
            rolling.get("maxUnavailable", "25%"),
            strategy.get("type") == "Recreate",
        )

    def surge(self, replicas: int) -> int:
        """Pods allowed above `replicas`; shares are rounded up."""
        return _resolve(self.max_surge, replicas, math.ceil)

    def unavailable(self, replicas: int) -> int:
        """Pods that may lack; shares are rounded down. At least one way of moving is open."""
        found = _resolve(self.max_unavailable, replicas, math.floor)
        return 1 if not found and not self.surge(replicas) else found


def _resolve(value: int | str, replicas: int, rounding: Any) -> int:
    if isinstance(value, str):
        return int(rounding(float(value.rstrip("%")) * replicas / 100))
    return value


def next_sizes(replicas: int, counts: Sequence[ReplicaCounts], rules: RollingRules) -> list[int]:
    """Sizes of the revisions, oldest first; the last one is the one that is wanted."""
    sizes = [count.spec for count in counts]
    old = range(len(counts) - 1)
    n_old = sum(sizes[i] for i in old)
    if not n_old:
        sizes[-1] = replicas
        return sizes
    if rules.is_recreate:
        return [0] * (len(counts) - 1) + [
            sizes[-1] if sum(c.bound for c in counts[:-1]) else replicas
        ]
    room = replicas + rules.surge(replicas) - sum(sizes)
    if sizes[-1] > replicas:
        sizes[-1] = replicas
    elif room > 0:
        sizes[-1] = min(replicas, sizes[-1] + room)
    # Old pods that never became ready go first: they hold nothing up.
    for i in old:
        sizes[i] = counts[i].ready if counts[i].ready < sizes[i] else sizes[i]
    n_ready = sum(min(count.ready, size) for count, size in zip(counts, sizes, strict=True))
    spare = n_ready - (replicas - rules.unavailable(replicas))
    for i in old:
        taken = min(max(spare, 0), sizes[i])
        sizes[i] -= taken
        spare -= taken
    return sizes
