"""What a run tells Prometheus; called after commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from prometheus_client import Gauge

from decider import Decision, RiskState
from services.decision.budgets.budgets import Ledger
from services.decision.decide.outcomes import WorkloadOutcomes
from services.decision.rows.inputs import Member
from services.decision.rows.translate import TrustInForce
from services.kernel import telemetry
from services.kernel.telemetry import get_logger


def publish(
    members: Mapping[int, Member],
    results: Mapping[int, WorkloadOutcomes],
    memory: Mapping[int, RiskState],
    decided: Sequence[tuple[Member, Decision]],
) -> None:
    """Set gauges and counters of a shard's run."""
    for key, result in results.items():
        _publish_outcomes(members[key], result, memory.get(key, RiskState()))
    for member, decision in decided:
        labels = (member.namespace, member.name)
        telemetry.decision_total.labels(str(decision.direction), str(decision.reason)).inc()
        if decision.binding_constraint:
            telemetry.decision_constraint_total.labels(decision.binding_constraint).inc()
        telemetry.recommended_replicas.labels(*labels).set(decision.final)
        if decision.risk_target is not None:
            telemetry.risk_target.labels(*labels).set(decision.risk_target)
        if decision.risk_after is not None:
            telemetry.risk_estimated.labels(*labels).set(decision.risk_after)


def publish_freshness(
    decided: Sequence[tuple[Member, Decision]], origin_at: datetime, stored_at: datetime
) -> None:
    """How long after the end of their step decisions were stored at `stored_at`."""
    for member, _ in decided:
        ended_at = origin_at + timedelta(seconds=member.step_s)
        freshness_s = (stored_at - ended_at).total_seconds()
        telemetry.decision_freshness_seconds.observe(max(0.0, freshness_s))


def publish_trust(members: Mapping[int, Member], trust: Mapping[int, TrustInForce]) -> None:
    """Set the gauge of each workload's verdict; one that has none is trusted."""
    for key, member in members.items():
        is_trusted = trust.get(key, TrustInForce()).is_trusted
        telemetry.model_trusted.labels(member.namespace, member.name).set(float(is_trusted))


def publish_budgets(ledger: Ledger, gpu_types: Collection[str]) -> None:
    """Set the gauges of the GPU budgets; a type without a readable budget has no series."""
    for gpu_type in gpu_types:
        _set(telemetry.gpu_budget_gpus, gpu_type, ledger.budgets.get(gpu_type))
        _set(telemetry.gpu_budget_price_usd, gpu_type, ledger.price(gpu_type))


def _set(gauge: Gauge, gpu_type: str, value: float | None) -> None:
    series = gauge.labels(gpu_type)
    if value is None:
        gauge.remove(gpu_type)
    else:
        series.set(value)


def _publish_outcomes(member: Member, result: WorkloadOutcomes, risk: RiskState) -> None:
    labels = (member.namespace, member.name)
    for outcome in result.outcomes.values():
        telemetry.gpu_hours_total.labels(member.spec.gpu_type).inc(outcome.gpu_hours)
        telemetry.cost_total.labels("USD").inc(outcome.cost_usd)
    if risk.observed_steps <= 0:
        return
    telemetry.sla_violation_ratio.labels(*labels).set(risk.spent_steps / risk.observed_steps)
    sla = member.spec.sla
    budget = sla.epsilon * max(1.0, sla.window_s / member.step_s)
    left = max(0.0, 1.0 - risk.spent_steps / budget)
    telemetry.sla_budget_remaining_ratio.labels(*labels).set(left)


def say(decided: Sequence[tuple[Member, Decision]], names: Sequence[tuple[int, int]]) -> None:
    """A line for each decision; those that change nothing are of interest when debugging only.

    Args:
        decided: Decisions.
        names: Ids of each and of its forecast.
    """
    log = get_logger("decision")
    for (member, decision), (decision_id, forecast_id) in zip(decided, names, strict=True):
        line = log.debug if decision.final == decision.current else log.info
        line(
            "decision",
            workload_id=member.id,
            namespace=member.namespace,
            workload=member.name,
            forecast_id=forecast_id,
            decision_id=decision_id,
            from_replicas=decision.current,
            to_replicas=decision.final,
            reason=str(decision.reason),
        )
