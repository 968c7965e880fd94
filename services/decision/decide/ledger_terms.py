"""In which terms the memory of a promise is kept, and what becomes of it in others; pure.

Ledgers are counted in steps, and what is measured by the goals of an objective. Where the length of
a step is another one now they are the same time in other steps. What was measured by other goals
says nothing of those that are promised now. Of another promise the price of risk is another one:
where a replica more leaves a share 1 - 1/m of a risk r, a price of m/r keeps r.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from services.decision.rows.members import ShardMember
from services.decision.rows.translate import measured_unit, to_sla_of_steps

STEP_S, MEASURED_FOR, PROMISED = "step_s", "measured_for", "promised_of_steps"
"""Names under which the terms are stored beside the memory."""
_PRICE = "log_multiplier"
_OF_TIME = ("spent_steps", "observed_steps", "measured_steps", "low_steps", "high_steps")
_MEASURED = ("measured_", "low_", "high_")
_COUNTED = tuple(f"{end}{what}" for end in _MEASURED for what in ("missed", "total"))
_TIME_OF_MEASURED = ("measured_since_s", "measured_until_s", "ends_since_s", "ends_until_s")


def measured_for(member: ShardMember) -> dict[str, Any] | None:
    """What a request is to feel, and of promises of time how many of a minute's; None: nothing."""
    sla = member.spec.sla
    if sla.objective is None:
        return None
    goals = sorted([goal.metric, goal.threshold_s or 0.0] for goal in sla.objective.goals)
    is_of_requests = measured_unit(member.spec) == "requests"
    return {"goals": goals, "share": None if is_of_requests else sla.objective.share}


def terms_of(member: ShardMember, before: Any) -> dict[str, Any]:
    """The terms to be stored.

    Args:
        member: The workload.
        before: What was stored of its goals: they stay while no objective is stated.
    """
    promised = to_sla_of_steps(member.spec, member.step_s).epsilon
    terms: dict[str, Any] = {STEP_S: float(member.step_s), PROMISED: promised}
    return terms | {MEASURED_FOR: measured_for(member) or before}


def in_terms_of(state: Mapping[str, Any], member: ShardMember) -> dict[str, Any]:
    """What is stored, as it is of the promise that is stated now.

    Where the terms were not stored, as by earlier releases, they are taken for those of now.

    Args:
        state: What is stored.
        member: The workload.
    """
    found = {**state}
    promised = to_sla_of_steps(member.spec, member.step_s).epsilon
    if promised and found.get(PROMISED) and found.get(_PRICE) is not None:
        found[_PRICE] = float(found[_PRICE]) + math.log(float(found[PROMISED]) / promised)
    now = measured_for(member)
    if now is not None and (found.get(MEASURED_FOR) or now) != now:
        found = {name: v for name, v in found.items() if not _is_count(name)}
    ratio = float(found.get(STEP_S) or member.step_s) / member.step_s
    if ratio == 1.0:
        return found
    steps = _OF_TIME if measured_unit(member.spec) == "requests" else (*_OF_TIME, *_COUNTED)
    return found | {name: float(found[name]) * ratio for name in steps if found.get(name)}


def _is_count(name: str) -> bool:
    return name in _COUNTED or name in _OF_TIME[2:] or name in _TIME_OF_MEASURED
