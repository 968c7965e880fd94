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
            is one of pods, and those that start have none yet.
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
        """Down only to the most that was recommended within the window; up at once.

        A controller that starts takes the count that it finds as its first recommendation.
        """
        if not self._recommended:
            self._recommended.append((now_s, current))
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
    """Replicas for a mean over pods, by the controller's `calcPlainMetricReplicas`.

    Pods that start run without a metric, while they load weights: the controller calls them
    missing. They count at the full target where fewer would be asked for, else at zero; what then
    is within the tolerance, or asks for a change the other way, stays. Pods that are `Pending` (no
    node, an image that is pulled) would be left out downwards; all of a start is taken as running.
    """
    current = pool.ready + pool.starting
    if pool.ready == 0:
        return current
    used = total / target  # pods at their target that would bear the whole
    ratio = used / pool.ready
    filled = used + (pool.starting if ratio < 1.0 else 0)
    new_ratio = filled / current
    turns = ratio < 1.0 < new_ratio or new_ratio < 1.0 < ratio
    if abs(new_ratio - 1.0) <= TOLERANCE or turns:
        return current
    return math.ceil(filled)
