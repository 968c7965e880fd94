"""How long what was last seen of replicas holds; pure.

The operator stores the replicas of a workload once per step, changed or not. Where it has not for
long, nobody knows what runs: an unknown is neither the count of before nor a zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from sqlalchemy import RowMapping

from services.decision.rows.members import ShardMember

LEAST_HOLD_S = 600.0
"""Restarts and changes of the leader take minutes, however short steps are."""


def hold_s(member: ShardMember, stale_after_steps: int) -> float:
    """How long a snapshot of a workload holds, in seconds.

    Those that are told over REST hold until the next one: nothing says whether somebody tells them
    at all times, or only when they change.

    Args:
        member: The workload.
        stale_after_steps: Steps without demand after which it is stale.
    """
    if member.spec.is_external:
        return math.inf
    return max(LEAST_HOLD_S, float(member.step_s) * (stale_after_steps + 1))


def is_lapsed(states: Sequence[RowMapping], start_s: float, end_s: float, held_s: float) -> bool:
    """Check whether in some moment of [start_s, end_s) the newest snapshot does not hold any more.

    A moment before the first snapshot is none of these.

    Args:
        states: Snapshots in time order.
        start_s: Step start.
        end_s: Step end.
        held_s: How long each holds.
    """
    seen_s = [state["observed_at"].timestamp() for state in states]
    seen_s = [at_s for at_s in seen_s if at_s < end_s]
    return any(
        next_s > start_s and next_s - at_s > held_s for at_s, next_s in pairwise((*seen_s, end_s))
    )
