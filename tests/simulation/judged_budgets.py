"""What may be beyond a GPU budget, and whether it holds, as the judge sees it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from services.operator.reconcile.gpu_use import LEFT_BEHIND_FOR

if TYPE_CHECKING:
    from tests.simulation.invariants import Watch

HOLDS_S = 200.0
"""A budget that cannot be listed is the stored one for three steps."""
_GONE_S = 140.0
"""A budget that was deleted holds at least so long since it was seen: it is confirmed twice a
step."""


def is_lifted(judge: Watch, gpu_type: str) -> bool:
    """Its budget was away, and no whole pass has seen it for so long that it holds no longer."""
    seen_s = judge.seen_budgets_s.get(gpu_type, -math.inf)
    is_old = judge.world.now_s - seen_s >= _GONE_S
    return is_old and any(gpu_type not in version.budgets for version in judge.since(seen_s))


def added_by_others(judge: Watch, gpu_type: str, since_s: float, but: str) -> int:
    """GPUs that other hands may have added to other targets after a pass had looked."""
    cluster, least = judge.world.cluster, dict[str, int]()
    for w in cluster.written:
        if w.by == "outside" and w.at_s >= since_s:
            least[w.target] = min(least.get(w.target, w.before), w.before, w.after)
    known = ((cluster.targets[n], count) for n, count in least.items() if n in cluster.targets)
    return sum(
        each.gpus * max(0, each.replicas - count)
        for each, count in known
        if each.gpu_type == gpu_type and each.name != but
    )


def left_for_long(judge: Watch, gpu_type: str) -> int:
    """GPUs of targets whose autoscaler has been gone for so long that they hold no longer.

    It was there when a whole pass saw it last; one that was back for a moment may not have been
    seen.
    """
    cluster = judge.world.cluster
    since_s = judge.world.now_s - LEFT_BEHIND_FOR.total_seconds()
    return sum(
        each.held_gpus()
        for name, each in cluster.targets.items()
        if each.gpu_type == gpu_type
        and judge.owner.get(name) not in cluster.autoscalers
        and judge.seen_s.get(judge.owner.get(name, ""), -math.inf) <= since_s
    )
