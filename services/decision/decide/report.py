"""Metrics and log lines of a run; called after commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import Gauge

from decider import Decision, ErrorBudget, RiskState, error_budget
from services.decision.budgets.budgets import Ledger
from services.decision.decide.outcomes import WorkloadOutcomes
from services.decision.decide.range_ends import RangeEnds, range_ends
from services.decision.rows.inputs import ShardMember, ShardRows
from services.decision.rows.translate import EndLedgers, TrustInForce, to_sla
from services.kernel import telemetry
from services.kernel.domain.promise import is_range
from services.kernel.telemetry import get_logger


@dataclass(frozen=True, slots=True)
class DecidedWorkload:
    """A decision with its ids.

    Attributes:
        member: The workload.
        decision: The decision.
        decision_id: Id of its row.
        forecast_id: Id of the forecast that it was made from.
    """

    member: ShardMember
    decision: Decision
    decision_id: int
    forecast_id: int


def publish(
    members: Mapping[int, ShardMember],
    results: Mapping[int, WorkloadOutcomes],
    rows: ShardRows,
    decided: Sequence[DecidedWorkload],
    is_answered: Mapping[int, bool],
) -> None:
    """Set gauges and counters of a shard's run.

    Args:
        members: The shard's workloads by id.
        results: Outcomes of their finished steps.
        rows: The shard's rows, with the ledgers after them.
        decided: The decisions.
        is_answered: Whether the objective's counts answer now.
    """
    for key, result in results.items():
        _publish_outcomes(members[key], result, rows, is_answered=is_answered.get(key, False))
    for each in decided:
        decision, labels = each.decision, (each.member.namespace, each.member.name)
        telemetry.decision_total.labels(str(decision.direction), str(decision.reason)).inc()
        if decision.binding_constraint:
            telemetry.decision_constraint_total.labels(decision.binding_constraint).inc()
        telemetry.recommended_replicas.labels(*labels).set(decision.final)
        if decision.risk_target is not None:
            telemetry.risk_target.labels(*labels).set(decision.risk_target)
        if decision.risk_after is not None:
            telemetry.risk_estimated.labels(*labels).set(decision.risk_after)


def publish_freshness(
    decided: Sequence[DecidedWorkload], origin_at: datetime, stored_at: datetime
) -> None:
    """Observe the time from the end of each decision's step to `stored_at`."""
    for each in decided:
        ended_at = origin_at + timedelta(seconds=each.member.step_s)
        freshness_s = (stored_at - ended_at).total_seconds()
        telemetry.decision_freshness_seconds.observe(max(0.0, freshness_s))


def publish_trust(members: Mapping[int, ShardMember], trust: Mapping[int, TrustInForce]) -> None:
    """Set the gauge of each workload's verdict; one that has none is trusted."""
    for key, member in members.items():
        is_trusted = trust.get(key, TrustInForce()).is_trusted
        telemetry.model_trusted.labels(member.namespace, member.name).set(float(is_trusted))


def publish_budgets(ledger: Ledger, gpu_types: Collection[str]) -> None:
    """Set the gauges of the GPU budgets; a type without a readable budget has no series."""
    for gpu_type in gpu_types:
        _set(telemetry.gpu_budget_gpus, (gpu_type,), ledger.budgets.get(gpu_type))
        _set(telemetry.gpu_budget_price_usd, (gpu_type,), ledger.price(gpu_type))


def _set(gauge: Gauge, labels: tuple[str, ...], value: float | None) -> None:
    series = gauge.labels(*labels)
    if value is None:
        gauge.remove(*labels)
    else:
        series.set(value)


def _publish_outcomes(
    member: ShardMember, result: WorkloadOutcomes, rows: ShardRows, *, is_answered: bool
) -> None:
    for outcome in result.outcomes.values():
        telemetry.gpu_hours_total.labels(member.spec.gpu_type).inc(outcome.gpu_hours)
        telemetry.cost_total.labels("USD").inc(outcome.cost_usd)
    risk, ends = rows.risk.get(member.id, RiskState()), rows.ends.get(member.id, EndLedgers())
    budget = error_budget(risk, to_sla(member.spec), member.step_s)
    publish_promise(member, budget, range_ends(risk, ends, member), is_answered=is_answered)


def publish_promise(
    member: ShardMember, budget: ErrorBudget, ends: RangeEnds, *, is_answered: bool
) -> None:
    """Set the gauges of a promise; what is not measured has no measured series.

    Args:
        member: The workload.
        budget: Its error budget.
        ends: The ends of its range; each is shown where it is another figure.
        is_answered: Whether its objective's counts answer now: they may have fallen silent since
            the budget was counted.
    """
    labels = (member.namespace, member.name)
    ratios = {"measured": budget.measured_ratio, "believed": budget.believed_ratio}
    for source, ratio in ratios.items():
        good = None if ratio is None else 1.0 - ratio
        left = budget.left_ratio if source == budget.source and budget.n_steps > 0 else None
        _set(telemetry.sli_good_ratio, (*labels, source), good)
        _set(telemetry.sla_budget_remaining_ratio, (*labels, source), left)
    low, felt, high = ends.low_ratio, budget.measured_ratio, ends.high_ratio
    best = 1.0 - low if low is not None and is_range(low, felt) else None
    worst = 1.0 - high if high is not None and is_range(felt, high) else None
    _set(telemetry.sli_good_high_ratio, labels, best)
    _set(telemetry.sli_good_low_ratio, labels, worst)
    is_measured = None
    if member.spec.sla.objective is not None:
        is_measured = float(is_answered)
    _set(telemetry.sli_measured, labels, is_measured)


def log_decisions(decided: Sequence[DecidedWorkload]) -> None:
    """Log each decision; those that change nothing are of interest when debugging only."""
    log = get_logger("decision")
    for each in decided:
        member, decision = each.member, each.decision
        line = log.debug if decision.final == decision.current else log.info
        line(
            "decision",
            workload_id=member.id,
            namespace=member.namespace,
            workload=member.name,
            forecast_id=each.forecast_id,
            decision_id=each.decision_id,
            from_replicas=decision.current,
            to_replicas=decision.final,
            reason=str(decision.reason),
        )
