"""Celery tasks of the decision service: ids and times only."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache, partial

from services.decision.beliefs import due, history
from services.decision.budgets.exchange import exchange_parts
from services.decision.decide import operations, service
from services.decision.headroom.advise import advise_headroom
from services.decision.trust.service import judge_shard, send_due
from services.decision.wiring import DecisionDeps
from services.kernel import jobs, telemetry
from services.kernel.celery_app import CelerySender, get_celery
from services.kernel.clock import SystemClock, make_clock
from services.kernel.db.session import make_engine
from services.kernel.security.peers import PeerReader, peers_of
from services.kernel.settings import get_settings
from services.kernel.task import job_task


@lru_cache(maxsize=1)
def worker_deps() -> DecisionDeps:
    """The worker process's dependencies, made in its first task (after any fork)."""
    settings = get_settings()
    return DecisionDeps(
        engine=make_engine(settings.database_url),
        clock=make_clock(settings.clock, settings.redis_url),
        settings=settings,
        sender=CelerySender(get_celery()),
        peers=PeerReader(peers_of(settings), SystemClock()),
    )


@job_task(jobs.DECIDE_SHARD)
def decide_shard(shard: int, at: str, is_rest: bool = False) -> None:
    """Decide for a shard at an origin, or at a newer one that has passed it."""
    decide = partial(service.decide_shard, is_rest=True) if is_rest else service.decide_shard
    decide(worker_deps(), shard, datetime.fromisoformat(at))


@job_task(jobs.DECIDE_SWEEP)
def sweep() -> None:
    """Send the decision jobs that were lost again, let cells exchange prices, advise headroom."""
    n = service.sweep(worker_deps())
    exchange_parts(worker_deps())
    advise_headroom(worker_deps())
    telemetry.jobs_resent_total.labels(jobs.DECIDE_SHARD).inc(n)


@job_task(jobs.DECIDE_FIT)
def fit_posteriors(is_scheduled: bool = False) -> None:
    """Refit the posteriors; a scheduled call only those whose last fit is old enough."""
    due.fit_posteriors(worker_deps(), is_scheduled)


@job_task(jobs.LEARN_HISTORY)
def learn_history(shard: int) -> None:
    """Learn the responses of a shard's workloads from before their first decision."""
    history.learn_history(worker_deps(), shard)


@job_task(jobs.DECIDE_TRUST)
def judge_models(shard: int | None = None, is_scheduled: bool = False) -> None:
    """Judge the models of a shard; without one, send that for every shard."""
    if shard is None:
        send_due(worker_deps(), is_scheduled)
    else:
        judge_shard(worker_deps(), shard, is_scheduled)


@job_task(jobs.REPLAY_DECISION)
def replay_decision(operation_id: int) -> None:
    """Make a decision again from its stored inputs."""
    operations.run_replay(worker_deps(), operation_id)


@job_task(jobs.OPERATIONS_SWEEP)
def sweep_operations() -> None:
    """Send operations again whose job or worker was lost."""
    n = operations.sweep(worker_deps())
    telemetry.jobs_resent_total.labels("operations").inc(n)
