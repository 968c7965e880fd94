"""What targets hold whose autoscaler is gone, as the judge sees it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from services.operator.reconcile.gpu_use import LEFT_BEHIND_FOR

if TYPE_CHECKING:
    from tests.simulation.invariants import Watch

SURELY_SEEN_S = 600.0
"""An autoscaler that is there for so long was registered."""


def left_for_long(judge: Watch, gpu_type: str) -> int:
    """GPUs of targets whose autoscaler has been gone for so long that they hold no longer.

    One that was back for a moment may not have been seen.
    """
    cluster, came_s, seen_s = judge.world.cluster, dict[str, float](), dict[str, float]()
    for version, later in pairwise(judge.versions):
        came_s = {each: came_s.get(each, version.at_s) for each in version.autoscalers}
        for each, at_s in came_s.items():
            if later.at_s - at_s >= SURELY_SEEN_S:
                seen_s[each] = later.at_s
    since_s = judge.world.now_s - LEFT_BEHIND_FOR.total_seconds()
    return sum(
        each.held_gpus()
        for name, each in cluster.targets.items()
        if each.gpu_type == gpu_type
        and judge.owner.get(name) not in cluster.autoscalers
        and seen_s.get(judge.owner.get(name, ""), 0.0) <= since_s
    )
