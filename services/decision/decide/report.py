"""Metrics and log lines of a run; called after commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from decider import Decision
from services.decision.budgets.budgets import Ledger
from services.decision.decide.outcomes import WorkloadOutcomes
from services.decision.rows.members import ShardMember
from services.kernel import telemetry
from services.kernel.telemetry import get_logger

_KEPT_STEPS = 4
"""Steps for which a figure of a budget is known, as every figure of a workload is."""


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


def publish(results: Mapping[int, WorkloadOutcomes], decided: Sequence[DecidedWorkload]) -> None:
    """Count what a shard's run has found and decided.

    Args:
        results: Outcomes of their finished steps.
        decided: The decisions.
    """
    for result in results.values():
        _publish_outcomes(result)
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


def publish_budgets(
    ledger: Ledger, cluster: str, gpu_types: Collection[str], step_s: float
) -> None:
    """Set the gauges of a cluster's budgets; a type without a readable budget has no series.

    The price is one of the whole cluster, and whichever shard has a service of the type knows it; a
    run of another shard, on the same worker, says nothing of it. So it stands for some steps, until
    a run of any worker sets it again, and goes when no shard has such a service any longer.

    Args:
        ledger: Of a run.
        cluster: Its cluster.
        gpu_types: The types of its services.
        step_s: Length of a step.
    """
    kept_s = _KEPT_STEPS * step_s
    for gpu_type in gpu_types:
        labels = (cluster, gpu_type)
        telemetry.gpu_budget_gpus.set_for(labels, ledger.budgets.get(gpu_type), kept_s)
        telemetry.gpu_budget_price_usd.set_for(labels, ledger.price(gpu_type), kept_s)


def _publish_outcomes(result: WorkloadOutcomes) -> None:
    for gpu_type, hours in result.gpu_hours.items():
        telemetry.gpu_hours_total.labels(gpu_type).inc(hours)
    telemetry.cost_total.labels("USD").inc(sum(one.cost_usd for one in result.outcomes.values()))


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
