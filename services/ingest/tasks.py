"""Celery tasks of ingest; each is one use case and harmless when run twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache

from celery import shared_task

from services.ingest import service
from services.ingest.deps import BestEffortSender, IngestDeps
from services.ingest.sources import FetchLimits, PrometheusSource
from services.kernel import jobs, telemetry
from services.kernel.clock import make_clock
from services.kernel.db.session import make_engine
from services.kernel.settings import Settings, get_settings
from services.kernel.worker import CelerySender, get_celery


def make_deps(settings: Settings) -> IngestDeps:
    """Dependencies from settings."""
    source = None
    if settings.prometheus_url:
        limits = FetchLimits(timeout_s=settings.prometheus_timeout_s)
        source = PrometheusSource(settings.prometheus_url, limits)
    return IngestDeps(
        engine=make_engine(settings.database_url),
        clock=make_clock(settings.clock, settings.redis_url),
        sender=BestEffortSender(CelerySender(get_celery())),
        settings=settings,
        source=source,
    )


@lru_cache(maxsize=1)
def worker_deps() -> IngestDeps:
    """The worker process's dependencies, made in its first task (after any fork)."""
    return make_deps(get_settings())


@shared_task(name=jobs.INGEST_RESAMPLE)  # type: ignore[untyped-decorator]  # celery has no types
def resample_shard(shard: int, at: str) -> None:
    """Turn complete steps into indicators."""
    with _measured(jobs.INGEST_RESAMPLE):
        service.resample_shard(worker_deps(), shard, datetime.fromisoformat(at))


@shared_task(name=jobs.INGEST_PULL)  # type: ignore[untyped-decorator]  # celery has no types
def pull_shard(shard: int, at: str) -> None:
    """Pull a shard's indicators from the source."""
    with _measured(jobs.INGEST_PULL):
        service.pull_shard(worker_deps(), shard, datetime.fromisoformat(at))


@shared_task(name=jobs.INGEST_SWEEP)  # type: ignore[untyped-decorator]  # celery has no types
def sweep() -> None:
    """Send jobs for steps and pulls that are due."""
    with _measured(jobs.INGEST_SWEEP):
        service.sweep(worker_deps(), worker_deps().clock.now())


@shared_task(name=jobs.RETENTION)  # type: ignore[untyped-decorator]  # celery has no types
def drop_expired() -> None:
    """Drop what has passed its retention."""
    with _measured(jobs.RETENTION):
        service.drop_expired(worker_deps(), worker_deps().clock.now())


@contextmanager
def _measured(job: str) -> Iterator[None]:
    with telemetry.job_duration_seconds.labels(job).time():
        try:
            yield
        except Exception as error:  # counted by kind, then left to Celery
            telemetry.job_failures_total.labels(job, type(error).__name__).inc()
            raise
