"""Metrics and log lines of a run; called after commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import Gauge

from decider import Decision
from services.decision.budgets.budgets import Ledger
from services.decision.decide.outcomes import WorkloadOutcomes
from services.decision.rows.inputs import ShardMember
from services.kernel import telemetry
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
    decided: Sequence[DecidedWorkload],
) -> None:
    """Count what a shard's run has found and decided.

    Args:
        members: The shard's workloads by id.
        results: Outcomes of their finished steps.
        decided: The decisions.
    """
    for key, result in results.items():
        _publish_outcomes(members[key], result)
    for each in decided:
        decision = each.decision
        telemetry.decision_total.labels(str(decision.direction), str(decision.reason)).inc()
        if decision.binding_constraint:
            telemetry.decision_constraint_total.labels(decision.binding_constraint).inc()


def publish_freshness(
    decided: Sequence[DecidedWorkload], origin_at: datetime, stored_at: datetime
) -> None:
    """Observe the time from the end of each decision's step to `stored_at`."""
    for each in decided:
        ended_at = origin_at + timedelta(seconds=each.member.step_s)
        freshness_s = (stored_at - ended_at).total_seconds()
        telemetry.decision_freshness_seconds.observe(max(0.0, freshness_s))


def publish_budgets(ledger: Ledger, cluster: str, gpu_types: Collection[str]) -> None:
    """Set the gauges of a cluster's budgets; a type without a readable budget has no series."""
    for gpu_type in gpu_types:
        labels = (cluster, gpu_type)
        _set(telemetry.gpu_budget_gpus, labels, ledger.budgets.get(gpu_type))
        _set(telemetry.gpu_budget_price_usd, labels, ledger.price(gpu_type))


def _set(gauge: Gauge, labels: tuple[str, ...], value: float | None) -> None:
    series = gauge.labels(*labels)
    if value is None:
        gauge.remove(*labels)
    else:
        series.set(value)


def _publish_outcomes(member: ShardMember, result: WorkloadOutcomes) -> None:
    for outcome in result.outcomes.values():
        telemetry.gpu_hours_total.labels(member.spec.gpu_type).inc(outcome.gpu_hours)
        telemetry.cost_total.labels("USD").inc(outcome.cost_usd)


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
