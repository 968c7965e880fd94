"""Replicas on nodes that are about to be interrupted, and what is asked for in their place; pure.

A decision asks for replicas that stay. While some of a target serve on nodes under notice, its spec
is what was decided and those together: they are replaced before they go. Once they are gone, the
next decision brings the spec down as any other.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.operator.plan.plan import (
    PlannedAction,
    Result,
    Situation,
    StoredDecision,
    decide_action,
)
from services.operator.plan.spot import Leaving

_IN_FORCE = (Result.APPLIED, Result.UNCHANGED)


def beside_leaving(decision: StoredDecision, leaving: Leaving) -> StoredDecision:
    """The decision with what is asked for in place of replicas that are about to go."""
    if not leaving.replicas:
        return decision
    desired = decision.desired + leaving.replicas
    return replace(decision, desired=desired, note=f"; {leaving.words}")


def replace_leaving(
    decision: StoredDecision, leaving: Leaving, situation: Situation, now: datetime
) -> PlannedAction | None:
    """The rise that replaces replicas under a decision that was carried out; None: there is none.

    It is an action of that decision, within all that a decision is held by. Where another hand has
    set the target lower than was decided, nothing is replaced.

    Args:
        decision: The newest one.
        leaving: Replicas that are about to go.
        situation: State of the workload.
        now: Aware.
    """
    current = situation.replicas
    if decision.last_result not in _IN_FORCE or current is None or current < decision.desired:
        return None
    action = decide_action(beside_leaving(decision, leaving), situation, now)
    if not action.is_patch or (action.to_replicas or 0) <= current:
        return None
    return replace(action, reason=f"interruption: {leaving.words}")
