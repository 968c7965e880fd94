"""Celery tasks: each runs under its job's name, timed, traced, its failures counted by type."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec

import redis
from celery import current_task, shared_task
from opentelemetry.context import Context
from structlog.contextvars import bound_contextvars

from services.kernel import telemetry, tracing
from services.kernel.queued_jobs import QueuedJobs, waits_once

P = ParamSpec("P")


def job_task(job: str) -> Callable[[Callable[P, None]], Any]:
    """Make a function the task of a job; an error goes on to Celery once it is counted.

    The run is a span that follows from the one that sent the job, and its log lines carry the job
    and what it was given.

    Args:
        job: Name of the job, see `services.kernel.jobs`.
    """

    def decorate(run: Callable[P, None]) -> Any:
        @wraps(run)
        def measured(*args: P.args, **kwargs: P.kwargs) -> None:
            given = _scalars(kwargs)
            _take(job, kwargs)
            with (
                telemetry.job_duration_seconds.labels(job).time(),
                tracing.span(job, _sender_span(), given),
                bound_contextvars(job=job, **given),
            ):
                _run(job, lambda: run(*args, **kwargs))

        return shared_task(name=job)(measured)

    return decorate


def _run(job: str, run: Callable[[], None]) -> None:
    log, started = telemetry.get_logger("worker"), time.perf_counter()
    try:
        run()
    except Exception as error:  # counted by type, then raised again
        telemetry.job_failures_total.labels(job, type(error).__name__).inc()
        log.error("job_failed", error=type(error).__name__, message=str(error)[:500])
        raise
    log.info("job_done", duration_s=round(time.perf_counter() - started, 4))


def _take(job: str, payload: Mapping[str, object]) -> None:
    """Note that the job of a shard waits no longer, where it came from a queue."""
    request = getattr(current_task, "request", None)
    if waits_once(job, payload) and request is not None and not request.called_directly:
        try:
            QueuedJobs(current_task.app).remove(job, payload)
        except redis.RedisError as error:  # the job can be done all the same, and its key expires
            telemetry.get_logger("worker").warning("job_not_noted", job=job, error=str(error))


def _sender_span() -> Context:
    """The span that sent the task that runs now, if it was sent in one."""
    request = getattr(current_task, "request", None)
    # a worker shows a message's headers as attributes, a task that is applied here as `headers`
    found = getattr(request, tracing.HEADER, None)
    given = getattr(request, "headers", None) or {}
    return tracing.parse_traceparent(found or given.get(tracing.HEADER))


def _scalars(kwargs: Mapping[str, object]) -> dict[str, str | int | float]:
    return {key: value for key, value in kwargs.items() if isinstance(value, str | int | float)}
