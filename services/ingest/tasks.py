"""Celery tasks of ingest; each is one use case and harmless when run twice."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from services.ingest import moving, retention, service
from services.ingest.deps import BestEffortSender, IngestDeps
from services.ingest.pull import service as pulls
from services.ingest.series.rules import parse_rules
from services.ingest.series.sources import make_source
from services.kernel import jobs
from services.kernel.celery_app import CelerySender, get_celery
from services.kernel.clock import make_clock
from services.kernel.db.session import make_engine
from services.kernel.settings import Settings, get_settings
from services.kernel.task import job_task


def make_deps(settings: Settings, cluster: str = "") -> IngestDeps:
    """Dependencies from settings, for one cluster (empty: for all, as a worker has them)."""
    return IngestDeps(
        engine=make_engine(settings.database_url, cluster=cluster),
        clock=make_clock(settings.clock, settings.redis_url),
        sender=BestEffortSender(CelerySender(get_celery())),
        settings=settings,
        source=make_source(settings),
        remote_rules=parse_rules(settings.remote_write_rules),
    )


@lru_cache(maxsize=1)
def worker_deps() -> IngestDeps:
    """The worker process's dependencies, made in its first task (after any fork)."""
    return make_deps(get_settings())


@job_task(jobs.INGEST_RESAMPLE)
def resample_shard(shard: int, at: str) -> None:
    """Turn complete steps into indicators."""
    service.resample_shard(worker_deps(), shard, _now(at))


@job_task(jobs.INGEST_PULL)
def pull_shard(shard: int, at: str) -> None:
    """Pull a shard's indicators from the source."""
    pulls.pull_shard(worker_deps(), shard, _now(at))


def _now(at: str) -> datetime:
    """The time, or that of the job if it is later: one that has waited does what is due by now."""
    return max(datetime.fromisoformat(at), worker_deps().clock.now())


@job_task(jobs.INGEST_SWEEP)
def sweep() -> None:
    """Send jobs for steps and pulls that are due."""
    service.sweep(worker_deps(), worker_deps().clock.now())


@job_task(jobs.MOVE_INDICATORS)
def move_indicators() -> None:
    """Move what was written before a row held a whole step."""
    moving.move_indicators(worker_deps())


@job_task(jobs.RETENTION)
def drop_expired() -> None:
    """Drop what has passed its retention."""
    retention.drop_expired(worker_deps(), worker_deps().clock.now())
