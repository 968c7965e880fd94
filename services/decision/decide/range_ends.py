"""The range of what was missed within a promise's window: at least, and at most; pure.

What requests missed is an interval (`decider.sli`). One figure of it decides, and is all that the
decider's memory keeps: an estimate where a threshold lies between two bucket edges and the
histogram's sum is known, else the upper end. What surely missed and what at most missed are two
ledgers beside it that fade at the same rate, so that all are of the same steps. They are shown,
contain the truth, and decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from decider import RiskState, Sla, count_measured, error_budget
from services.decision.decide.ledgers import SettledStep
from services.decision.rows import translate
from services.decision.rows.members import ShardMember
from services.decision.rows.translate import EndLedgers

_SAME = 1e-6
"""Steps by which two ledgers of the same steps differ through rounding."""


@dataclass(frozen=True, slots=True)
class RangeEnds:
    """The ends of what was measured within the window. None: not known.

    Attributes:
        low_ratio: Share out of SLA, had the least been missed.
        high_ratio: The same, had the most been.
        left_low_ratio: What would be left of the error budget, had the most been missed.
        left_high_ratio: The same, had the least been.
    """

    low_ratio: float | None = None
    high_ratio: float | None = None
    left_low_ratio: float | None = None
    left_high_ratio: float | None = None


def count_ends(
    members: Mapping[int, ShardMember],
    settled: Mapping[int, Sequence[SettledStep]],
    ends: Mapping[int, EndLedgers],
) -> dict[int, EndLedgers]:
    """The ledgers after steps; each step counts once, when it is final.

    Args:
        members: The workloads by id.
        settled: Their settled steps, in time order.
        ends: The ledgers before.
    """
    found = dict(ends)
    for key, steps in settled.items():
        step_s = float(members[key].step_s)
        sla = translate.to_sla_of_steps(members[key].spec, step_s)
        is_of_requests = translate.measured_unit(members[key].spec) == "requests"
        for step in steps:
            sli = step.sli
            if not step.is_final or sli is None:
                continue
            before = found.get(key, EndLedgers())
            low_total, most_total = (
                (sli.low_requests, sli.most_requests) if is_of_requests else (1.0, 1.0)
            )
            low, most = (
                min(1.0, max(0.0, ratio))
                for ratio in (sli.low_violation_ratio, sli.most_violation_ratio)
            )
            found[key] = EndLedgers(
                count_measured(before.low, low * low_total, low_total, sla, step_s),
                count_measured(before.high, most * most_total, most_total, sla, step_s),
            )
    return found


def range_ends(state: RiskState, ends: EndLedgers, member: ShardMember) -> RangeEnds:
    """Both ends, where they are known of every step that the measured ledger holds.

    Args:
        state: Memory with what decides.
        ends: The ledgers of both ends.
        member: The workload.
    """
    n_known = min(ends.low.measured_steps, ends.high.measured_steps)
    if state.measured_steps <= 0 or n_known < state.measured_steps - _SAME:
        return RangeEnds()
    step_s = float(member.step_s)
    sla = translate.to_sla_of_steps(member.spec, step_s)
    low, left_high = _figures(state, ends.low, sla, step_s)
    high, left_low = _figures(state, ends.high, sla, step_s)
    return RangeEnds(low, high, left_low, left_high)


def _figures(
    state: RiskState, end: RiskState, sla: Sla, step_s: float
) -> tuple[float | None, float | None]:
    """Share out of SLA and what is left of the budget by the ledger of one end."""
    known = replace(state, measured_missed=end.measured_missed, measured_total=end.measured_total)
    budget = error_budget(known, sla, step_s)
    return budget.measured_ratio, None if budget.measured_ratio is None else budget.left_ratio
