"""Finished steps of a shard: measured, stored, and counted in the risk control's memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
from sqlalchemy import RowMapping

from decider import Decision, FloatArray, RiskState, after_decision, error_budget
from services.decision.decide.carried_out import NEVER_S, with_own_since
from services.decision.decide.ledger_spans import (
    MEASURED,
    forget,
    from_spans,
    newest_ends,
    with_steps,
)
from services.decision.decide.ledger_terms import terms_of
from services.decision.decide.ledgers import Finality, learn, settle
from services.decision.decide.miss_check import check_misses
from services.decision.decide.outcomes import LOOKBACK_STEPS, WorkloadOutcomes, finished_outcomes
from services.decision.decide.range_ends import count_ends, range_ends
from services.decision.decide.shard_run import ShardRun
from services.decision.decide.snapshot_hold import hold_s
from services.decision.decide.step_lengths import STEP_SINCE, early_enough, with_step_since
from services.decision.rows import repository, translate
from services.decision.rows.inputs import ShardRows
from services.decision.rows.measured import MeasuredSli, measure
from services.decision.rows.members import ShardMember
from services.decision.rows.responses import unreachable_message
from services.decision.rows.sli_status import SliStanding
from services.decision.rows.translate import EndLedgers
from services.kernel.domain.objective import counted_names


def measure_steps(run: ShardRun, rows: ShardRows) -> dict[int, MeasuredSli]:
    """What was measured of the steps that may be new or may still change."""
    sampled = _load_sampled(run)
    return {
        key: measure(
            member,
            sampled.get(key, {}),
            run.grid(member),
            MEASURED in rows.spans.get(key, {}),
            0.0 if key not in rows.responses else rows.responses[key].floor,
        )
        for key, member in run.members.items()
    }


def _load_sampled(run: ShardRun) -> dict[int, dict[str, tuple[FloatArray, FloatArray]]]:
    """Series of the objectives of those that have one."""
    names = {
        key: counted_names(objective.goals)
        for key, member in run.members.items()
        if (objective := member.spec.sla.objective) is not None
    }
    return repository.load_series(run.connection, names, run.first_step_at, run.origin_at)


def store_steps(
    run: ShardRun, rows: ShardRows, measured: Mapping[int, MeasuredSli]
) -> tuple[dict[int, WorkloadOutcomes], ShardRows]:
    """Store outcomes; returns them and the rows with the risk control's memory after them."""
    rows = with_own_since(run.members, rows, run.origin_at)
    known: dict[int, dict[float, RowMapping]] = {key: {} for key in run.members}
    first, lookback = (
        early_enough(run.members, rows, at)
        for at in (run.first_step_at, run.origin_at - run.longest_step * LOOKBACK_STEPS)
    )
    for row in repository.load_outcome_steps(run.connection, list(run.members), first, lookback):
        known[int(row["workload_id"])][row["step_at"].timestamp()] = row
    rows = with_step_since(run.members, rows, known)
    finality = Finality(run.now, run.deps.settings.late_s)
    results, settled = {}, {}
    for key, member in run.members.items():
        held_s = hold_s(member, run.deps.settings.stale_after_steps)
        rows = forget(member, rows, newest_ends(run.grid(member), finality))
        result = finished_outcomes(member, rows, set(known[key]), run.origin_at, run.now, held_s)
        inside = set(run.grid(member).starts_s.tolist())
        open_rows = {s: r for s, r in known[key].items() if s in inside and not r["is_final"]}
        results[key] = result
        settled[key] = settle(member, result, open_rows, measured[key], finality)
    spans = {
        key: with_steps(rows.spans.get(key, {}), steps, float(run.members[key].step_s))
        for key, steps in settled.items()
    }
    made = [step.row for steps in settled.values() for step in steps]
    repository.store_outcomes(run.connection, made)
    memory = learn(run.members, settled, rows, run.deps.config.risk)
    ends = count_ends(run.members, settled, rows.ends)
    return results, replace(rows, risk={**rows.risk, **memory}, ends=ends, spans=spans)


@dataclass(frozen=True, slots=True)
class ShardMemory:
    """The risk control's memory after the outcomes; decisions add their price of risk to it.

    Attributes:
        run: The run.
        rows: The shard's rows, with the memory after the outcomes.
        measured: What was measured of its steps.
        not_capacity: Why misses are no matter of capacity, by workload.
    """

    run: ShardRun
    rows: ShardRows
    measured: Mapping[int, MeasuredSli]
    not_capacity: Mapping[int, str | None]

    @classmethod
    def of(cls, run: ShardRun, rows: ShardRows, measured: Mapping[int, MeasuredSli]) -> ShardMemory:
        """The memory of a run, with its last hour checked."""
        return cls(run, rows, measured, check_misses(run))

    def store(self, decisions: Mapping[int, Decision], ids: Collection[int]) -> None:
        """Store it for some workloads.

        Args:
            decisions: The decisions made, by workload.
            ids: The workloads; one of which nothing is remembered is left out.
        """
        memory = {key: state for key, state in self.rows.risk.items() if key in ids}
        for key in ids:
            if self.run.members[key].spec.sla.objective is not None:
                memory.setdefault(key, RiskState())  # whether it is measured is told from the start
            if key in decisions:
                state, config = memory.get(key, RiskState()), self.run.deps.config.risk
                memory[key] = after_decision(state, decisions[key], config)
        rows = [(key, self._stored(key, state), self.run.now) for key, state in memory.items()]
        repository.store_risk_states(self.run.connection, sorted(rows))

    def _stored(self, key: int, state: RiskState) -> str:
        member, standing = self.run.members[key], self.measured[key].standing
        found = _to_stored(member, state, self.rows.ends.get(key, EndLedgers()), standing)
        return orjson.dumps(
            found
            | {
                "goal_unreachable_message": _unreachable(member, self.rows),
                "not_capacity_message": self.not_capacity.get(key),
                **terms_of(member, self.rows.measured_for.get(key)),
                translate.OWN_SINCE: _finite(self.rows.own_since_s.get(key, NEVER_S)),
                **from_spans(self.rows.spans.get(key, {})),
                STEP_SINCE: self.rows.step_since_s.get(key),
            }
        ).decode()


def _finite(at_s: float) -> float | None:
    return None if at_s == NEVER_S else at_s


def _unreachable(member: ShardMember, rows: ShardRows) -> str:
    return unreachable_message(rows.responses.get(member.id), member.spec)


def _to_stored(
    member: ShardMember, state: RiskState, ends: EndLedgers, standing: SliStanding
) -> dict[str, Any]:
    """The memory, and the figures of the error budget that every surface shows from there."""
    budget = error_budget(
        state, translate.to_sla_of_steps(member.spec, member.step_s), member.step_s
    )
    found = range_ends(state, ends, member)
    return {
        **asdict(state),
        **translate.from_end_ledgers(ends),
        "measured_unit": translate.measured_unit(member.spec),
        "budget_source": budget.source,
        "violation_ratio": budget.violation_ratio,
        "measured_ratio": budget.measured_ratio,
        "measured_low_ratio": found.low_ratio,
        "measured_high_ratio": found.high_ratio,
        "believed_ratio": budget.believed_ratio,
        "budget_left_ratio": budget.left_ratio,
        "budget_left_low_ratio": found.left_low_ratio,
        "budget_left_high_ratio": found.left_high_ratio,
        "sli_status": standing.status,
        "sli_message": standing.message,
        "demand_censored_message": standing.demand_censored_message,
    }
