"""Celery tasks of the decision service: ids and times only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from celery import shared_task

from services.decision import service
from services.kernel import jobs, telemetry


def _deps() -> service.Deps:
    # The composition root opens connections: importing the tasks must not.
    from services.decision.deps import get_deps

    return get_deps()


def _task(name: str) -> Callable[[Callable[..., Any]], Any]:
    decorate: Callable[[Callable[..., Any]], Any] = shared_task(name=name)
    return decorate


@contextmanager
def _measured(job: str) -> Iterator[None]:
    """Run time and failures of a job; the error goes on to Celery."""
    with telemetry.job_duration_seconds.labels(job).time():
        try:
            yield
        except Exception as error:  # counted by type, then raised again
            telemetry.job_failures_total.labels(job, type(error).__name__).inc()
            raise


@_task(jobs.DECIDE_SHARD)
def decide_shard(shard: int, at: str) -> None:
    """Decide for a shard at an origin."""
    with _measured(jobs.DECIDE_SHARD):
        service.decide_shard(_deps(), shard, datetime.fromisoformat(at))


@_task(jobs.DECIDE_SWEEP)
def sweep() -> None:
    """Send again what was lost."""
    with _measured(jobs.DECIDE_SWEEP):
        n = service.sweep(_deps())
    telemetry.jobs_resent_total.labels(jobs.DECIDE_SHARD).inc(n)


@_task(jobs.DECIDE_FIT)
def fit_posteriors() -> None:
    """Refit the posteriors."""
    from services.decision.service_fit import fit_posteriors as fit  # PyMC: on the fit queue only

    with _measured(jobs.DECIDE_FIT):
        fit(_deps())
