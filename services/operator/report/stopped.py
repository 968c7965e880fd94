"""What somebody scaled to zero by hand while replicas are wanted there, pure."""

from __future__ import annotations

from services.operator.plan.part_members import decision_of
from services.operator.plan.plan import Situation, StoredDecision, is_stopped_by_hand


def stopped_by_hand(newest: StoredDecision, situation: Situation) -> str:
    """What was stopped, the target or those of single variants or pools; empty: nothing is."""
    stopped: dict[str, StoredDecision] = {}
    if is_stopped_by_hand(newest, situation):
        stopped["the target"] = newest
    else:
        for name, part in situation.parts:
            own = decision_of(newest, name)
            if own is not None and is_stopped_by_hand(own, part):
                stopped[f"the target of {name}"] = own
    return "; ".join(
        f"{what} was scaled to zero by hand and is left so; {one.desired} replicas are wanted: "
        "scale it to at least one to go on"
        for what, one in stopped.items()
        if one.desired
    )
