"""Finished steps settled: the rows of their outcomes, and the risk control's memory; pure.

What was believed of a step is counted when its row is made. What was measured is computed again
until the step is final, and counted then, once: the row's `is_final` says whether it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping

from decider import (
    MINUTE_S,
    RiskControlConfig,
    RiskState,
    count_believed,
    count_measured,
    teach_level,
    weight_of_step,
)
from services.decision.decide.outcomes import WorkloadOutcomes
from services.decision.rows import translate
from services.decision.rows.inputs import ShardRows
from services.decision.rows.measured import MeasuredSli, StepSli
from services.decision.rows.members import ShardMember

_N_BELIEVED = 9
"""Columns of an outcome between its key and `computed_at`: they stay as they are."""


@dataclass(frozen=True, slots=True)
class Finality:
    """When a step is final: nothing may change it any more.

    Attributes:
        now: Time of the computation.
        late_s: How late a sample may change its step.
    """

    now: datetime
    late_s: float

    def is_passed(self, start_s: float, step_s: float) -> bool:
        """Check a step by its start: `late_s` and one step have passed since its end.

        A step of less than a minute is judged with the others of its minute: that must have ended.
        """
        end_s = start_s + step_s
        if step_s < MINUTE_S:
            end_s = math.ceil(end_s / MINUTE_S) * MINUTE_S
        return self.now.timestamp() >= end_s + step_s + self.late_s


@dataclass(frozen=True, slots=True)
class SettledStep:
    """A step whose row is new or was not final yet.

    Attributes:
        start_s: Its start, epoch seconds.
        believed_ratio: Violation by the believed capacity; None: not known.
        sli: What was measured; None: nothing.
        is_new: It had no row.
        is_final: What was measured will not change any more.
        row: Its row of `outcomes`.
    """

    start_s: float
    believed_ratio: float | None
    sli: StepSli | None
    is_new: bool
    is_final: bool
    row: tuple[Any, ...]


def settle(
    member: ShardMember,
    result: WorkloadOutcomes,
    open_rows: Mapping[float, RowMapping],
    measured: MeasuredSli,
    finality: Finality,
) -> tuple[SettledStep, ...]:
    """Steps of a workload in time order, with what was measured of them so far.

    A step before the first replica was ever ready is nobody's violation: it is final at once,
    unmeasured. So is every step of a workload without an objective.

    Args:
        member: The workload.
        result: Outcomes of its new steps.
        open_rows: Rows that are not final, by step start.
        measured: What was measured.
        finality: When a step is final.
    """
    step_s = float(member.step_s)
    has_objective = member.spec.sla.objective is not None
    settled = []
    new = {**dict(zip(result.outcomes, result.rows, strict=True)), **result.unseen}
    for start_s in sorted({*new, *open_rows}):
        is_new = start_s in new
        if is_new:
            outcome = result.outcomes.get(start_s)
            believed, row = None if outcome is None else outcome.violation_ratio, new[start_s]
        else:
            believed, row = (
                open_rows[start_s]["violation_ratio"],
                _revised(member, start_s, finality),
            )
        is_measurable = has_objective and start_s not in result.before_first
        sli = measured.steps.get(start_s) if is_measurable else None
        is_final = not is_measurable or finality.is_passed(start_s, step_s)
        columns = (*row, *_measured_columns(sli), is_final)
        settled.append(SettledStep(start_s, believed, sli, is_new, is_final, columns))
    return tuple(settled)


def learn(
    members: Mapping[int, ShardMember],
    settled: Mapping[int, Sequence[SettledStep]],
    rows: ShardRows,
    config: RiskControlConfig,
) -> dict[int, RiskState]:
    """Memory of the risk control of the workloads whose steps tell something new.

    The outcome of a trailing percentile says nothing of a model that is not trusted: it counts
    against the budget, but the level that the model is planned with stays as it is. So it does
    while more requests miss than the load explains: no replica cures a fault. A step whose count
    was not Harmony's says nothing of its decisions.
    """
    memory: dict[int, RiskState] = {}
    for key, steps in settled.items():
        member = members[key]
        before = rows.risk.get(key, RiskState())
        after = before
        own_since_s = rows.own_since_s.get(key, -math.inf)
        for step in steps:
            counted = _after(after, step, member, config)
            is_own = step.start_s >= own_since_s
            after = counted if is_own else replace(counted, log_level=after.log_level)
        is_trusted = rows.trust.get(key, translate.TrustInForce()).is_trusted
        if not is_trusted or key in rows.faulty:
            after = replace(after, log_level=before.log_level)
        if after != before:
            memory[key] = after
    return memory


def _after(
    state: RiskState, step: SettledStep, member: ShardMember, config: RiskControlConfig
) -> RiskState:
    """Memory after one step: believed when it is new, measured and taught when it is final.

    The ledger counts all that was measured. The level learns only of what replicas can cure: more
    of them would not make errors fewer. Where an objective is measured a step that was not teaches
    nothing: what is believed of it takes all of its requests for missed beyond the load that keeps
    the promise.
    """
    step_s = float(member.step_s)
    sla = translate.to_sla_of_steps(member.spec, step_s)
    believed = step.believed_ratio
    if believed is not None:
        believed = min(1.0, max(0.0, believed))
        if step.is_new:
            state = count_believed(state, believed, sla, step_s)
    if not step.is_final:
        return state
    is_measured = member.spec.sla.objective is not None and state.measured_steps > 0
    lesson, weight = None if is_measured else believed, 1.0
    if step.sli is not None:
        is_of_requests = translate.measured_unit(member.spec) == "requests"
        total = step.sli.high_requests if is_of_requests else 1.0
        violation, curable = (
            min(1.0, max(0.0, v)) for v in (step.sli.violation_ratio, step.sli.curable_ratio)
        )
        state = count_measured(state, violation * total, total, sla, step_s)
        lesson = curable if total > 0 else None
        weight = weight_of_step(state, total) if is_of_requests else 1.0
    return state if lesson is None else teach_level(state, lesson, sla, config, weight)


def _revised(member: ShardMember, start_s: float, finality: Finality) -> tuple[Any, ...]:
    """A row that is there already: what was believed of it is not written again."""
    step_at = datetime.fromtimestamp(start_s, UTC)
    return (member.id, step_at, *(None,) * _N_BELIEVED, finality.now)


def _measured_columns(sli: StepSli | None) -> tuple[float | None, ...]:
    if sli is None:
        return (None,) * 4
    return (sli.requests, sli.miss_low, sli.miss_high, sli.violation_ratio)
