"""Celery tasks: each runs under its job's name, timed, its failures counted by type."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from celery import shared_task

from services.kernel import telemetry

P = ParamSpec("P")


def job_task(job: str) -> Callable[[Callable[P, None]], Any]:
    """Make a function the task of a job; an error goes on to Celery once it is counted.

    Args:
        job: Name of the job, see `services.kernel.jobs`.
    """

    def decorate(run: Callable[P, None]) -> Any:
        @wraps(run)
        def measured(*args: P.args, **kwargs: P.kwargs) -> None:
            with telemetry.job_duration_seconds.labels(job).time():
                try:
                    run(*args, **kwargs)
                except Exception as error:  # counted by type, then raised again
                    telemetry.job_failures_total.labels(job, type(error).__name__).inc()
                    raise

        return shared_task(name=job)(measured)

    return decorate
