"""Celery tasks of the decision service: ids and times only."""

from __future__ import annotations

from datetime import datetime

from services.decision.beliefs import due as service_fit_due
from services.decision.decide import operations as service_operations, service
from services.decision.trust import service as service_trust
from services.kernel import jobs, telemetry
from services.kernel.task import job_task


def _deps() -> service.Deps:
    # The composition root opens connections: importing the tasks must not.
    from services.decision.deps import get_deps

    return get_deps()


@job_task(jobs.DECIDE_SHARD)
def decide_shard(shard: int, at: str) -> None:
    """Decide for a shard at an origin."""
    service.decide_shard(_deps(), shard, datetime.fromisoformat(at))


@job_task(jobs.DECIDE_SWEEP)
def sweep() -> None:
    """Send again what was lost."""
    n = service.sweep(_deps())
    telemetry.jobs_resent_total.labels(jobs.DECIDE_SHARD).inc(n)


@job_task(jobs.DECIDE_FIT)
def fit_posteriors(is_scheduled: bool = False) -> None:
    """Refit the posteriors; a scheduled call only those whose last fit is old enough."""
    service_fit_due.fit_posteriors(_deps(), is_scheduled)


@job_task(jobs.DECIDE_TRUST)
def judge_models(shard: int | None = None, is_scheduled: bool = False) -> None:
    """Judge the models of a shard; without one, send that for every shard."""
    if shard is None:
        service_trust.send_due(_deps(), is_scheduled)
    else:
        service_trust.judge_shard(_deps(), shard, is_scheduled)


@job_task(jobs.REPLAY_DECISION)
def replay_decision(operation_id: int) -> None:
    """Make a decision again from its stored inputs."""
    service_operations.replay_as_asked(_deps(), operation_id)


@job_task(jobs.OPERATIONS_SWEEP)
def sweep_operations() -> None:
    """Send operations again whose job or worker was lost."""
    n = service_operations.sweep(_deps())
    telemetry.jobs_resent_total.labels("operations").inc(n)
