"""The rule of a HorizontalPodAutoscaler with one External metric of type AverageValue.

A reference of its own, written from the description of the algorithm: tolerance on
metric / (target x current), proposal ceil(metric / target), stabilisation windows, rate limits of
`behavior`, bounds. Quantities are in thousandths, as Kubernetes keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SYNC_S = 15
DEFAULT_TOLERANCE = 0.1


@dataclass(frozen=True)
class Hpa:
    """An HPA whose policies have the period of its sync.

    Attributes:
        behavior: `spec.behavior` as written, both directions given.
    """

    min_replicas: int
    max_replicas: int
    target_milli: int
    behavior: Mapping[str, Any]

    def sync(self, current: int, metric_milli: int | None) -> int:
        """Replicas after a sync; without a metric, or at zero, it does nothing."""
        if metric_milli is None or current == 0:
            return current
        if not self.min_replicas <= current <= self.max_replicas:
            return min(max(current, self.min_replicas), self.max_replicas)
        wanted = self._proposal(current, metric_milli)
        low, high = self._limits(current)
        return min(max(wanted, low, self.min_replicas), high, self.max_replicas)

    def _proposal(self, current: int, metric_milli: int) -> int:
        ratio = float(metric_milli) / (float(self.target_milli) * float(current))
        if 1.0 - self._tolerance("scaleDown") <= ratio <= 1.0 + self._tolerance("scaleUp"):
            return current
        return math.ceil(float(metric_milli) / float(self.target_milli))

    def _tolerance(self, direction: str) -> float:
        return float(self.behavior[direction].get("tolerance", DEFAULT_TOLERANCE))

    def _limits(self, current: int) -> tuple[int, int]:
        """Least and most replicas after this sync."""
        ups, downs = [], []
        for direction, limits in (("scaleUp", ups), ("scaleDown", downs)):
            rules = self.behavior[direction]
            assert rules["stabilizationWindowSeconds"] == 0, "windows are not modelled"
            assert rules["selectPolicy"] == "Max"
            sign = 1 if direction == "scaleUp" else -1
            for policy in rules["policies"]:
                assert policy["periodSeconds"] == SYNC_S
                if policy["type"] == "Pods":
                    limits.append(current + sign * policy["value"])
                else:
                    moved = current * (1 + sign * policy["value"] / 100)
                    limits.append(math.ceil(moved) if sign > 0 else math.trunc(moved))
        return min(downs), max(ups)


def keda(current: int, is_active: bool, min_replicas: int) -> int:
    """KEDA's own part: to zero and back; between, the HPA alone acts. Cool-down left out."""
    if not is_active and min_replicas == 0:
        return 0
    return max(1, min_replicas) if is_active and current == 0 else current
