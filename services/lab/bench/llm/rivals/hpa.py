"""Kubernetes' HorizontalPodAutoscaler, alone or driven by KEDA, on what a replica has in hand.

Its arithmetic, tolerance, default policies and stabilisation are those of the controller
(`autoscaling/v2`), not a description's.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from services.kernel.errors import InvalidInput
from services.lab.arena.loop import SERVE, LoopTargets, LoopTick, PoolCounts

SYNC_S = 15.0
TOLERANCE = 0.1
DOWN_WINDOW_S = 300.0
UP_PODS = 4
IN_FLIGHT, KV_USAGE = "in_flight", "kv_usage"
SIGNALS = (IN_FLIGHT, KV_USAGE)


@dataclass(frozen=True, slots=True)
class HpaRules:
    """What is set.

    Attributes:
        target: Of the signal, per replica.
        signal: One of `SIGNALS`: requests running and waiting, or the share of the KV space in use.
        is_external: Whether the metric is the sum over the service, as KEDA gives it. Otherwise it
            is one of pods, of which those that are starting have none.
    """

    target: float
    signal: str = IN_FLIGHT
    is_external: bool = False

    def __post_init__(self) -> None:
        """Refuse what no controller accepts."""
        if not 0 < self.target < math.inf:
            raise InvalidInput(f"target={self.target:g} must be > 0")
        if self.signal not in SIGNALS:
            raise InvalidInput(f"signal={self.signal}: must be one of {', '.join(SIGNALS)}")


class HpaPolicy:
    """The controller; asked every 15 s."""

    first_tick_s = SYNC_S

    def __init__(self, rules: HpaRules) -> None:
        """Without a past."""
        self._rules = rules
        self._recommended: deque[tuple[float, int]] = deque()

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        """Recommend, stabilise, limit."""
        pool = tick.pools[SERVE]
        current = pool.ready + pool.starting
        total = (
            float(tick.running + tick.waiting)
            if self._rules.signal == IN_FLIGHT
            else tick.kv_usage * pool.ready
        )
        recommend = of_external if self._rules.is_external else of_pods
        wanted = self._stabilised(tick.now_s, current, recommend(total, pool, self._rules.target))
        highest = max(current + UP_PODS, 2 * current)
        return LoopTargets({SERVE: max(1, min(wanted, highest))}, tick.now_s + SYNC_S)

    def _stabilised(self, now_s: float, current: int, wanted: int) -> int:
        """Down only to the most that was recommended within the window; up at once."""
        self._recommended.append((now_s, wanted))
        while self._recommended[0][0] <= now_s - DOWN_WINDOW_S:
            self._recommended.popleft()
        if wanted >= current:
            return wanted
        return min(current, max(count for _, count in self._recommended))


def of_external(total: float, pool: PoolCounts, target: float) -> int:
    """Replicas for the sum of a service: what is within the tolerance stays."""
    current = pool.ready + pool.starting
    if abs(total / (target * current) - 1.0) <= TOLERANCE:
        return current
    return math.ceil(total / target)


def of_pods(total: float, pool: PoolCounts, target: float) -> int:
    """Replicas for a mean over pods; starting ones count as idle where more would be asked for."""
    current = pool.ready + pool.starting
    if pool.ready == 0:
        return current
    ratio = total / pool.ready / target
    if ratio > 1.0 and pool.starting:
        ratio = total / current / target
        if ratio <= 1.0 + TOLERANCE:
            return current
        return max(current, math.ceil(ratio * current))
    if abs(ratio - 1.0) <= TOLERANCE:
        return current
    return math.ceil(ratio * pool.ready)
