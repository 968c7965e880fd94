"""The least that was missed within a promise's window: the lower end of what was measured; pure.

What requests missed is an interval (`decider.sli`). The upper end decides, and is all that the
decider's memory keeps. The lower end is a ledger beside it that fades at the same rate, so that
both are of the same steps. It is shown and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from decider import RiskState, count_measured, error_budget
from services.decision.decide.ledgers import SettledStep
from services.decision.rows import translate
from services.decision.rows.inputs import ShardMember

_SAME = 1e-6
"""Steps by which two ledgers of the same steps differ through rounding."""


@dataclass(frozen=True, slots=True)
class LowEnd:
    """The figures of a promise, had the least been missed. None: not known.

    Attributes:
        measured_ratio: Least share out of SLA within the window.
        left_ratio: What would be left of the error budget.
    """

    measured_ratio: float | None = None
    left_ratio: float | None = None


def count_low(
    members: Mapping[int, ShardMember],
    settled: Mapping[int, Sequence[SettledStep]],
    low: Mapping[int, RiskState],
) -> dict[int, RiskState]:
    """The ledgers after steps; each step counts once, when it is final.

    Args:
        members: The workloads by id.
        settled: Their settled steps, in time order.
        low: The ledgers before; of each only what is measured is filled.
    """
    found = dict(low)
    for key, steps in settled.items():
        sla, step_s = translate.to_sla(members[key].spec), float(members[key].step_s)
        is_of_requests = translate.measured_unit(members[key].spec) == "requests"
        for step in steps:
            if step.is_final and step.sli is not None:
                total = step.sli.low_requests if is_of_requests else 1.0
                missed = min(1.0, max(0.0, step.sli.low_violation_ratio)) * total
                before = found.get(key, RiskState())
                found[key] = count_measured(before, missed, total, sla, step_s)
    return found


def low_end(state: RiskState, low: RiskState, member: ShardMember) -> LowEnd:
    """The lower end, where it is known of every step that the measured ledger holds.

    Args:
        state: Memory with the upper end.
        low: The ledger of the lower end.
        member: The workload.
    """
    if state.measured_steps <= 0 or low.measured_steps < state.measured_steps - _SAME:
        return LowEnd()
    least = replace(state, measured_missed=low.measured_missed, measured_total=low.measured_total)
    budget = error_budget(least, translate.to_sla(member.spec), float(member.step_s))
    if budget.measured_ratio is None:
        return LowEnd()
    return LowEnd(budget.measured_ratio, budget.left_ratio)
