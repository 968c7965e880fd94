"""Celery tasks of the decision service: ids and times only."""

from __future__ import annotations

from datetime import datetime

from services.decision import service
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
def fit_posteriors() -> None:
    """Refit the posteriors."""
    # PyMC: on the fit queue only
    from services.decision.service_fit import fit_lead_times
    from services.decision.service_fit_capacity import fit_capacities

    log, deps = telemetry.get_logger(__name__), _deps()
    times = fit_lead_times(deps)
    log.info("lead_times_fitted", scopes=times.scopes, refused=times.reason)
    capacities = fit_capacities(deps)
    log.info("capacities_fitted", scopes=capacities.promoted, refused=dict(capacities.refused))
