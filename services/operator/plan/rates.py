"""Rate limits of a workload's `behavior`, checked once more where a scaling is made; pure.

A decision keeps them by the scalings that it knew of. One that was applied since, or whose outcome
is still open, counts here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.kernel.domain import WorkloadSpec
from services.kernel.domain.schedules import bounds_at
from services.kernel.domain.workload import ScalingRules

_BUDGET = "gpu_budget"
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class PastChange:
    """A scaling that counts: replicas added, or taken away where it is negative.

    Attributes:
        is_sure: It was made. One that may not have been never makes room: a fall counts against
            further falls only, a rise against further rises.
    """

    at: datetime
    added: int
    is_sure: bool = True


@dataclass(frozen=True, slots=True)
class TargetRates:
    """The rate limits of one target.

    Attributes:
        changes: Scalings of the last half hour, the longest period of a policy.
    """

    spec: WorkloadSpec
    changes: Sequence[PastChange]
    now: datetime

    def furthest(self, current: int, wanted: int) -> int:
        """The count nearest to `wanted` that may be set now, on the way from `current`.

        A count outside its bounds comes back to them at any rate, and goes on from there as any.
        """
        low, high = bounds_at(self.spec, self.now)
        start = max(low, min(high, current))
        if wanted == start or (wanted - start) * (start - current) < 0:
            return wanted
        is_up = wanted > start
        behavior = self.spec.behavior
        rules = behavior.scale_up if is_up else behavior.scale_down
        if rules.select_policy == "Disabled":
            return start
        if not rules.policies:
            return wanted
        edge = self._edge(rules, start, is_up=is_up)
        return min(wanted, max(edge, start)) if is_up else max(wanted, min(edge, start))

    def _edge(self, rules: ScalingRules, current: int, *, is_up: bool) -> int:
        """Furthest count that the selected policy allows."""
        edges = []
        for policy in rules.policies:
            since = self.now - timedelta(seconds=policy.period_s)
            start = current - sum(
                change.added
                for change in self.changes
                if change.at > since and (change.is_sure or (change.added > 0) == is_up)
            )
            if policy.type == "Pods":
                edges.append(start + policy.value if is_up else start - policy.value)
            elif is_up:
                edges.append(math.ceil(start * (1.0 + policy.value / 100.0) - _EPSILON))
            else:
                edges.append(math.floor(start * (1.0 - policy.value / 100.0) + _EPSILON))
        is_largest_change = rules.select_policy == "Max"
        return max(edges) if is_up == is_largest_change else min(edges)


def yields_to_budget(binding_constraint: str | None, constraints: Sequence[str]) -> bool:
    """True where a GPU budget ruled the decision: rate limits yield to it."""
    return binding_constraint == _BUDGET or _BUDGET in constraints


def has_rates(spec: WorkloadSpec) -> bool:
    """True where the spec limits the rate of some direction."""
    rules = (spec.behavior.scale_up, spec.behavior.scale_down)
    return any(each.policies or each.select_policy == "Disabled" for each in rules)
